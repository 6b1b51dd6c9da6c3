"""PDF: the text of its pages."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pypdf
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from antiphon_documents.errors import ExtractionError
from antiphon_documents.extraction.document import Document
from antiphon_documents.extraction.draft import Draft

MAX_PAGES = 5_000
MAX_PAGE_BYTES = 8_000_000
"""How long one page's drawing may be, unpacked: that is what cannot be interrupted."""

MAX_SECONDS = 120.0
_HYPHEN = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")


def read(body: bytes, _content_type: str, name: str, max_chars: int) -> Document:
    """Return the text of a PDF, a section for each page.

    Raises:
        ExtractionError: it is encrypted, scanned, damaged, too long, or takes too long.
    """
    reader = pypdf.PdfReader(io.BytesIO(body), strict=False)
    _unlock(reader)
    draft = Draft(max_chars)
    has_text = False
    for number, text in _pages(reader):
        draft.page(number)
        # A hyphen at a line's end is mostly the printer's; what is wrongly joined is still found.
        for paragraph in re.split(r"\n[ \t]*\n", _HYPHEN.sub("", text)):
            has_text = has_text or bool(paragraph.strip())
            draft.paragraph(paragraph)
    if not has_text:
        raise ExtractionError(
            "The PDF holds pictures of pages and no text; run text recognition (OCR) on it first."
        )
    title = reader.metadata.title if reader.metadata else None
    language = reader.root_object.get("/Lang")
    return draft.document(title=str(title or ""), language=str(language or ""), name=name)


def _unlock(reader: pypdf.PdfReader) -> None:
    """Open what only forbids printing or changing: such a PDF has an empty password."""
    if not reader.is_encrypted:
        return
    try:
        is_open = bool(reader.decrypt(""))
    except (DependencyError, FileNotDecryptedError, NotImplementedError):
        is_open = False
    if not is_open:
        raise ExtractionError("The PDF is encrypted; save it without a password first.")


def _pages(reader: pypdf.PdfReader) -> Iterator[tuple[int, str]]:
    began = time.monotonic()
    for number, page in enumerate(reader.pages, start=1):
        if number > MAX_PAGES:
            raise ExtractionError(f"The PDF has more than {MAX_PAGES:,} pages; add it in parts.")
        if time.monotonic() - began > MAX_SECONDS:
            raise ExtractionError("The PDF takes too long to read; add it in parts.")
        try:
            yield number, _text(page)
        except LimitReachedError as error:
            raise ExtractionError(f"Page {number} of the PDF is too long to be read.") from error


def _text(page: pypdf.PageObject) -> str:
    contents = page.get_contents()
    if contents is not None and len(contents.get_data()) > MAX_PAGE_BYTES:
        raise LimitReachedError
    return page.extract_text()
