"""What every kind of document becomes: a title and sections of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """Text under one heading, or on one page.

    Attributes:
        heading: the headings above it, outermost first; empty before the first heading.
        text: paragraphs, with an empty line between them; never empty.
        page: the page's number in a document that has pages, from 1.
    """

    heading: tuple[str, ...]
    text: str
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """A document's text, in reading order.

    Attributes:
        title: what the document calls itself, else its first heading or its name; may be empty.
        sections: its text; at least one.
        language: the language that it declares, as a code such as `en`; None if it declares none.
    """

    title: str
    sections: tuple[Section, ...]
    language: str | None = None
