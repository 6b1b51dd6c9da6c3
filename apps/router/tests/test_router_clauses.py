from __future__ import annotations

import pytest
from antiphon_router import ClauseChunker
from antiphon_router.clauses import speakable
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def cut(text: str, step: int = 3) -> list[str]:
    chunker = ClauseChunker()
    clauses = []
    for start in range(0, len(text), step):
        clauses += chunker.feed(text[start : start + step])
    return clauses + chunker.flush()


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Hello. How are you?", ["Hello.", "How are you?"]),
        ("Pi is 3.14 today. Yes.", ["Pi is 3.14 today.", "Yes."]),
        ("Ask Dr. Who now. Go!", ["Ask Dr. Who now.", "Go!"]),
        ("See e.g. this one. Done.", ["See e.g. this one.", "Done."]),
        ("It is 3:42 p.m. in Rome.", ["It is 3:42 p.m. in Rome."]),
        ("It is 3 p.m. Good night.", ["It is 3 p.m.", "Good night."]),
        ("J. R. Tolkien wrote it.", ["J. R. Tolkien wrote it."]),
        ("It costs 1,000 euros.", ["It costs 1,000 euros."]),
        ("One\nTwo", ["One", "Two"]),
        ("1. Milk\n2. Eggs", ["1. Milk", "2. Eggs"]),
        ("Wait... what? Yes.", ["Wait...", "what?", "Yes."]),
        ("", []),
        ("   ", []),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_clauses_end_where_sentences_end(text: str, clauses: list[str], step: int) -> None:
    assert cut(text, step) == clauses


def test_a_long_first_sentence_is_heard_from_its_first_comma() -> None:
    text = "Once upon a time in a far away land, there lived a king, who had three daughters."
    clauses = cut(text)
    assert clauses[0] == "Once upon a time in a far away land,"
    assert " ".join(clauses) == text


def test_a_clause_is_given_as_soon_as_it_can_stand() -> None:
    chunker = ClauseChunker()
    assert chunker.feed("It is red.") == []
    assert chunker.feed(" And") == ["It is red."]


def test_text_without_any_mark_is_cut_at_a_space() -> None:
    clauses = cut("word " * 300)
    assert all(len(clause) <= 400 for clause in clauses)
    assert " ".join(clauses) == ("word " * 300).strip()


@given(st.text(max_size=600), st.integers(1, 50))
def test_no_word_is_lost_or_doubled(text: str, step: int) -> None:
    assert "".join("".join(cut(text, step)).split()) == "".join(text.split())


def test_markdown_and_emoji_are_not_spoken() -> None:
    text = "## Hi\n* **bold** and `code` [site](http://x.y/z) https://a.b/c \U0001f600"
    assert speakable(text) == "Hi bold and code site a link"
