"""All benchmarks, or named ones: a table for people, JSON for machines, ratios to compare with.

`python benchmarks/run.py [bus loop_lag turn] [--quick] [--json FILE] [--compare FILE]`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHMARKS = ("bus", "loop_lag", "turn")
TIMEOUT_S = 1800
WORSE = 1.25  # a ratio this much worse than the stored one fails


def report_of(name: str, *, quick: bool) -> dict[str, Any]:
    """Run one benchmark as a process of its own and return its report."""
    script = Path(__file__).with_name(f"{name}.py")
    command = [sys.executable, str(script), *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT_S)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def ratios(reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the figures that can be compared between machines, by name."""
    return {
        f"{report['benchmark']}: {figure['name']}": figure
        for report in reports
        for figure in report["figures"]
        if figure["unit"] == "x"
    }


def regressions(reports: list[dict[str, Any]], stored: dict[str, float]) -> list[str]:
    """Return a sentence for every ratio that is much worse than the stored one."""
    sentences = []
    for name, figure in ratios(reports).items():
        before = stored.get(name)
        if before is None:
            continue
        worse = (
            figure["value"] / before if figure["better"] == "lower" else before / figure["value"]
        )
        if worse > WORSE:
            sentences.append(f"{name}: {figure['value']} was {before}")
    return sentences


def table_of(reports: list[dict[str, Any]]) -> Table:
    """Return all figures with their targets."""
    table = Table("benchmark", "figure", "value", "target", "met")
    marks = {True: "yes", False: "NO", None: ""}
    for report in reports:
        for figure in report["figures"]:
            goal = figure["target"]
            sign = "≤" if figure["better"] == "lower" else "≥"
            table.add_row(
                report["benchmark"],
                figure["name"],
                f"{figure['value']:g} {figure['unit']}",
                "" if goal is None else f"{sign} {goal:g}",
                marks[figure["ok"]],
            )
    return table


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="which; else all")
    parser.add_argument("--quick", action="store_true", help="only show that they run")
    parser.add_argument("--json", type=Path, help="write the reports to this file")
    parser.add_argument("--compare", type=Path, help="stored ratios: name -> value, as JSON")
    options = parser.parse_args()
    reports = [report_of(name, quick=options.quick) for name in options.names or BENCHMARKS]
    Console().print(table_of(reports))
    if options.json:
        options.json.write_text(json.dumps(reports, indent=2) + "\n")
    if options.compare:
        worse = regressions(reports, json.loads(options.compare.read_text()))
        for sentence in worse:
            print(f"worse: {sentence}", file=sys.stderr)
        if worse:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
