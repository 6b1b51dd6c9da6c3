from __future__ import annotations

import json

import pytest
from command import goal_of, show
from figures import Figure, Report, block_ratio, percentile, pooled, rotated, spread

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (1.0, 100.0)]
)
def test_a_percentile_is_a_value_of_the_sample_by_nearest_rank(
    share: float, expected: float
) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_one_value_is_every_percentile_of_itself() -> None:
    assert [percentile([7.0], share) for share in (0.0, 0.5, 0.99)] == [7.0, 7.0, 7.0]


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_spread_has_the_median_of_an_even_sample_between_two_values() -> None:
    found = spread([1.0, 2.0, 3.0, 10.0])
    assert (found.p50, found.p90, found.p99) == (2.5, 10.0, 10.0)
    assert found.as_json() == {"p50": 2.5, "p90": 10.0, "p99": 10.0}


def test_a_slow_while_that_hits_both_of_a_pair_drops_out_of_their_ratio() -> None:
    ours = [[1.0, 1.0, 9.0], [10.0, 10.0, 10.0], [1.0, 1.0, 1.0]]
    theirs = [[2.0, 2.0, 2.0], [20.0, 20.0, 20.0], [2.0, 2.0, 2.0]]
    assert block_ratio(ours, theirs) == 0.5
    assert block_ratio(ours, theirs, max) == 0.5


def test_blocks_without_a_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        block_ratio([[1.0], [1.0]], [[1.0]])


def test_blocks_are_pooled_in_order() -> None:
    assert pooled([[1.0, 2.0], [], [3.0]]) == [1.0, 2.0, 3.0]


def test_each_name_comes_first_in_its_turn() -> None:
    names = ["a", "b", "c"]
    assert [rotated(names, by)[0] for by in range(4)] == ["a", "b", "c", "a"]
    assert all(sorted(rotated(names, by)) == names for by in range(4))


@pytest.mark.parametrize(
    ("figure", "met", "goal"),
    [
        (Figure("a", 0.6, "x", 0.6), True, "≤ 0.6 x"),
        (Figure("a", 0.61, "x", 0.6), False, "≤ 0.6 x"),
        (Figure("a", 2.0, "x", 2.0, "higher"), True, "≥ 2 x"),
        (Figure("a", 1.9, "x", 2.0, "higher"), False, "≥ 2 x"),
        (Figure("a", 0, "calls", 0), True, "≤ 0 calls"),
        (Figure("a", 12.0, "ms"), None, ""),
    ],
)
def test_a_figure_knows_its_goal_and_whether_it_is_met(
    figure: Figure, met: bool | None, goal: str
) -> None:
    assert figure.met is met
    assert goal_of(figure) == goal
    assert figure.as_json()["met"] is met


def test_only_an_x_is_comparable_between_machines() -> None:
    assert Figure("a", 1.0, "x").is_ratio
    assert not Figure("a", 1.0, "ms").is_ratio


def test_a_report_survives_json() -> None:
    report = Report(
        "bus",
        quick=False,
        figures=[Figure("p50", 0.5, "x", 0.6), Figure("rate", 3.0, "x", 2.0, "higher")],
        details={"calls": 3},
    )
    assert Report.from_json(json.loads(json.dumps(report.as_json()))) == report


def test_the_table_shows_value_goal_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [Figure("slow", 2.0, "x", 0.6), Figure("fine", 0.5, "x", 0.6), Figure("p50", 3, "ms")]
    show(Report("bus", quick=True, figures=figures))
    printed = capsys.readouterr().out
    rows = {line.split()[1]: line for line in printed.splitlines() if "│" in line}
    assert "mean nothing" in printed
    assert "≤ 0.6 x" in rows["slow"]
    assert "NO" in rows["slow"]
    assert "yes" in rows["fine"]
    assert not {"yes", "NO"} & set(rows["p50"].split())
