"""Output: exit codes, JSON on standard output, one sentence on standard error."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import orjson
import typer
from rich.console import Console

EXIT_WRONG = 1
EXIT_CONFIG = 78

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def print_json(value: object) -> None:
    """Print `value` on standard output, which JSON has to itself."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def complain(sentence: str, code: int) -> NoReturn:
    """Say on standard error what is wrong, and end with `code`."""
    Console(stderr=True).print(
        f"antiphon: {sentence}", style="red", highlight=False, soft_wrap=True, markup=False
    )
    raise SystemExit(code)
