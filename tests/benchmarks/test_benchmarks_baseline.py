from __future__ import annotations

import json
from pathlib import Path

import baseline
import pytest
from figures import Better, Figure, Report

pytestmark = pytest.mark.unit


def report(benchmark: str, **ratios: float) -> Report:
    figures = [Figure(name.replace("_", " "), value, "x") for name, value in ratios.items()]
    return Report(benchmark, quick=False, figures=[*figures, Figure("wall clock", 9.0, "ms")])


@pytest.mark.parametrize(
    ("better", "now", "before", "factor"),
    [
        ("lower", 2.0, 1.0, 2.0),
        ("lower", 1.0, 2.0, 0.5),
        ("higher", 1.0, 2.0, 2.0),
        ("higher", 2.0, 1.0, 0.5),
        ("lower", 0.0, 0.0, 1.0),
        ("lower", 1.0, 0.0, float("inf")),
        ("higher", 0.0, 1.0, float("inf")),
    ],
)
def test_worse_is_told_by_the_good_direction(
    better: Better, now: float, before: float, factor: float
) -> None:
    assert baseline.worse_by(Figure("a", now, "x", None, better), before) == factor


def test_a_ratio_within_its_tolerance_passes_and_one_beyond_is_named() -> None:
    stored = {"bus: p50": 1.0}
    assert baseline.regressions([report("bus", p50=1.25)], stored) == []
    (sentence,) = baseline.regressions([report("bus", p50=1.3)], stored)
    assert sentence.startswith("bus: p50: 1.3, stored 1: 1.30 times worse, 1.25 is tolerated")


def test_tails_are_allowed_more() -> None:
    stored = {"bus: p99": 1.0, "bus: p90": 1.0}
    assert baseline.regressions([report("bus", p99=1.9, p90=1.9)], stored) == []
    assert len(baseline.regressions([report("bus", p99=2.1, p90=2.1)], stored)) == 2


def test_what_got_better_is_no_regression() -> None:
    assert baseline.regressions([report("bus", p50=0.1)], {"bus: p50": 1.0}) == []


def test_what_only_one_side_has_is_told_for_the_benchmarks_that_ran() -> None:
    stored = {"bus: old": 1.0, "turn: p50": 1.0}
    assert baseline.uncompared([report("bus", new=1.0)], stored) == [
        "bus: new: not stored yet",
        "bus: old: stored, but no longer measured",
    ]


def test_only_ratios_are_stored_and_other_benchmarks_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    baseline.save(path, [report("bus", p50=1.0, gone=2.0), report("turn", p50=3.0)])
    baseline.save(path, [report("bus", p50=1.5)])
    assert baseline.load(path) == {"bus: p50": 1.5, "turn: p50": 3.0}
    assert json.loads(path.read_text()) == baseline.load(path)


@pytest.mark.parametrize("text", ["[]", "no json", '{"bus: p50": "much"}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        baseline.load(path)
