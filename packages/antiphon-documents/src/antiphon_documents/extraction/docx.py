"""DOCX: paragraphs and tables of the main text, by its headings."""

from __future__ import annotations

import re

from lxml import etree

from antiphon_documents.extraction.document import Document
from antiphon_documents.extraction.draft import Draft
from antiphon_documents.extraction.packed import Node, Package

BODY = "word/document.xml"
STYLES = "word/styles.xml"
PROPERTIES = "docProps/core.xml"
MAX_ANCESTORS = 10
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_SPACES = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


def read(body: bytes, _content_type: str, name: str, max_chars: int) -> Document:
    """Return the text of a DOCX file; notes, headers and footers are left out.

    Raises:
        ExtractionError: it is encrypted, damaged or too long.
    """
    package = Package(body)
    draft = Draft(max_chars)
    reader = _Reader(draft, _levels(package))
    reader.over(package.xml(BODY))
    title = language = ""
    if PROPERTIES in package.names:
        said = package.xml(PROPERTIES)
        title = (said.findtext("{*}title") or "").strip()
        language = (said.findtext("{*}language") or "").strip()
    return draft.document(title=title, language=language, name=name)


class _Reader:
    """Walks the body; the cells of a table's row become one paragraph."""

    def __init__(self, draft: Draft, levels: dict[str, int]) -> None:
        self._draft = draft
        self._levels = levels
        self._words: list[str] = []
        self._cells: list[str] = []
        self._rows = 0

    def over(self, root: Node) -> None:
        events = etree.iterwalk(root, events=("start", "end"))
        for event, node in events:
            if event == "end":
                self._on_end(node)
            elif node.tag == _FALLBACK:  # says again what stands beside it
                events.skip_subtree()
            else:
                self._on_start(node)

    def _on_start(self, node: Node) -> None:
        if node.tag == f"{_W}t":
            self._words.append(node.text or "")
        elif node.tag == f"{_W}p":
            self._flush(0)
        elif node.tag == f"{_W}tr":
            self._rows += 1
        else:
            self._words.append(_SPACES.get(str(node.tag), ""))

    def _on_end(self, node: Node) -> None:
        if node.tag == f"{_W}p":
            self._flush(self._level(node))
        elif node.tag == f"{_W}tr":
            self._rows -= 1
            if not self._rows:
                cells, self._cells = self._cells, []
                self._draft.paragraph(" | ".join(cells))

    def _flush(self, level: int) -> None:
        text = "".join(self._words).strip()
        self._words = []
        if not text:
            return
        if self._rows:
            self._cells.append(text)
        elif level:
            self._draft.heading(level, text)
        else:
            self._draft.paragraph(text)

    def _level(self, paragraph: Node) -> int:
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        named = style.get(f"{_W}val") if style is not None else None
        return _outline(paragraph) or self._levels.get(named or "", 0)


def _outline(node: Node) -> int:
    """Return the level that a paragraph or a style sets itself; 0 for body text."""
    found = node.find(f"{_W}pPr/{_W}outlineLvl")
    level = (found.get(f"{_W}val") or "") if found is not None else ""
    return int(level) + 1 if re.fullmatch("[0-8]", level) else 0


def _levels(package: Package) -> dict[str, int]:
    """Return the heading level of each style that has one, its own or an ancestor's."""
    if STYLES not in package.names:
        return {}
    styles = {
        style.get(f"{_W}styleId") or "": style
        for style in package.xml(STYLES).iterfind(f"{_W}style")
    }
    levels = {key: _own_level(style) for key, style in styles.items()}
    found: dict[str, int] = {}
    for key in styles:
        ancestor = key
        for _ in range(MAX_ANCESTORS):
            if levels.get(ancestor):
                found[key] = levels[ancestor]
                break
            based = styles[ancestor].find(f"{_W}basedOn") if ancestor in styles else None
            ancestor = (based.get(f"{_W}val") or "") if based is not None else ""
    return found


def _own_level(style: Node) -> int:
    name = style.find(f"{_W}name")
    called = (name.get(f"{_W}val") or "") if name is not None else ""
    heading = _HEADING.fullmatch(called)
    if heading:
        return int(heading[1])
    return 1 if called.lower() == "title" else _outline(style)
