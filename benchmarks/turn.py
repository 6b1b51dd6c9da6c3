"""What a turn takes: with an instant language model, and spoken on real models.

Args on the command line: `--quick`; then real models and memory are left out.
"""

from __future__ import annotations

import sys

import turn_instant
import turn_spoken
from figures import Report, main

INSTANT_TURNS = 1_000
SPOKEN_TURNS = 24
QUICK_TURNS = 10


async def measure(quick: bool) -> Report:  # noqa: FBT001  (the benchmark's only argument)
    """Return both parts."""
    report = Report("turn", quick)
    await turn_instant.measure(report, QUICK_TURNS if quick else INSTANT_TURNS)
    if not quick:
        await turn_spoken.measure(report, SPOKEN_TURNS)
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("turn", measure)
