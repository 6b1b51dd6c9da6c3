"""Chunks: no word lost, none too long, none across sections."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from antiphon_documents import Chunk, Document, Section, chunks, estimated_tokens
from antiphon_documents.chunking import sentences
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

WORDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)
TEXTS = st.lists(
    WORDS | st.sampled_from([". ", "! ", "\n\n", "\n", "Dr. ", "a.b "]), min_size=1
).map(" ".join)
SECTIONS = st.builds(
    Section,
    st.lists(WORDS, max_size=3).map(tuple),
    TEXTS.filter(lambda text: bool(text.strip())),
    st.none() | st.integers(1, 9),
)
DOCUMENTS = st.builds(Document, WORDS, st.lists(SECTIONS, min_size=1, max_size=5).map(tuple))


def one(text: str, *heading: str, page: int | None = None) -> Document:
    return Document("title", (Section(heading, text, page),))


def words(text: str) -> list[str]:
    """Split as white space does, and behind the marks that end a sentence without it."""
    return re.sub("([。！？])", r"\1 ", text).split()


def texts(found: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in found]


@settings(deadline=None)
@example(one("？0"), 2, 0)
@given(DOCUMENTS, st.integers(1, 60), st.integers(0, 30))
def test_every_word_is_in_some_chunk_and_no_chunk_is_too_long(
    document: Document, max_tokens: int, overlap_tokens: int
) -> None:
    overlap = min(overlap_tokens, max_tokens - 1)
    found = chunks(document, max_tokens=max_tokens, overlap_tokens=overlap)
    assert [chunk.ordinal for chunk in found] == list(range(len(found)))
    for chunk in found:
        assert chunk.text.strip() == chunk.text != ""
        assert estimated_tokens(chunk.text) <= max_tokens
    held = {(chunk.heading, chunk.page, word) for chunk in found for word in words(chunk.text)}
    for section in document.sections:
        for word in words(section.text):
            if estimated_tokens(word) <= max_tokens:
                assert (section.heading, section.page, word) in held
    # Without overlap nothing is said twice either.
    plain = chunks(document, max_tokens=max_tokens, overlap_tokens=0)
    assert "".join("".join(texts(plain)).split()) == "".join(
        "".join(section.text.split()) for section in document.sections
    )


@settings(deadline=None)
@given(DOCUMENTS)
def test_the_same_document_has_the_same_chunks(document: Document) -> None:
    assert chunks(document, max_tokens=20, overlap_tokens=5) == chunks(
        document, max_tokens=20, overlap_tokens=5
    )


def test_short_sections_stay_whole_and_apart() -> None:
    document = Document("t", (Section(("A",), "One two."), Section(("A", "B"), "Three.\n\nFour.")))
    assert chunks(document) == [
        Chunk("One two.", "#a", 0, ("A",), None),
        Chunk("Three.\n\nFour.", "#b", 1, ("A", "B"), None),
    ]


def test_the_next_chunk_repeats_whole_sentences() -> None:
    text = " ".join(f"Sentence {n} has some words." for n in range(12))
    found = texts(chunks(one(text), max_tokens=30, overlap_tokens=10))
    assert len(found) > 3
    for first, second in pairwise(found):
        repeated = second[: second.index(".") + 1]
        assert first.endswith(repeated)
        assert first != second


def test_no_overlap_leads_from_one_section_into_the_next() -> None:
    sections = tuple(Section((name,), f"All about {name}. Short.") for name in "abc")
    found = chunks(Document("t", sections), max_tokens=12, overlap_tokens=6)
    assert texts(found) == [f"All about {name}. Short." for name in "abc"]


def test_a_chunk_ends_with_a_paragraph_where_it_is_half_full() -> None:
    first = "The cats of the old house sleep all day. They wake at night."
    second = "Dogs are different. They sleep at night. They bark by day. They run and eat."
    found = texts(chunks(one(f"{first}\n\n{second}"), max_tokens=30, overlap_tokens=0))
    assert found == [first, second]


def test_sentences_that_are_too_long_are_cut_between_words() -> None:
    text = "word " * 50
    found = texts(chunks(one(text), max_tokens=10, overlap_tokens=3))
    assert all(set(piece.split()) == {"word"} for piece in found)
    assert sum(len(piece.split()) for piece in found) >= 50


def test_a_word_that_is_too_long_is_cut_and_whole_all_the_same() -> None:
    word = "https://example.com/" + "x" * 400
    found = texts(chunks(one(f"See {word} there."), max_tokens=20, overlap_tokens=0))
    assert "".join(found).replace(" ", "") == f"See{word}there."


def test_another_tokenizer_counts() -> None:
    found = chunks(
        one("a b c d e f g"), max_tokens=3, overlap_tokens=0, count=lambda t: len(t.split())
    )
    assert texts(found) == ["a b c", "d e f", "g"]


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_budgets_that_leave_no_room(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunks(one("a"), max_tokens=size, overlap_tokens=overlap)


def test_anchors_are_those_of_the_headings_or_pages() -> None:
    sections = (
        Section((), "before"),
        Section(("Über uns & mehr!",), "a"),
        Section(("Notes",), "b"),
        Section(("Other", "Notes"), "c"),
        Section(("!!",), "d"),
        Section((), "e", 3),
    )
    found = [chunk.anchor for chunk in chunks(Document("t", sections))]
    assert found == ["", "#über-uns-mehr", "#notes", "#notes-1", "#section", "page 3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith is in. He says 3.5 is right.", ["Dr. Smith is in.", "He says 3.5 is right."]),
        ("Das ist z. B. so. Gut.", ["Das ist z. B. so.", "Gut."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("今日は。元気？はい", ["今日は。", "元気？", "はい"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_tokens_are_estimated_on_the_safe_side() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("The cat sat.") == 4
    assert estimated_tokens("internationalisation") == 5
    assert estimated_tokens("日本語") == 3


def test_a_whole_book_is_cut_in_little_time() -> None:
    """Linear: no text makes it slow, whether it has sentences, words, or neither."""
    for text in ("One short sentence. " * 20_000, "word " * 80_000, "x" * 400_000, "。" * 50_000):
        assert chunks(one(text))
