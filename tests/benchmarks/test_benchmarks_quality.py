from __future__ import annotations

import math

import numpy as np
import pytest
from memory_quality import figures_of, interval, scores_of
from memory_questions import HALVES, KINDS, household, of_rows

pytestmark = pytest.mark.unit


def test_scores_of_one_answer() -> None:
    assert scores_of(["7", "1"], frozenset({7})) == (1.0, 1.0, 1.0)
    assert scores_of(["1", "2", "7"], frozenset({7})) == (0.5, 1.0, 1 / 3)
    assert scores_of([str(number) for number in range(10)], frozenset({10})) == (0.0, 0.0, 0.0)
    assert scores_of([str(number) for number in range(20)], frozenset({10})) == (0.0, 0.0, 0.0)
    assert scores_of([], frozenset({1})) == (0.0, 0.0, 0.0)


def test_scores_of_several_answers() -> None:
    ndcg, recall, reciprocal = scores_of(["9", "1", "2"], frozenset({1, 2, 3}))
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg == pytest.approx((1 / math.log2(3) + 1 / 2) / ideal)
    assert (recall, reciprocal) == (2 / 3, 1 / 2)


def test_an_interval_holds_the_mean_difference_and_is_a_point_where_nothing_varies() -> None:
    better, worse = np.full((50, 3), 0.75), np.full((50, 3), 0.5)
    assert interval(better, worse) == [0.25, 0.25]
    better[:25, 0] = 0.5
    low, high = interval(better, worse)
    assert 0 < low < 0.125 < high < 0.25


def test_hybrid_must_reach_the_better_of_its_parts() -> None:
    scores = {
        way: np.full((4, 3), value)
        for way, value in (("words", 0.5), ("vectors", 0.7), ("hybrid", 0.6))
    }
    *parts, hybrid = figures_of("set", scores)
    assert [figure.met for figure in parts] == [None, None]
    assert (hybrid.goal, hybrid.met) == (0.7, False)


def test_texts_are_stored_once_and_a_question_may_have_several_answers() -> None:
    known = of_rows([("a", "k", "x?"), ("b", "k", "x?"), ("a", "k", "y?"), ("a", "j", "y?")])
    assert known.texts == ("a", "b")
    assert [(one.text, one.kind, set(one.answers)) for one in known.questions] == [
        ("x?", "k", {0, 1}),
        ("y?", "k", {0}),
        ("y?", "j", {0}),
    ]


def test_the_household_has_enough_questions_of_each_kind_in_both_halves() -> None:
    known = household()
    halves = {name: known.half(name) for name in HALVES}
    assert sum(map(len, halves.values())) == len(known.questions) >= 200
    assert {one.text for one in halves["dev"]}.isdisjoint(one.text for one in halves["held out"])
    for half in halves.values():
        assert {one.kind for one in half} == set(KINDS)
    for one in known.questions:
        (place,) = one.answers
        assert one.text.casefold() != known.texts[place].casefold()
