"""Sites fetched page by page, politely."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from antiphon_documents.errors import FetchError
from antiphon_documents.fetching import Fetcher, Page

__all__ = ["CrawlRules", "FetchFailure", "crawl"]


@dataclass(frozen=True)
class CrawlRules:
    """How far a crawl goes, and how politely.

    Attributes:
        depth: how many links away from the first page; 0 is that page alone.
        max_pages: how many addresses are fetched at most, failures included.
        same_site: whether links to other hosts are left alone.
        concurrency: how many pages are fetched at once.
        delay_s: how long one host is left alone between two fetches.
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
    """Yield the page at `url` and those it links to, breadth first."""
    raise NotImplementedError
    yield
