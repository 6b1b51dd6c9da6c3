"""Stored ratios: what a later run is compared with.

Only ratios of things measured in the same run are stored: wall-clock times say more about the
machine than about the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from figures import Figure, Report

TOLERANCE = 1.25
"""A ratio that is worse by more than this factor fails."""
TAIL_TOLERANCE = 2.0
"""The same for p90 and p99, which a few late wake-ups decide."""

Ratios = dict[str, float]


def tolerance(name: str) -> float:
    """Return by which factor a figure of this name may be worse than the stored one."""
    return TAIL_TOLERANCE if "p90" in name or "p99" in name else TOLERANCE


def _figures(reports: Iterable[Report]) -> dict[str, Figure]:
    return {
        f"{report.benchmark}: {figure.name}": figure
        for report in reports
        for figure in report.figures
        if figure.is_ratio
    }


def worse_by(figure: Figure, before: float) -> float:
    """Return the factor by which a ratio got worse; below 1 it got better."""
    now, then = (figure.value, before) if figure.better == "lower" else (before, figure.value)
    if then == 0:
        return 1.0 if now == 0 else float("inf")
    return now / then


def regressions(reports: Iterable[Report], stored: Mapping[str, float]) -> list[str]:
    """Return a sentence for every ratio that is worse than the stored one beyond its tolerance."""
    return [
        f"{name}: {figure.value:.4g}, stored {stored[name]:.4g}: "
        f"{factor:.2f} times worse, {tolerance(name):g} is tolerated"
        for name, figure in _figures(reports).items()
        if name in stored and (factor := worse_by(figure, stored[name])) > tolerance(name)
    ]


def uncompared(reports: Iterable[Report], stored: Mapping[str, float]) -> list[str]:
    """Return a sentence for every ratio that only one side has, of the benchmarks that ran."""
    reports = list(reports)
    ran = {report.benchmark for report in reports}
    found = _figures(reports)
    return [
        *(f"{name}: not stored yet" for name in found if name not in stored),
        *(
            f"{name}: stored, but no longer measured"
            for name in stored
            if name.partition(":")[0] in ran and name not in found
        ),
    ]


def load(path: Path) -> Ratios:
    """Return the stored ratios by name.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else.
    """
    stored = json.loads(path.read_text())
    if not isinstance(stored, dict):
        msg = f"{path} holds no ratios"
        raise ValueError(msg)  # noqa: TRY004  (to the caller a wrong content, like broken JSON)
    return {name: float(value) for name, value in stored.items()}


def save(path: Path, reports: Iterable[Report]) -> None:
    """Store the ratios of these reports; those of other benchmarks stay as they are."""
    reports = list(reports)
    ran = {report.benchmark for report in reports}
    kept = load(path) if path.exists() else {}
    ratios = {name: value for name, value in kept.items() if name.partition(":")[0] not in ran}
    ratios |= {name: round(figure.value, 4) for name, figure in _figures(reports).items()}
    path.write_text(json.dumps(ratios, indent=2, sort_keys=True) + "\n")
