"""Web search by SearXNG.

Source: SearXNG, "Search API" (`GET /search?format=json`; `search.formats` of its settings.yml must
list `json`, or it answers 403).
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon_contracts import EngineError

from antiphon_tools.builtin.web import Found
from antiphon_tools.engine.json_client import HttpStatusError, JsonClient
from antiphon_tools.lookup_sections import SearchSection

MAX_TITLE_CHARS = 200
MAX_TEXT_CHARS = 600
MAX_URL_CHARS = 500
_SERVER = "The search server"
_FORBIDDEN = 403


class SearxNg:
    """See `antiphon_tools.builtin.web.SearchEngine`.

    Args:
        section: where it is.
        client: by which it is asked.
    """

    def __init__(self, section: SearchSection, client: JsonClient) -> None:
        self._section = section
        self._client = client

    async def search(self, query: str, limit: int) -> Sequence[Found]:
        """See the port."""
        section = self._section
        try:
            answer = await self._client.get(
                f"{section.url.rstrip('/')}/search",
                query={
                    "q": query,
                    "format": "json",
                    "language": section.language,
                    "safesearch": str(section.safe),
                },
                server=_SERVER,
                timeout_s=section.timeout_s,
            )
        except HttpStatusError as error:
            if error.status == _FORBIDDEN:
                msg = f"{_SERVER} gives no JSON; add json to search.formats in its settings.yml."
                raise EngineError(msg) from error
            raise
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            raise EngineError(f"{_SERVER} answered with something that I do not understand.")
        found = [one for one in map(_found, results) if one is not None]
        return found[:limit]


def _found(result: object) -> Found | None:
    if not isinstance(result, dict):
        return None
    url = result.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return None
    title, text = (_plain(result.get(key)) for key in ("title", "content"))
    return Found(title[:MAX_TITLE_CHARS], url[:MAX_URL_CHARS], text[:MAX_TEXT_CHARS])


def _plain(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
