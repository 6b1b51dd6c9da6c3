"""A benchmark as a command: its options, its table, its progress."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon_contracts import AntiphonError
from figures import Figure, Report
from rich.console import Console
from rich.table import Table

MARKS = {True: "yes", False: "NO", None: ""}


@dataclass(frozen=True)
class Options:
    """What of a benchmark is to be run.

    Attributes:
        quick: so little that it takes seconds and its figures mean nothing.
        parts: which of its parts.
    """

    quick: bool
    parts: tuple[str, ...] = ()


def say(text: str) -> None:
    """Tell the person who waits how far it is; standard output carries results alone."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def goal_of(figure: Figure) -> str:
    """Return what a figure must reach, for people; empty if it is for information."""
    if figure.goal is None:
        return ""
    return f"{'≤' if figure.better == 'lower' else '≥'} {figure.goal:g} {figure.unit}"


def show(report: Report) -> None:
    """Print a report's figures, each with its goal and whether it is met."""
    table = Table("figure", "value", "goal", "met")
    for figure in report.figures:
        value = f"{figure.value:.4g} {figure.unit}"
        table.add_row(figure.name, value, goal_of(figure), MARKS[figure.met])
    print(f"{report.benchmark}{': quick, its figures mean nothing' if report.quick else ''}")
    Console().print(table)


def main(
    name: str,
    measure: Callable[[Options], Coroutine[Any, Any, Report]],
    parts: Sequence[str] = (),
) -> None:
    """Run one benchmark as a programme: `[--quick] [--json] [--only PART ...]`.

    Its report goes to standard output, as a table or as one JSON object.
    """
    parser = argparse.ArgumentParser(prog=name, description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    if parts:
        parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="these parts")
    found = parser.parse_args()
    options = Options(found.quick, tuple(found.only) if parts else ())
    try:
        report = asyncio.run(measure(options))
    except AntiphonError as error:
        raise SystemExit(f"{name}: {error}") from error
    if found.json:
        print(json.dumps(report.as_json()))
    else:
        show(report)
