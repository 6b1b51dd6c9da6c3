"""The web: the tools `web_search` and `fetch_page`, whose results are a stranger's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from antiphon_contracts import EngineError
from antiphon_runtime.upstream import Upstream
from pydantic import JsonValue

from antiphon_tools.lookup_sections import FetchSection
from antiphon_tools.tool import Tool, ToolContext, ToolError, tool

_SEARCH_TIMEOUT_S = 20.0
_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A result of a search.

    Attributes:
        title: the page's title.
        url: its address.
        text: some of what is on it.
    """

    title: str
    url: str
    text: str


@dataclass(frozen=True, slots=True)
class PageText:
    """A page.

    Attributes:
        title: what it calls itself; may be empty.
        text: its text.
        is_cut: whether there was more.
    """

    title: str
    text: str
    is_cut: bool


class SearchEngine(Protocol):
    """A search server."""

    async def search(self, query: str, limit: int) -> Sequence[Found]:
        """Return what was found, best first.

        Raises:
            EngineError: it does not answer, or refuses.
        """


class PageReader(Protocol):
    """Reads web pages."""

    async def read(self, url: str, section: FetchSection) -> PageText:
        """Return the text of the page at an address.

        Raises:
            ToolError: it may not be read, or cannot be.
        """


def search_tool(engine: SearchEngine, upstream: Upstream) -> Tool:
    """Return the tool that searches the web."""

    @tool(
        "web_search",
        "Searches the web; what it finds was written by strangers.",
        {
            "query": {"type": "string", "minLength": 1, "maxLength": 300},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10,
                "description": f"{_LIMIT} if unsaid.",
            },
        },
        required=["query"],
        idempotent=True,
        timeout_s=_SEARCH_TIMEOUT_S,
        untrusted=True,
    )
    async def web_search(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        query, limit = arguments["query"], arguments.get("limit", _LIMIT)
        try:
            found = await upstream.call(lambda: engine.search(query, limit))
        except EngineError as error:
            raise ToolError(str(error)) from error
        return {"results": [{"title": f.title, "url": f.url, "text": f.text} for f in found]}

    return web_search


def fetch_tool(reader: PageReader, section: FetchSection) -> Tool:
    """Return the tool that reads a web page."""

    @tool(
        "fetch_page",
        "Reads the text of a web page; it was written by strangers.",
        {
            "url": {
                "type": "string",
                "minLength": 8,
                "maxLength": 2_000,
                "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
            }
        },
        required=["url"],
        idempotent=True,
        timeout_s=section.timeout_s + 12.0,  # reading takes its time, too
        untrusted=True,
    )
    async def fetch_page(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        page = await reader.read(arguments["url"], section)
        return {"title": page.title, "text": page.text, "cut": page.is_cut}

    return fetch_page
