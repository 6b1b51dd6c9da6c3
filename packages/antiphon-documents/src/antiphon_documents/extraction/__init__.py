"""Text out of documents: plain text, Markdown, HTML, PDF, EPUB and DOCX."""

from __future__ import annotations

from antiphon_documents.errors import ExtractionError
from antiphon_documents.extraction.document import Document, Section

__all__ = ["KINDS", "MAX_CHARS", "Document", "ExtractionError", "Section", "extract"]

KINDS = ("plain text", "Markdown", "HTML", "PDF", "EPUB", "DOCX")
"""What `extract` can read, for messages."""

MAX_CHARS = 5_000_000
"""How many characters one document may hold; a thick novel has a million."""


def extract(
    body: bytes, *, content_type: str = "", name: str = "", max_chars: int = MAX_CHARS
) -> Document:
    """Return the text of a document. Blocks: call it in a thread.

    Args:
        body: the document's bytes.
        content_type: what a server says it is, with or without parameters; a hint.
        name: its file name or address; a hint, and a title where it has none of its own.
        max_chars: how many characters of text it may hold.

    Raises:
        ExtractionError: no text can be had from it; the text says why.
    """
    raise NotImplementedError
