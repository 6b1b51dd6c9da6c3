"""Documents cut into pieces that fit an embedder: by section, paragraph and sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from antiphon_documents.extraction.document import Document, Section

__all__ = ["Chunk", "chunks", "estimated_tokens"]

CHARS_PER_TOKEN = 4
MIN_FULL_SHARE = 0.5
"""How full a chunk must be to end where a paragraph does."""

_PIECE = re.compile(r"[^\W_]+|\S")
_DENSE = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)
_SENTENCE_END = re.compile(r"""(?<=[.!?…])["'”’»)\]]*\s+|(?<=[。！？])""")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|No|vs|etc|e\.g|i\.e|cf|ca|bzw|z\.\s?B|d\.\s?h|Nr)\.$"
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True)
class Chunk:
    """One piece of a document.

    Attributes:
        text: its words; never empty, never over the budget. Headings stand in `heading` only.
        anchor: where it stands, stable while the document's headings are: `#heading-slug`,
            `page 3`, or empty where the document has neither. The chunks of a section share it.
        ordinal: its number in the document, from 0.
        heading: the headings above it, outermost first.
        page: its page's number, in a document that has pages.
    """

    text: str
    anchor: str
    ordinal: int
    heading: tuple[str, ...]
    page: int | None


@dataclass(slots=True)
class _Sentence:
    text: str
    tokens: int
    opens_paragraph: bool = False
    paragraph_tokens: int = 0


def estimated_tokens(text: str) -> int:
    """Return about how many tokens an embedder reads in `text`, rather too many than too few.

    A token for each four letters of a word begun, for each punctuation mark, and for each character
    of scripts that are written without spaces.
    """
    dense = 0
    if not text.isascii():
        text, dense = _DENSE.subn(" ", text)
    return dense + sum([-(-len(piece) // CHARS_PER_TOKEN) for piece in _PIECE.findall(text)])


def chunks(
    document: Document,
    *,
    max_tokens: int = 200,
    overlap_tokens: int = 30,
    count: Callable[[str], int] = estimated_tokens,
) -> list[Chunk]:
    """Return a document's chunks, in order; none crosses a section.

    A chunk holds whole sentences. It ends with a paragraph where it is half full by then. The next
    one of the same section begins with the last sentences again, as far as they fit. A sentence
    that is longer than a chunk is cut between words, and a word that is longer, inside.

    Args:
        document: what `extract` returned.
        max_tokens: how long a chunk may be.
        overlap_tokens: how much of a chunk the next one repeats at most.
        count: counts tokens; the embedder's own tokenizer makes chunks that fit it exactly. Each
            sentence is counted once, and a chunk is taken to be as long as its sentences together.

    Raises:
        ValueError: no text fits into `max_tokens`, or the overlap leaves no room for anything new.
    """
    if max_tokens < 1 or not 0 <= overlap_tokens < max_tokens:
        raise ValueError("a chunk needs at least one token, and more than its overlap")
    cutter = _Cutter(max_tokens, overlap_tokens, count)
    anchors = _Anchors()
    found: list[Chunk] = []
    for section in document.sections:
        anchor = anchors.of(section)
        for text in cutter.pieces(section.text):
            found.append(Chunk(text, anchor, len(found), section.heading, section.page))
    return found


class _Anchors:
    """Names sections; of several with one heading the second is `#heading-1`, as on code hosts."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, ...]] = {}

    def of(self, section: Section) -> str:
        if section.page is not None:
            return f"page {section.page}"
        if not section.heading:
            return ""
        slug = "-".join(re.findall(r"\w+", section.heading[-1].lower())) or "section"
        name, number = slug, 0
        while name in self._seen:
            number += 1
            name = f"{slug}-{number}"
        self._seen[name] = section.heading
        return f"#{name}"


class _Cutter:
    def __init__(self, max_tokens: int, overlap_tokens: int, count: Callable[[str], int]) -> None:
        self._max = max_tokens
        self._overlap = overlap_tokens
        self._count = count

    def pieces(self, text: str) -> Iterator[str]:
        """Yield the chunks of one section."""
        held: list[_Sentence] = []
        full = 0
        for sentence in self._sentences(text):
            if held and self._must_close(full, sentence):
                yield _joined(held)
                held = self._overlapping(held, sentence)
                full = sum(one.tokens for one in held)
            held.append(sentence)
            full += sentence.tokens
        if held:
            yield _joined(held)

    def _must_close(self, full: int, following: _Sentence) -> bool:
        if full + following.tokens > self._max:
            return True
        if not following.opens_paragraph:
            return False
        return full >= MIN_FULL_SHARE * self._max and full + following.paragraph_tokens > self._max

    def _overlapping(self, held: list[_Sentence], following: _Sentence) -> list[_Sentence]:
        """Return the last sentences that the next chunk repeats before `following`."""
        room = min(self._overlap, self._max - following.tokens)
        first = len(held)
        while first and held[first - 1].tokens <= room:
            first -= 1
            room -= held[first].tokens
        return held[first:]

    def _sentences(self, text: str) -> Iterator[_Sentence]:
        """Yield sentences, cut where they are too long."""
        for paragraph in _PARAGRAPH.split(text):
            found = [part for sentence in sentences(paragraph) for part in self._fitting(sentence)]
            if found:
                found[0].opens_paragraph = True
                found[0].paragraph_tokens = sum(part.tokens for part in found)
                yield from found

    def _fitting(self, sentence: str) -> Iterator[_Sentence]:
        tokens = self._count(sentence)
        if tokens <= self._max:
            yield _Sentence(sentence, tokens)
            return
        words: list[str] = []
        full = 0
        for word in (part for whole in sentence.split() for part in self._cut_word(whole)):
            tokens = self._count(word)
            if words and full + tokens > self._max:
                yield _Sentence(" ".join(words), full)
                words, full = [], 0
            words.append(word)
            full += tokens
        yield _Sentence(" ".join(words), full)

    def _cut_word(self, word: str) -> list[str]:
        """Return a word in pieces that fit: an address, or a sentence written without spaces."""
        if self._count(word) <= self._max or len(word) == 1:
            return [word]
        middle = len(word) // 2
        return [*self._cut_word(word[:middle]), *self._cut_word(word[middle:])]


def sentences(paragraph: str) -> Iterator[str]:
    """Yield a paragraph's sentences, stripped; a full stop behind an abbreviation ends none."""
    start = 0
    for end in _SENTENCE_END.finditer(paragraph):
        sentence = paragraph[start : end.end()].strip()
        if sentence and not _ABBREVIATION.search(sentence[-12:]):
            yield sentence
            start = end.end()
    rest = paragraph[start:].strip()
    if rest:
        yield rest


def _joined(held: list[_Sentence]) -> str:
    pieces = [held[0].text]
    for sentence in held[1:]:
        pieces.append("\n\n" if sentence.opens_paragraph else " ")
        pieces.append(sentence.text)
    return "".join(pieces)
