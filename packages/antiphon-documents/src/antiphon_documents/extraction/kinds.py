"""What kind of document some bytes are: told by themselves, then by what they are called."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import PurePosixPath

from antiphon_documents.errors import ExtractionError


class Kind(StrEnum):
    """A kind of document that can be read."""

    TEXT = "plain text"
    MARKDOWN = "Markdown"
    HTML = "HTML"
    PDF = "PDF"
    EPUB = "EPUB"
    DOCX = "DOCX"


KINDS = tuple(str(kind) for kind in Kind)
"""What `extract` can read, for messages."""

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_HEAD_BYTES = 4096
_PDF_HEAD_BYTES = 1024
_HTML = re.compile(
    r"\s{0,200}(<\?xml[^>]{0,200}\?>\s{0,200})?"
    r"<(!doctype\s+html|html|head|body|title|meta|script|style|div|article|section|p|h[1-6]|table)"
    r"[\s>/]",
    re.IGNORECASE,
)
_OTHER_MARKUP = (b"<?xml", b"<svg", b"<rss", b"<feed", b"{\\rtf", b"%!PS")
_UNICODE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BY_TYPE = {
    "text/html": Kind.HTML,
    "application/xhtml+xml": Kind.HTML,
    "text/markdown": Kind.MARKDOWN,
    "text/x-markdown": Kind.MARKDOWN,
}
_BY_NAME = {
    ".html": Kind.HTML,
    ".htm": Kind.HTML,
    ".xhtml": Kind.HTML,
    ".md": Kind.MARKDOWN,
    ".markdown": Kind.MARKDOWN,
}


def kind_of(body: bytes, *, content_type: str = "", name: str = "") -> Kind:
    """Return the kind of a document.

    PDF and packed kinds are told by their bytes alone. HTML is told by how it begins, else by its
    media type, else by its name; Markdown by media type or name. Other text is plain text.

    Raises:
        ExtractionError: it is none that can be read, or empty.
    """
    head = body[:_HEAD_BYTES]
    if not head.strip():
        raise ExtractionError("The document is empty.")
    if b"%PDF-" in head[:_PDF_HEAD_BYTES]:
        return Kind.PDF
    if head.startswith(ZIP):
        return _packed(body)
    if head.startswith(_OLD_OFFICE):
        raise ExtractionError("This is an old Office document; save it as DOCX or PDF first.")
    if b"\x00" in head and not head.startswith(_UNICODE_MARKS):
        raise unknown()
    return _text(head, content_type.partition(";")[0].strip().lower(), name)


def unknown() -> ExtractionError:
    """Return the error of a document that is of no kind we know."""
    return ExtractionError(f"This is no document that can be read; those are {_listed()}.")


def _listed() -> str:
    return ", ".join(KINDS[:-1]) + " and " + KINDS[-1]


def _text(head: bytes, media_type: str, name: str) -> Kind:
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")):
        return Kind.HTML
    suffix = PurePosixPath(name.partition("?")[0]).suffix.lower()
    kind = _BY_TYPE.get(media_type) or _BY_NAME.get(suffix, Kind.TEXT)
    if kind is not Kind.HTML and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_OTHER_MARKUP):
        raise unknown()
    return kind


def _packed(body: bytes) -> Kind:
    from antiphon_documents.extraction.packed import names  # noqa: PLC0415  (imports lxml)

    found = names(body)
    if "META-INF/container.xml" in found:
        return Kind.EPUB
    if "word/document.xml" in found:
        return Kind.DOCX
    raise unknown()
