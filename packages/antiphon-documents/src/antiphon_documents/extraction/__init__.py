"""Text out of documents: plain text, Markdown, HTML, PDF, EPUB and DOCX.

What bounds the work: every reader stops at `max_chars` of text. A page of HTML may have five
million characters, and one with over 20,000 elements is read whole, without telling main text from
menus. Packed documents may hold 60 MB in the parts that are read. A PDF is given two minutes,
looked at between pages, and 8 MB of drawing for each page; pypdf 7 bounds what is inside it. What
is not bounded: one page of a PDF (half a minute was seen, for a page made to be slow) and one page
of HTML (seven seconds) cannot be interrupted, and memory follows from the sizes above. Refuse long
bodies before they come here; `FetchRules.max_bytes` does.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from antiphon_documents.errors import ExtractionError
from antiphon_documents.extraction.document import Document, Section
from antiphon_documents.extraction.kinds import KINDS, Kind, kind_of

__all__ = [
    "KINDS",
    "MAX_CHARS",
    "Document",
    "ExtractionError",
    "Kind",
    "Section",
    "extract",
    "kind_of",
]

MAX_CHARS = 5_000_000
"""How many characters one document may hold; a thick novel has a million."""

_Reader = Callable[[bytes, str, str, int], Document]
_READERS = {
    Kind.TEXT: ("texts", "plain"),
    Kind.MARKDOWN: ("texts", "markdown"),
    Kind.HTML: ("markup", "read"),
    Kind.PDF: ("pdf", "read"),
    Kind.EPUB: ("epub", "read"),
    Kind.DOCX: ("docx", "read"),
}


def extract(
    body: bytes, *, content_type: str = "", name: str = "", max_chars: int = MAX_CHARS
) -> Document:
    """Return the text of a document. Blocks: call it in a thread.

    The kind is told by the bytes before the media type, and by that before the name.

    Args:
        body: the document's bytes.
        content_type: what a server says it is, with or without parameters (`Page.declared_type`).
        name: its file name or address; a hint, and a title where it has none of its own.
        max_chars: how many characters of text it may hold.

    Raises:
        ExtractionError: no text can be had from it; the text says why.
        ImportError: a library of the extra `documents` is missing.
    """
    kind = kind_of(body, content_type=content_type, name=name)
    try:
        return _reader(kind)(body, content_type, name, max_chars)
    except (ExtractionError, ImportError):
        raise
    except Exception as error:  # damaged files make parsers raise whatever there is
        raise ExtractionError(f"The {kind} document is damaged or was not copied whole.") from error


def _reader(kind: Kind) -> _Reader:
    """Return what reads a kind; imports its library, and that of no other kind."""
    module, function = _READERS[kind]
    found: _Reader = getattr(import_module(f"antiphon_documents.extraction.{module}"), function)
    return found
