"""EPUB: the chapters of its spine, in order."""

from __future__ import annotations

from antiphon_documents.errors import ExtractionError
from antiphon_documents.extraction.document import Document
from antiphon_documents.extraction.draft import Draft
from antiphon_documents.extraction.markup import HTML_MARKS, parsed_html, walk
from antiphon_documents.extraction.packed import Node, Package, beside, parsed_xml
from antiphon_documents.extraction.texts import decoded

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
MAX_CHAPTERS = 5_000
_CHAPTER_TYPES = {"application/xhtml+xml", "text/html", "text/x-oeb1-document"}


def read(body: bytes, _content_type: str, name: str, max_chars: int) -> Document:
    """Return the text of a book, by its headings.

    Raises:
        ExtractionError: it is copy-protected, damaged or too long.
    """
    package = Package(body)
    rootfile = package.xml(CONTAINER).find(".//{*}rootfile")
    opf = (rootfile.get("full-path") if rootfile is not None else None) or ""
    root = package.xml(opf)
    draft = Draft(max_chars)
    protected = _protected(package)
    for part in _spine(root, opf):
        if part in protected:
            raise ExtractionError("The book is copy-protected; its text cannot be read.")
        walk(_chapter(package.read(part)), draft, HTML_MARKS)
    return draft.document(title=_said(root, "title"), language=_said(root, "language"), name=name)


def _spine(root: Node, opf: str) -> list[str]:
    """Return the names of the chapters, each once."""
    parts = {
        item.get("id"): beside(opf, item.get("href") or "")
        for item in root.iterfind(".//{*}manifest/{*}item")
        if item.get("media-type") in _CHAPTER_TYPES
    }
    order = [item.get("idref") for item in root.iterfind(".//{*}spine/{*}itemref")]
    found = list(dict.fromkeys(parts[key] for key in order if key in parts))
    if len(found) > MAX_CHAPTERS:
        raise ExtractionError("The book has too many chapters.")
    return found


def _chapter(body: bytes) -> Node:
    try:
        return parsed_xml(body)
    except ExtractionError:  # many are no proper XML, and every reader shows them all the same
        page: Node = parsed_html(decoded(body))
        return page


def _said(root: Node, what: str) -> str:
    return (root.findtext(f".//{{*}}metadata/{{*}}{what}") or "").strip()


def _protected(package: Package) -> set[str]:
    if ENCRYPTION not in package.names:
        return set()
    marked = package.xml(ENCRYPTION).iterfind(".//{*}CipherReference")
    return {beside("", node.get("URI") or "") for node in marked}
