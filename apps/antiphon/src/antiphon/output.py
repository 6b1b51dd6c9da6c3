"""Output: exit codes, JSON on standard output, one sentence on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

EXIT_WRONG = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


def print_json(value: object) -> None:
    """Print `value` on standard output, which JSON has to itself."""
    import orjson  # noqa: PLC0415  (a quick start for everybody else)

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_line(console: Console, line: Text | str) -> None:
    """Print a line as it is: not wrapped, no markup."""
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def complain(sentence: str, code: int) -> NoReturn:
    """Say on standard error what is wrong, and end with `code`."""
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{red}antiphon: {sentence}{plain}\n")
    raise SystemExit(code)
