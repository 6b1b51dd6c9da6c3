from __future__ import annotations

import pytest
from antiphon.wording import word_error_rate, words

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("It is 5:01 PM.", "It is 5.01pm"),
        ("That is 84.", "that is eighty-four"),
        ("Fifty percent", "50%"),
        ("Bell invented it!", "bell invented it"),
        ("7 p.m.", "seven PM"),
    ],
)
def test_what_sounds_the_same_is_the_same(said: str, heard: str) -> None:
    assert word_error_rate(said, heard) == 0


def test_numbers_are_compared_digit_by_digit() -> None:
    assert words("twelve") == ["1", "2"]
    assert word_error_rate("84", "85") == 0.5


@pytest.mark.parametrize(
    ("said", "heard", "rate"),
    [
        ("the cat sat down", "the cat sat down", 0.0),
        ("the cat sat down", "the hat sat down", 0.25),
        ("the cat sat down", "the cat down", 0.25),
        ("the cat sat down", "", 1.0),
        ("cat", "the cat sat", 2.0),
        ("", "", 0.0),
        ("", "something", 1.0),
    ],
)
def test_the_rate_is_wrong_words_over_words_said(said: str, heard: str, rate: float) -> None:
    assert word_error_rate(said, heard) == pytest.approx(rate)


def test_an_apostrophe_stays_in_its_word() -> None:
    assert words("Bell's phone") == ["bell's", "phone"]
