"""Web pages fetched so that nobody is led into the house: see `Fetcher`."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from antiphon_documents.errors import FetchError, ForbiddenAddress

__all__ = ["FetchError", "FetchRules", "Fetcher", "ForbiddenAddress", "Page"]


@dataclass(frozen=True)
class FetchRules:
    """What a fetcher may do.

    Attributes:
        max_bytes: how long a page may be, before and after decompression.
        timeout_s: how long one fetch may take in all, redirects included.
        max_redirects: how many redirects are followed.
        allow_private: private places that may be fetched all the same: networks
            (`192.168.1.0/24`), addresses (`127.0.0.1`) or host names (`nas.lan`).
        user_agent: what we call ourselves.
    """

    max_bytes: int = 20_000_000
    timeout_s: float = 30.0
    max_redirects: int = 5
    allow_private: tuple[str, ...] = ()
    user_agent: str = "antiphon/0.1"


@dataclass(frozen=True)
class Page:
    """What was fetched.

    Attributes:
        url: the address asked for.
        final_url: the address that answered, after redirects.
        content_type: the media type, lower case, without parameters; empty if the server named none.
        charset: the character set that the server named, lower case, or None.
        body: the bytes, decompressed.
        etag: to be given to the next `fetch`, or None.
        last_modified: to be given to the next `fetch`, or None.
    """

    url: str
    final_url: str
    content_type: str
    charset: str | None
    body: bytes
    etag: str | None = None
    last_modified: str | None = None

    @property
    def declared_type(self) -> str:
        """The media type with its character set, as `extract` takes it."""
        return f"{self.content_type}; charset={self.charset}" if self.charset else self.content_type


class Fetcher:
    """Fetches web pages, from public addresses only: `async with Fetcher(FetchRules()) as f:`."""

    def __init__(self, rules: FetchRules) -> None:
        self.rules = rules

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Page | None:
        """Return the page at `url`, or None if it is still the one that the caller has.

        Args:
            url: an `http` or `https` address.
            etag: the `Page.etag` of an earlier fetch.
            last_modified: the `Page.last_modified` of an earlier fetch.

        Raises:
            FetchError: it may not be fetched, or could not be; the text says why.
        """
        raise NotImplementedError
