import re

import pytest
from antiphon_tts.clauses import cut, cut_first
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_blank_text_has_no_pieces(text: str) -> None:
    assert list(cut(text)) == []


def test_short_text_comes_as_it_is() -> None:
    assert list(cut(" Dr. Smith paid $3.50. Fine. ")) == [" Dr. Smith paid $3.50. Fine. "]


def test_cuts_behind_a_sentence_rather_than_a_clause_or_a_word() -> None:
    text = "One two. Three, four five six"
    assert list(cut(text, 20)) == ["One two.", "Three, four five six"]


def test_cuts_behind_a_clause_rather_than_a_word() -> None:
    assert list(cut("one two, three four five", 20)) == ["one two,", "three four five"]


def test_cuts_between_words_where_there_is_no_punctuation() -> None:
    assert list(cut("one two three four", 10)) == ["one two", "three four"]


def test_cuts_anywhere_where_there_are_no_words() -> None:
    assert list(cut("a" * 25, 10)) == ["a" * 10, "a" * 10, "a" * 5]


def test_a_decimal_point_is_no_end_of_a_sentence() -> None:
    assert list(cut("it is 21.5 degrees", 12)) == ["it is 21.5", "degrees"]


@given(st.text(alphabet="ab .,;\n", max_size=300), st.integers(1, 40))
def test_loses_nothing_but_blanks_and_keeps_to_the_limit(text: str, limit: int) -> None:
    pieces = list(cut(text, limit))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece.strip() for piece in pieces)
    assert all(len(piece) <= limit for piece in pieces)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It is ten.", "It is ten."),
        (
            "The weather tomorrow is sunny, with a light wind from the west in the afternoon.",
            "The weather tomorrow is sunny,",
        ),
        (
            "The tallest mountain of the whole wide world is Mount Everest on the border.",
            "The tallest mountain,",
        ),
        (
            "Supercalifragilistic expialidocious antidisestablishmentarianism reigns supreme here.",
            "Supercalifragilistic,",
        ),
        ("a" * 300, "a" * 300),
    ],
)
def test_the_first_piece_of_an_answer_is_soon_spoken(text: str, first: str) -> None:
    found, rest = cut_first(text)
    assert found == first
    assert re.findall(r"\w+", f"{found} {rest}") == re.findall(r"\w+", text)


def test_no_decimal_or_time_is_cut() -> None:
    text = "Your total comes to about 1,250.75 today, which is at 10:30 more than it was before."
    assert cut_first(text)[0] == "Your total comes to about 1,250.75 today,"
