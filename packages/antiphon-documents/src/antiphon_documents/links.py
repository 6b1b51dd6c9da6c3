"""Where the links of a page lead. Imports lxml, and is therefore imported only when needed."""

from __future__ import annotations

from antiphon_documents.errors import ExtractionError, ForbiddenAddress
from antiphon_documents.extraction.markup import decoded_page, parsed_html
from antiphon_documents.fetching import Page
from antiphon_documents.urls import WebAddress, join, parse

MAX_LINKS = 2_000
_UNREAD = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".ico", ".avif", ".css", ".js", ".json"),
    *(".mp3", ".mp4", ".webm", ".ogg", ".wav", ".avi", ".mov", ".woff", ".woff2", ".ttf", ".xml"),
    *(".zip", ".gz", ".xz", ".tar", ".7z", ".rar", ".exe", ".dmg", ".iso", ".deb", ".rpm", ".apk"),
)


def links(page: Page) -> list[WebAddress]:
    """Return where the links of an HTML page lead, each once, in order. Blocks.

    Left out are links that ask not to be followed, what is no web address, and what is called as
    pictures, sounds, programs and archives are.
    """
    try:
        root = parsed_html(decoded_page(page.body, page.declared_type))
    except ExtractionError:
        return []
    base = parse(page.final_url)
    found: dict[WebAddress, None] = {}
    for node in root.iter("meta", "base", "a", "area"):
        if node.tag == "meta":
            if (node.get("name") or "").lower() == "robots" and _says_no(node.get("content")):
                return []
        elif node.tag == "base":
            base = _led(base, node.get("href")) or base
        elif not _says_no(node.get("rel")):
            target = _led(base, node.get("href"))
            if target and not target.target.partition("?")[0].lower().endswith(_UNREAD):
                found[target] = None
        if len(found) == MAX_LINKS:
            break
    return list(found)


def _says_no(words: str | None) -> bool:
    return bool({"nofollow", "none"} & set((words or "").lower().replace(",", " ").split()))


def _led(base: WebAddress, link: str | None) -> WebAddress | None:
    try:
        return join(base, link) if link is not None else None
    except ForbiddenAddress:
        return None
