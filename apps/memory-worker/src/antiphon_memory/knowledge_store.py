"""What keeps documents and the work on them: the port."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from antiphon_memory.passages import Place
from antiphon_memory.service import Outcome, Shelf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

State = Literal["receiving", "queued", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Order:
    """Work that was asked for.

    Attributes:
        job_id: names it.
        kind: a document that is uploaded, a page and those it links to, or pages known already.
        source: what the document is known by; of a page its address.
        title: instead of the document's own.
        scope: whose knowledge it is.
        name: the uploaded file's.
        content_type: the uploaded file's, if known.
        sha256: of the uploaded file, in hex.
        size_bytes: of the uploaded file.
        parts: how many parts it comes in.
        depth: how many links are followed from a page.
        same_site: whether links to other hosts are left alone.
        max_pages: how many pages are read at most.
        ids: the documents to be fetched anew; empty is all.
    """

    job_id: str
    kind: Literal["upload", "page", "refresh"]
    source: str = ""
    title: str | None = None
    scope: str = "household"
    name: str = ""
    content_type: str = ""
    sha256: str = ""
    size_bytes: int = 0
    parts: int = 0
    depth: int = 0
    same_site: bool = True
    max_pages: int = 1
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What work on documents came to so far; see `antiphon_contracts.KnowledgeProgress`."""

    title: str = ""
    documents: int = 0
    unchanged: int = 0
    added: int = 0
    kept: int = 0
    removed: int = 0
    failures: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work, as far as it is.

    Attributes:
        order: what was asked for.
        state: how far it is.
        received: how many parts are there.
        attempts: how often it was begun and nothing came of it.
        document_id: the uploaded document, once it is stored.
        tally: what it came to.
    """

    order: Order
    state: State
    received: int = 0
    attempts: int = 0
    document_id: str | None = None
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document without its text; `ts` is in seconds since the epoch."""

    id: str
    title: str
    source: str
    scope: str
    sha256: str
    size_bytes: int
    ts: float
    etag: str | None = None
    last_modified: str | None = None
    chunks: int = 0
    embedded: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk as it was cut; see `antiphon_documents.Chunk`."""

    text: str
    heading: tuple[str, ...]
    anchor: str
    page: int | None


@dataclass(frozen=True, slots=True)
class Changes:
    """How a document differs from what was known of it, in chunks."""

    document_id: str
    added: int
    kept: int
    removed: int


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A chunk without a vector; `text` is what shall be embedded."""

    id: str
    text: str


class JobStore(Protocol):
    """Where work is kept until it is done, and its outcome after that."""

    async def find(self, job_id: str) -> Job | None:
        """Return a job."""

    async def all(self) -> list[Job]:
        """Return every job, oldest first."""

    async def begin(self, order: Order, state: State) -> None:
        """Keep an order; one whose id is known changes nothing."""

    async def put_part(self, job_id: str, number: int, body: bytes) -> int:
        """Keep a part of an upload; returns how many are there."""

    async def body(self, job_id: str) -> bytes:
        """Return an upload's parts, joined."""

    async def queue(self, job_id: str) -> None:
        """An upload is complete: it is to be read."""

    async def next(self) -> Job | None:
        """Return the oldest job that is queued, and count the attempt."""

    async def end(self, job_id: str, state: State, tally: Tally) -> None:
        """Note how a job ended, and let its parts go; of one that has ended nothing changes."""

    async def drop(self, *, unfinished_before: float, ended_before: float) -> None:
        """Delete uploads that got no part since then, and what ended before then."""


class KnowledgeStore(Shelf, Protocol):
    """Where documents are kept.

    Each write is atomic: a document is there whole, or as it was before. Every method may raise
    EngineError.
    """

    @property
    def jobs(self) -> JobStore:
        """The work on documents."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be ready for the time of the block.

        Raises:
            ConfigError: it cannot be opened; the text says what mends it.
        """

    async def adopt_model(self, name: str, dimension: int) -> None:
        """From now on vectors are of this model; those of another one are dropped."""

    async def put(
        self, document: KnownDocument, pieces: Sequence[Piece], job: Job | None = None
    ) -> Changes:
        """Store a document, or what has changed of the one with its scope and source.

        Chunks whose words and headings are the same keep their ids and vectors.

        Args:
            document: the document; its id counts if it is new.
            pieces: its chunks, in order.
            job: the upload that it came by: what was done is noted with it, in one transaction.
        """

    async def touch(
        self, document_id: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> None:
        """A page was fetched and is as it was: note what to ask with next time."""

    async def find(self, document_id: str) -> KnownDocument | None:
        """Return a document."""

    async def find_source(self, source: str, scope: str) -> KnownDocument | None:
        """Return the document of that source."""

    async def find_content(self, sha256: str, scope: str) -> KnownDocument | None:
        """Return a document of that content."""

    async def documents(self, *, limit: int, after: str | None) -> list[KnownDocument]:
        """Return documents, oldest first, after the one of that id."""

    async def with_address(self) -> list[str]:
        """Return the ids of all documents that came from the web."""

    async def remove(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """Delete what is there of `ids`; once per message id. The outcome's texts are titles."""

    async def count_unembedded(self, document_id: str | None = None) -> int:
        """Return how many chunks have no vector, of one document or all."""

    async def unembedded(self, limit: int, document_id: str | None = None) -> list[Unembedded]:
        """Return some chunks that have no vector."""

    async def set_vectors(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Give chunks their vectors; what was deleted meanwhile is passed over."""

    async def texts_at(self, places: Collection[Place]) -> dict[Place, str]:
        """Return the chunks' texts at those places, as far as there are any."""

    async def prune(self, *, outcomes_before: float) -> None:
        """Delete older outcomes of writes."""
