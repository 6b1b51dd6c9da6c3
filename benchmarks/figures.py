"""What a benchmark reports: figures with goals, as JSON; and the statistics behind them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
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
        goal: what it must reach; None is for information only.
        better: the good direction.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    better: Better = "lower"

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None if there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal

    @property
    def is_ratio(self) -> bool:
        """Whether it can be compared between machines."""
        return self.unit == RATIO

    def as_json(self) -> dict[str, Any]:
        """Return it for the report."""
        return {**asdict(self), "value": round(self.value, 4), "met": self.met}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Figure:
        """Return what `as_json` was made of, but for the digits that it drops."""
        return cls(**{name: value for name, value in found.items() if name != "met"})


@dataclass
class Report:
    """What a benchmark found.

    Attributes:
        benchmark: its name.
        quick: whether it was too short for its figures to mean anything.
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

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Report:
        """Return what `as_json` was made of.

        Raises:
            KeyError: that is no report.
        """
        return cls(
            found["benchmark"],
            found["quick"],
            [Figure.from_json(figure) for figure in found["figures"]],
            found["details"],
        )


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
    """Return the percentiles that the reports show.

    Raises:
        ValueError: there are no values.
    """
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
