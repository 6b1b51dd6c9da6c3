"""All benchmarks, or named ones: figures with their goals, JSON, and ratios to compare with.

Ends with 1 if a benchmark failed, or, with --compare, if a ratio got worse than is tolerated. A
goal that is missed is told; it is no failure, because a busy machine misses some.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import baseline
from command import goal_of, say, show
from figures import Report

BENCHMARKS = (
    "bus",
    "loop_lag",
    "turn",
    "footprint",
    "live_first_audio",
    "live_idle",
    "live_replies",
    "live_sites",
)
"""Those that take minutes; the others, `live_*.py` too, are commands of their own."""
HERE = Path(__file__).parent
TIMEOUT_S = 900.0
QUICK_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 30.0


class BenchmarkError(Exception):
    """A benchmark brought no report; the text says how it ended."""


def report_of(name: str, *, quick: bool, folder: Path = HERE) -> Report:
    """Run one benchmark as a process of its own and return its report.

    Raises:
        BenchmarkError: it ended badly, or not in time.
    """
    command = [sys.executable, str(folder / f"{name}.py"), "--json"]
    timeout_s = QUICK_TIMEOUT_S if quick else TIMEOUT_S
    output = _output_of([*command, "--quick"] if quick else command, timeout_s)
    try:
        return Report.from_json(json.loads(output))
    except (ValueError, KeyError, TypeError) as error:
        msg = "it printed no report"
        raise BenchmarkError(msg) from error


def _output_of(command: Sequence[str], timeout_s: float) -> str:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _stop(process)
            msg = f"it was stopped after {timeout_s:g} s"
            raise BenchmarkError(msg) from error
    if process.returncode:
        msg = f"it ended with {process.returncode}"
        raise BenchmarkError(msg)
    return output


def _stop(process: subprocess.Popen[str]) -> None:
    """End a benchmark as Ctrl-C does, so that it ends what it started; else kill it."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def run_all(
    names: Iterable[str], *, quick: bool, folder: Path = HERE
) -> tuple[list[Report], list[str]]:
    """Run one after the other and show each; returns the reports and who failed, in sentences."""
    reports, failures = [], []
    for name in names:
        say(name)
        try:
            report = report_of(name, quick=quick, folder=folder)
        except BenchmarkError as failed:
            failures.append(f"{name} failed: {failed}")
            say(failures[-1])
            continue
        show(report)
        reports.append(report)
    return reports, failures


def verdict(reports: Iterable[Report]) -> list[str]:
    """Return how many goals are met, and a sentence for each that is not."""
    goals = [
        (report.benchmark, figure)
        for report in reports
        for figure in report.figures
        if figure.goal is not None
    ]
    missed = [
        f"missed: {benchmark}: {figure.name}: {figure.value:.4g}, goal {goal_of(figure)}"
        for benchmark, figure in goals
        if not figure.met
    ]
    return [f"{len(goals) - len(missed)} of {len(goals)} goals are met", *missed]


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line wants; a wrong one ends the programme with 2 and says why."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}: or all")
    parser.add_argument("--quick", action="store_true", help="only show that they run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the reports to this file")
    parser.add_argument("--compare", action="store_true", help="compare with the stored ratios")
    parser.add_argument("--save", action="store_true", help="store this run's ratios")
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", default=HERE / "baseline.json", help="where"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if options.quick and (options.compare or options.save):
        parser.error("the figures of --quick mean nothing: run without it to --compare or --save")
    if options.compare:
        try:
            baseline.load(options.baseline)
        except (OSError, ValueError):
            parser.error(f"no ratios are stored in {options.baseline}: store some with --save")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; returns the exit code."""
    options = options_of(arguments)
    reports, failures = run_all(options.names or BENCHMARKS, quick=options.quick)
    sentences = [*verdict(reports), *failures]
    worse: list[str] = []
    if options.compare:
        stored = baseline.load(options.baseline)
        worse = baseline.regressions(reports, stored)
        sentences += [f"worse: {sentence}" for sentence in worse] or ["no ratio got worse"]
        sentences += baseline.uncompared(reports, stored)
    if options.save:
        baseline.save(options.baseline, reports)
    if options.json:
        written = [report.as_json() for report in reports]
        options.json.write_text(json.dumps(written, indent=2) + "\n")
    print("\n".join(sentences))
    return 1 if failures or worse else 0


if __name__ == "__main__":
    sys.exit(main())
