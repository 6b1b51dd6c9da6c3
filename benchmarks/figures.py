"""What a benchmark reports: figures with targets, as JSON; and the statistics behind them."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher"]
RATIO = "x"


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        name: unique within its benchmark.
        value: the value.
        unit: `x` for a ratio of two things measured in the same run, else e.g. `ms`.
        target: what it must reach; None is for information only.
        better: the good direction.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Better = "lower"

    @property
    def ok(self) -> bool | None:
        """Whether the target is reached; None if there is none."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    @property
    def is_ratio(self) -> bool:
        """Whether it can be compared between machines."""
        return self.unit == RATIO

    def as_json(self) -> dict[str, Any]:
        """Return it for the report."""
        return {**asdict(self), "value": round(self.value, 4), "ok": self.ok}


@dataclass
class Report:
    """What a benchmark found.

    Attributes:
        benchmark: its name.
        quick: whether the form was too short for its figures to mean anything.
        figures: the results.
        details: whatever explains them.
    """

    benchmark: str
    quick: bool
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        return {
            "benchmark": self.benchmark,
            "quick": self.quick,
            "figures": [figure.as_json() for figure in self.figures],
            "details": self.details,
        }


@dataclass(frozen=True)
class Spread:
    """Percentiles of one sample."""

    p50: float
    p90: float
    p99: float

    def as_json(self) -> dict[str, float]:
        """Return the percentiles, rounded."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the sample does not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        msg = "no values to take a percentile of"
        raise ValueError(msg)
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def spread(values: Sequence[float]) -> Spread:
    """Return the percentiles that the reports show."""
    return Spread(statistics.median(values), percentile(values, 0.9), percentile(values, 0.99))


def block_ratio(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    of: Callable[[Sequence[float]], float] = statistics.median,
) -> float:
    """Return the median, over interleaved blocks, of `of(our block) / of(their block)`.

    What slows the machine down for a while slows both of a pair, and drops out.
    """
    return statistics.median(of(a) / of(b) for a, b in zip(ours, theirs, strict=True))


def pooled(blocks: Sequence[Sequence[float]]) -> list[float]:
    """Return all blocks' values together."""
    return [value for block in blocks for value in block]


def rotated(names: Sequence[str], by: int) -> list[str]:
    """Return the names, begun at another one each time, so that none always comes first."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def say(text: str) -> None:
    """Tell the person who waits how far it is; standard output carries the report alone."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(name: str, measure: Callable[[bool], Coroutine[Any, Any, Report]]) -> None:
    """Run one benchmark as a programme: its report goes to standard output as one JSON object."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--quick", action="store_true", help="only show that it runs (seconds)")
    quick: bool = parser.parse_args().quick

    print(json.dumps(asyncio.run(measure(quick)).as_json()))
