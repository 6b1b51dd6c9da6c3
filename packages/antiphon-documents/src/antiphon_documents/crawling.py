"""Sites fetched page by page, politely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice

from antiphon_documents.errors import DeniedByRobots, ExtractionError, FetchError
from antiphon_documents.extraction.kinds import Kind, kind_of
from antiphon_documents.fetching import Fetcher, Page
from antiphon_documents.robots import Host
from antiphon_documents.urls import WebAddress, parse

__all__ = ["CrawlRules", "DeniedByRobots", "FetchFailure", "crawl"]

_PLAIN_TYPES = {"", "text/plain", "text/markdown", "text/x-markdown", "application/octet-stream"}


@dataclass(frozen=True)
class CrawlRules:
    """How far a crawl goes, and how politely.

    Attributes:
        depth: how many links away from the first page; 0 is that page alone.
        max_pages: how many addresses are fetched at most, failures included.
        same_site: whether other hosts are left alone; `www.` makes no other host.
        concurrency: how many pages are fetched at once, and held in memory.
        delay_s: how long one host is left alone between two fetches; more if its robots.txt asks
            for more, up to 10 seconds.
        obey_robots: whether robots.txt is kept.
    """

    depth: int = 1
    max_pages: int = 100
    same_site: bool = True
    concurrency: int = 4
    delay_s: float = 0.5
    obey_robots: bool = True


@dataclass(frozen=True)
class FetchFailure:
    """A page that could not be had.

    Attributes:
        url: its address.
        error: why, as one sentence for people.
    """

    url: str
    error: FetchError


async def crawl(
    fetcher: Fetcher, url: str, rules: CrawlRules
) -> AsyncIterator[Page | FetchFailure]:
    """Yield the page at `url` and those it links to, breadth first.

    Each address is fetched once. Besides pages, linked documents of the kinds that `extract` reads
    are yielded; pictures, programs and the like are not. What robots.txt denies, what cannot be
    fetched and what leads to another site comes as a failure. Between two yields nothing runs in
    the background, so that a crawl may be left at any time.

    Args:
        fetcher: fetches, and says which addresses may be fetched at all.
        url: the first page.
        rules: how far to go.
    """
    try:
        first = parse(url)
    except FetchError as error:
        yield FetchFailure(url, error)
        return
    trip = _Trip(fetcher, rules, first)
    for depth in range(rules.depth + 1):
        level = iter(trip.next_level())
        while batch := list(islice(level, max(1, rules.concurrency))):
            for result in await trip.fetched(batch, follow=depth < rules.depth):
                yield result


class _Trip:
    """One crawl: what it has seen, and what comes next. At most `max_pages` ever wait."""

    def __init__(self, fetcher: Fetcher, rules: CrawlRules, first: WebAddress) -> None:
        self._fetcher = fetcher
        self._rules = rules
        self._first = first
        self._sites = {_site(first)}
        self._seen = {first}
        self._arrived: set[str] = set()
        self._waiting = [first] if rules.max_pages > 0 else []
        self._left = rules.max_pages - 1
        self._hosts: dict[str, Host] = {}

    def next_level(self) -> list[WebAddress]:
        level, self._waiting = self._waiting, []
        return level

    async def fetched(self, batch: list[WebAddress], *, follow: bool) -> list[Page | FetchFailure]:
        """Fetch a batch at once; return what is worth telling, in order."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._fetch(web), name=f"fetch of {web.host}") for web in batch
            ]
        kept: list[Page | FetchFailure] = []
        for web, task in zip(batch, tasks, strict=True):
            result = self._checked(web, task.result())
            if result is None:
                continue
            kept.append(result)
            if follow and isinstance(result, Page):
                await self._follow(result)
        return kept

    async def _fetch(self, web: WebAddress) -> Page | FetchFailure:
        host = self._hosts.setdefault(
            web.origin,
            Host(self._fetcher, delay_s=self._rules.delay_s, obey_robots=self._rules.obey_robots),
        )
        try:
            await host.admit(web)
            page = await self._fetcher.fetch(str(web))
        except FetchError as error:
            return FetchFailure(str(web), error)
        return page or FetchFailure(str(web), FetchError("The server sent no page."))

    def _checked(self, web: WebAddress, result: Page | FetchFailure) -> Page | FetchFailure | None:
        """Return what may be told of a page; None for what is no document, or came before."""
        if isinstance(result, FetchFailure):
            return result
        if result.final_url in self._arrived:
            return None
        self._arrived.add(result.final_url)
        end = parse(result.final_url)
        self._seen.add(end)
        if web == self._first:
            self._sites.add(_site(end))
            return result
        if self._rules.same_site and _site(end) not in self._sites:
            return FetchFailure(str(web), FetchError("The page leads to another site."))
        return result if _is_document(result) else None

    async def _follow(self, page: Page) -> None:
        if self._left <= 0 or not _is_html(page):
            return
        from antiphon_documents.links import links  # noqa: PLC0415  (imports lxml)

        for web in await asyncio.to_thread(links, page):
            if self._left <= 0:
                return
            is_near = not self._rules.same_site or _site(web) in self._sites
            if is_near and web not in self._seen:
                self._seen.add(web)
                self._waiting.append(web)
                self._left -= 1


def _site(web: WebAddress) -> str:
    return web.host.removeprefix("www.")


def _kind(page: Page) -> Kind | None:
    try:
        return kind_of(page.body, content_type=page.content_type, name=page.final_url)
    except ExtractionError:
        return None


def _is_html(page: Page) -> bool:
    return _kind(page) is Kind.HTML


def _is_document(page: Page) -> bool:
    """Return whether `extract` may read it; style sheets and data are text, but no documents."""
    kind = _kind(page)
    return kind is not None and (kind is not Kind.TEXT or page.content_type in _PLAIN_TYPES)
