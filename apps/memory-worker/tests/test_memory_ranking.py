from __future__ import annotations

import pytest
from antiphon_memory.ranking import (
    Floors,
    blend,
    decay,
    estimate_tokens,
    fuse,
    newest_within_budget,
    share_of_words,
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


def test_shared_words_decide_between_what_is_about_as_near() -> None:
    cosines = {"a": 0.50, "b": 0.48, "c": 0.30, "d": 0.10}
    near = list(cosines)
    assert blend(near, cosines, [["b"]], {"b": 1.0}) == ["b", "a", "c", "d"]
    assert blend(near, cosines, [["b"]], {"b": 0.25}) == near
    assert blend(near, cosines, [["c"]], {"c": 1.0}) == near


def test_what_stands_further_back_by_words_gains_less() -> None:
    cosines = {"a": 0.50, "b": 0.46, "c": 0.10}
    words = [f"other {number}" for number in range(10)]
    shares = dict.fromkeys([*words, "b"], 1.0)
    known = {**cosines, **dict.fromkeys(words, -0.5)}
    assert blend(["a", "b", "c"], known, [["b"]], shares)[0] == "b"
    assert blend(["a", "b", "c"], known, [[*words, "b"]], shares)[0] == "a"


def test_what_has_no_vector_yet_counts_as_near_as_its_rank_by_words() -> None:
    cosines = {"a": 0.5, "b": 0.4, "c": 0.1}
    near = ["a", "b", "c"]
    assert blend(near, cosines, [["new"]], {"new": 1.0})[0] == "new"
    assert blend(near, cosines, [["c", "new"]], {"c": 0.1, "new": 0.1}) == ["a", "new", "b", "c"]
    assert blend(["a"], {"a": 0.5}, [["b", "new"]], {"b": 0.1, "new": 0.1}) == ["a", "b", "new"]


def test_of_two_rankings_by_words_the_better_place_counts_and_weights_count_at_last() -> None:
    cosines = {"a": 0.5, "b": 0.45, "c": 0.1}
    near = ["a", "b", "c"]
    shares = {"b": 1.0, "c": 0.0}
    assert blend(near, cosines, [["c", "b"], ["b"]], shares) == ["b", "a", "c"]
    assert blend(near, cosines, [["b"]], shares, {"b": 0.5, "elsewhere": 2.0}) == ["a", "b", "c"]


def test_the_share_of_words_also_counts_words_inside_of_words() -> None:
    assert share_of_words(["bike", "red", "seven"], "Red bikes") == 2 / 3
    assert share_of_words([], "Red bikes") == 0.0


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
