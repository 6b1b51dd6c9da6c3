"""What a turn takes: with an instant language model, without and with memory; and on real models.

`instant` needs no weights, `memory` the embedder's, `spoken` all.
"""

from __future__ import annotations

import sys

import turn_instant
import turn_spoken
from command import Options, main
from figures import Report

PARTS = ("instant", "memory", "spoken")
INSTANT_TURNS, QUICK_INSTANT_TURNS = 1_000, 10
SPOKEN_TURNS, QUICK_SPOKEN_TURNS = 20, 2


async def measure(options: Options) -> Report:
    """Return what the chosen parts took."""
    report = Report("turn", options.quick)
    if {"instant", "memory"} & set(options.parts):
        turns = QUICK_INSTANT_TURNS if options.quick else INSTANT_TURNS
        await turn_instant.measure(report, turns, with_memory="memory" in options.parts)
    if "spoken" in options.parts:
        turns = QUICK_SPOKEN_TURNS if options.quick else SPOKEN_TURNS
        await turn_spoken.measure(report, turns)
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("turn", measure, PARTS)
