"""HTML and XHTML: trees walked in reading order, main text told from menus by trafilatura."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree, html

from antiphon_documents.errors import ExtractionError
from antiphon_documents.extraction.document import Document
from antiphon_documents.extraction.draft import Draft
from antiphon_documents.extraction.packed import Node
from antiphon_documents.extraction.tags import tamed
from antiphon_documents.extraction.texts import decoded

MAX_HTML_CHARS = 5_000_000
MAX_ELEMENTS_FOR_MAIN_TEXT = 20_000
"""Beyond this the whole page is read: telling its main text would take too long."""

MIN_MAIN_CHARS = 50
_CHARSET_BYTES = 2048
_BLOCKS = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "caption",
            "center",
            "dd",
            "details",
        ),
        *("dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form"),
        *("header", "hr", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section"),
        *("summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
    )
)
_SKIPPED = frozenset(
    (
        *("head", "script", "style", "noscript", "template", "svg", "math", "iframe", "object"),
        *("embed", "canvas", "audio", "video", "select", "textarea", "button", "input"),
    )
)
_LEVELS = {f"h{level}": level for level in range(1, 7)}


@dataclass(frozen=True)
class Marks:
    """What the elements of a kind of tree mean."""

    blocks: frozenset[str]
    skipped: frozenset[str]
    breaks: frozenset[str]
    cells: frozenset[str]
    verbatim: frozenset[str]
    level: Callable[[Node, str], int]


HTML_MARKS = Marks(
    blocks=_BLOCKS,
    skipped=_SKIPPED,
    breaks=frozenset({"br"}),
    cells=frozenset({"td", "th"}),
    verbatim=frozenset({"pre"}),
    level=lambda _node, tag: _LEVELS.get(tag, 0),
)
MAIN_MARKS = Marks(
    blocks=frozenset({"p", "list", "item", "code", "quote", "table", "row", "body"}),
    skipped=frozenset({"graphic"}),
    breaks=frozenset({"lb"}),
    cells=frozenset({"cell"}),
    verbatim=frozenset({"code"}),
    level=lambda node, tag: _LEVELS.get(node.get("rend") or "h2", 2) if tag == "head" else 0,
)


def read(body: bytes, content_type: str, name: str, max_chars: int) -> Document:
    """Return the main text of a web page, by its headings.

    Raises:
        ExtractionError: it is too long, damaged or has no text.
    """
    root = parsed_html(decoded_page(body, content_type))
    title, language = _title(root), root.get("lang") or root.get("xml:lang")
    main = _main_text(root)
    draft = Draft(max_chars)
    if main is None:
        walk(root, draft, HTML_MARKS)
    else:
        walk(main, draft, MAIN_MARKS)
    return draft.document(title=title, language=language, name=name)


def decoded_page(body: bytes, content_type: str = "") -> str:
    """Return a page's bytes as text, by what the server says of them, else by what they say."""
    declared = content_type if "charset" in content_type.lower() else ""
    return decoded(body, declared or body[:_CHARSET_BYTES].decode("latin-1"))


def parsed_html(text: str) -> html.HtmlElement:
    """Return the root of a page.

    Raises:
        ExtractionError: there is nothing in it, or too much.
    """
    if len(text) > MAX_HTML_CHARS:
        raise ExtractionError(f"The page is longer than {MAX_HTML_CHARS:,} characters.")
    parser = html.HTMLParser(encoding="utf-8", huge_tree=False, remove_comments=True)
    try:
        root = html.document_fromstring(tamed(text).encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise ExtractionError("The page is empty or damaged.") from error
    return root


def _title(root: html.HtmlElement) -> str:
    title = root.find(".//title")
    return "" if title is None else title.text_content()


def _main_text(root: html.HtmlElement) -> Node | None:
    """Return the tree of the main text as trafilatura sees it; None if it sees none."""
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS_FOR_MAIN_TEXT:
        return None
    import trafilatura  # noqa: PLC0415  (takes a second to import)

    found = trafilatura.bare_extraction(
        root, include_comments=False, include_tables=True, with_metadata=False
    )
    if found is None or isinstance(found, dict) or len(found.text or "") < MIN_MAIN_CHARS:
        return None
    main: Node = found.body
    return main


def walk(root: Node, draft: Draft, marks: Marks) -> None:
    """Write what a tree says into a draft, however deep it is."""
    _Walk(draft, marks).over(root)


class _Walk:
    def __init__(self, draft: Draft, marks: Marks) -> None:
        self._draft = draft
        self._marks = marks
        self._words: list[str] = []
        self._verbatim = 0

    def over(self, root: Node) -> None:
        events = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
        for event, node in events:
            tag = _tag(node)
            if event == "start" and tag in self._marks.skipped:
                events.skip_subtree()
            elif event == "start" and tag:  # what stays of an entity is no text
                self._on_start(node, tag)
            elif event == "end" and tag not in self._marks.skipped:
                self._on_end(node, tag)
            if event != "start" and node is not root:
                self._words.append(node.tail or "")
        self._flush()

    def _on_start(self, node: Node, tag: str) -> None:
        if tag in self._marks.blocks or self._marks.level(node, tag):
            self._flush()
        elif tag in self._marks.cells and self._words and "".join(self._words).strip():
            self._words.append(" | ")
        elif tag in self._marks.breaks:
            self._words.append("\n")
        self._verbatim += tag in self._marks.verbatim
        self._words.append(node.text or "")

    def _on_end(self, node: Node, tag: str) -> None:
        level = self._marks.level(node, tag)
        if level:
            words, self._words = "".join(self._words), []
            self._draft.heading(level, words)
        elif tag in self._marks.blocks:
            self._flush()
        self._verbatim -= tag in self._marks.verbatim

    def _flush(self) -> None:
        self._draft.paragraph("".join(self._words), keep_lines=bool(self._verbatim))
        self._words = []


def _tag(node: Node) -> str:
    """Return an element's name without its namespace; empty for what is no element."""
    tag: object = node.tag  # of a comment it is a function
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""
