"""Documents and pages, read through `antiphon_documents`: in a thread, one at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from antiphon_contracts import ConfigError, EngineError
from antiphon_documents import (
    CrawlRules,
    ExtractionError,
    Fetcher,
    FetchFailure,
    FetchRules,
    ForbiddenAddress,
    Page,
    chunks,
    crawl,
    extract,
)
from antiphon_documents.errors import FetchError
from antiphon_runtime import install_command
from antiphon_runtime.offload import ModelThread

from antiphon_memory.knowledge_store import Piece

READ_TIMEOUT_S = 180.0

Unread = ExtractionError | FetchError | ConfigError
"""Why a document was not read: its text is one sentence for people."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document as it was read.

    Attributes:
        title: its own; may be empty.
        sha256: of its bytes, in hex.
        pieces: its text; at least one.
    """

    title: str
    sha256: str
    pieces: tuple[Piece, ...]


class Reader(Protocol):
    """Reads what is in bytes."""

    async def read(self, body: bytes, *, content_type: str, name: str) -> ReadDocument:
        """Return a document's text, in pieces.

        Raises:
            ExtractionError: no text can be had from it.
            ConfigError: a library that reads this kind is missing.
            EngineError: it cannot be read just now.
        """


class Web(Protocol):
    """Fetches pages."""

    async def fetch(self, url: str, *, etag: str | None, last_modified: str | None) -> Page | None:
        """Return the page, or None if it is still the one that is known.

        Raises:
            FetchError: it could not be had.
            ConfigError: a library is missing.
        """

    def crawl(self, url: str, rules: CrawlRules) -> AsyncGenerator[Page | FetchFailure, None]:
        """Yield a page and those it links to.

        Raises:
            ConfigError: a library is missing.
        """


class DocumentReader:
    """Reads each document in a thread; one that takes too long is given up with its thread."""

    def __init__(self, *, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._thread: ModelThread | None = None

    async def read(self, body: bytes, *, content_type: str, name: str) -> ReadDocument:
        """See `Reader`."""
        if self._thread is None:
            self._thread = ModelThread("documents", queue_limit=1)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._thread.call(_read, body, content_type, name)
        except TimeoutError as error:
            self.close()
            msg = f"The document could not be read within {self._timeout_s:g} seconds; split it."
            raise ExtractionError(msg) from error

    def close(self) -> None:
        """Start nothing more; what is being read in a thread ends by itself."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None


class PublicWeb:
    """Fetches pages from public addresses, and from those that were allowed.

    Args:
        rules: what may be fetched.

    Raises:
        ConfigError: what is allowed cannot be read.
    """

    def __init__(self, rules: FetchRules) -> None:
        self._fetcher = Fetcher(rules)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be ready for the time of the block; without its libraries each fetch says so."""
        try:
            async with self._fetcher:
                yield
        except ImportError:
            yield

    async def fetch(self, url: str, *, etag: str | None, last_modified: str | None) -> Page | None:
        """See `Web`."""
        with _explained():
            return await self._fetcher.fetch(url, etag=etag, last_modified=last_modified)

    async def crawl(self, url: str, rules: CrawlRules) -> AsyncGenerator[Page | FetchFailure, None]:
        """See `Web`."""
        with _explained():
            async for found in crawl(self._fetcher, url, rules):
                yield found


def why(error: Unread | EngineError) -> str:
    """Return an error as people are told it, with what mends it."""
    if isinstance(error, ForbiddenAddress):
        return (
            f"{error} If it is yours, add the host to `fetch_allow` in [memory] and restart memory."
        )
    return str(error)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (ImportError, ExtractionError, FetchError) as error:
        missing = error if isinstance(error, ImportError) else error.__cause__
        if not isinstance(missing, ImportError):
            raise
        msg = (
            f"The memory worker cannot read this, because {missing.name or 'a library'} is missing "
            f"there: "
            f"{install_command('documents')}"
        )
        raise ConfigError(msg) from error


def _read(body: bytes, content_type: str, name: str) -> ReadDocument:
    with _explained():
        document = extract(body, content_type=content_type, name=name)
        pieces = tuple(
            Piece(one.text, one.heading, one.anchor, one.page) for one in chunks(document)
        )
    if not pieces:
        msg = "There is no text in it."
        raise ExtractionError(msg)
    return ReadDocument(document.title, hashlib.sha256(body).hexdigest(), pieces)
