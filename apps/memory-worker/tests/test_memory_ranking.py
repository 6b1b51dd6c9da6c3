from __future__ import annotations

import pytest
from antiphon_memory.ranking import (
    Floors,
    decay,
    estimate_tokens,
    fuse,
    newest_within_budget,
    within_budget,
)

pytestmark = pytest.mark.unit


def test_what_both_rankings_like_comes_first() -> None:
    assert fuse([["a", "b", "c"], ["c", "b"]]) == ["c", "b", "a"]
    assert fuse([["a"], []]) == ["a"]
    assert fuse([]) == []


def test_a_score_halves_with_each_half_life_and_no_half_life_is_no_ageing() -> None:
    day_s = 86_400.0
    assert [decay(days * day_s, 10) for days in (0, 10, 20, 5)] == [1.0, 0.5, 0.25, 0.5**0.5]
    assert decay(-day_s, 10) == 1.0
    assert decay(1e12, 0) == 1.0
    assert decay(1e15, 0.001) == 0.0


def test_weights_change_the_order_and_what_is_not_named_keeps_its_score() -> None:
    rankings = [["a", "b", "c"], ["c", "b"]]
    assert fuse(rankings, {}) == fuse(rankings)
    assert fuse(rankings, {"c": 0.5, "elsewhere": 9.0}) == ["b", "a", "c"]
    assert fuse(rankings, {"c": 0.0, "b": 0.0}) == ["a", "b", "c"]


def test_a_token_is_about_four_characters() -> None:
    assert [estimate_tokens("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_a_budget_passes_over_what_does_not_fit() -> None:
    texts = ["x" * 8, "y" * 400, "z" * 4]
    assert within_budget(texts, str, 3) == ["x" * 8, "z" * 4]
    assert within_budget(texts, str, None) == texts
    assert within_budget(texts, str, 1) == ["z" * 4]


def test_history_keeps_the_newest_without_a_gap_and_turns_it_round() -> None:
    newest_first = ["d" * 4, "c" * 4, "b" * 40, "a" * 4]
    assert newest_within_budget(newest_first, str, 5) == ["c" * 4, "d" * 4]
    assert newest_within_budget(newest_first, str, 100) == newest_first[::-1]


def test_floors() -> None:
    floors = Floors(relevance=0.3, keyword=0.25, forget=0.5)
    let = floors.lets_through
    assert let(0.3, shares_word=False, has_all_words=False)
    assert not let(0.29, shares_word=False, has_all_words=False)
    assert let(0.26, shares_word=True, has_all_words=False)
    assert not let(0.2, shares_word=True, has_all_words=False)
    assert let(0.0, shares_word=True, has_all_words=True)
    assert let(None, shares_word=True, has_all_words=False)
    assert floors.may_forget(0.5, has_all_words=False)
    assert not floors.may_forget(0.49, has_all_words=False)
    assert floors.may_forget(0.31, has_all_words=True)
    assert not floors.may_forget(None, has_all_words=False)
