"""Documents cut into pieces that fit an embedder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from antiphon_documents.extraction.document import Document

__all__ = ["Chunk", "chunks", "estimated_tokens"]


@dataclass(frozen=True)
class Chunk:
    """One piece of a document.

    Attributes:
        text: its words; never empty, never over the budget.
        anchor: where it stands, stable while the document's headings are: `#heading-slug`,
            `page 3`, or empty where the document has neither.
        ordinal: its number in the document, from 0.
        heading: the headings above it, outermost first.
        page: its page's number, in a document that has pages.
    """

    text: str
    anchor: str
    ordinal: int
    heading: tuple[str, ...]
    page: int | None


def estimated_tokens(text: str) -> int:
    """Return about how many tokens an embedder reads in `text`."""
    raise NotImplementedError


def chunks(
    document: Document,
    *,
    max_tokens: int = 200,
    overlap_tokens: int = 30,
    count: Callable[[str], int] = estimated_tokens,
) -> list[Chunk]:
    """Return a document's chunks, in order; none crosses a section."""
    raise NotImplementedError
