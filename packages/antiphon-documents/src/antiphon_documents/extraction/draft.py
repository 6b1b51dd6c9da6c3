"""A document in the making: headings and paragraphs in reading order, within bounds."""

from __future__ import annotations

import re

from antiphon_documents.errors import ExtractionError
from antiphon_documents.extraction.document import Document, Section

MAX_HEADING_CHARS = 300
MAX_SECTIONS = 50_000
_UNSEEN = dict.fromkeys(
    [
        *range(9),
        11,
        *range(14, 32),
        127,
        0xAD,
        0x200B,
        0xFEFF,
        0xFFFE,
        0xFFFF,
        *range(0xD800, 0xE000),
    ]
)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?=$|[-_])")


def cleaned(text: str) -> str:
    """Return `text` without control characters, soft hyphens and zero-width spaces."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_UNSEEN)


def in_one_line(text: str) -> str:
    """Return `text` with each run of white space as one space."""
    return " ".join(cleaned(text).split())


def language_code(declared: str | None) -> str | None:
    """Return `de` for `de-AT`; None for what is no language code."""
    found = _LANGUAGE.match((declared or "").strip())
    return found[0].lower() if found else None


class Draft:
    """Collects text; every character counts against `max_chars`.

    A heading opens a section that lasts until the next heading, and is remembered above deeper
    ones. A heading without text of its own and without deeper ones keeps its words as its text.
    """

    def __init__(self, max_chars: int) -> None:
        self._left = max_chars
        self._max_chars = max_chars
        self._sections: list[Section] = []
        self._heading: list[tuple[int, str]] = []
        self._paragraphs: list[str] = []
        self._page: int | None = None
        self._is_bare = False

    def heading(self, level: int, text: str) -> None:
        """Open a section; 1 is the highest level."""
        words = in_one_line(text)
        if not words:
            return
        if len(words) > MAX_HEADING_CHARS:
            self.paragraph(words)
            return
        self._spend(words)
        self._close(deeper=bool(self._heading) and level > self._heading[-1][0])
        while self._heading and self._heading[-1][0] >= level:
            self._heading.pop()
        self._heading.append((level, words))
        self._is_bare = True

    def paragraph(self, text: str, *, keep_lines: bool = False) -> None:
        """Add a paragraph; white space inside it becomes single spaces, or stays."""
        words = cleaned(text).strip("\n").rstrip() if keep_lines else in_one_line(text)
        if words.strip():
            self._spend(words)
            self._paragraphs.append(words)

    def page(self, number: int) -> None:
        """Begin a page, and with it a section."""
        self._close()
        self._page = number

    def document(self, *, title: str = "", language: str | None = None, name: str = "") -> Document:
        """Return what was collected.

        Raises:
            ExtractionError: nothing was.
        """
        self._close()
        if not self._sections:
            raise ExtractionError("The document holds no text.")
        first = next((section.heading[0] for section in self._sections if section.heading), "")
        known = in_one_line(title)[:MAX_HEADING_CHARS] or first or in_one_line(name)
        return Document(known, tuple(self._sections), language_code(language))

    def _spend(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise ExtractionError(
                f"The document holds more than the {self._max_chars:,} characters that are"
                " allowed; add it in parts."
            )

    def _close(self, *, deeper: bool = False) -> None:
        text = "\n\n".join(self._paragraphs)
        if not text and self._is_bare and not deeper:
            text = self._heading[-1][1]
        if text:
            heading = tuple(words for _, words in self._heading)
            if len(self._sections) == MAX_SECTIONS:
                raise ExtractionError(f"The document has more than {MAX_SECTIONS:,} headings.")
            self._sections.append(Section(heading, text, self._page))
        self._paragraphs = []
        self._is_bare = False
