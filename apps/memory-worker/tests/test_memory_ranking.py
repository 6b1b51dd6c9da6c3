from __future__ import annotations

import pytest
from antiphon_memory.ranking import (
    Floors,
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
