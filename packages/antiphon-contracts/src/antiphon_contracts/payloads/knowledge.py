"""Payloads of the knowledge base: documents that were given to read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several

PART_BYTES = 256 * 1024
"""Size of every part of an uploaded document but the last."""

MAX_PARTS = 400
_PART_CHARS = (PART_BYTES + 2) // 3 * 4


class DocumentPart(Payload):
    """One part of a document that is uploaded.

    Attributes:
        name: the file's name; a hint at its kind, and its title if it has none.
        content_type: what it is, e.g. `application/pdf`; empty if that is not known.
        sha256: of the whole document, in hex.
        size_bytes: of the whole document.
        number: of this part, from 0.
        data: this part's bytes in base64: 256 KiB, the last one what is left.
    """

    name: str = Field(max_length=512)
    content_type: str = Field(default="", max_length=256)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", max_length=64)
    size_bytes: int = Field(ge=1, le=PART_BYTES * MAX_PARTS)
    number: int = Field(default=0, ge=0, le=MAX_PARTS - 1)
    data: str = Field(max_length=_PART_CHARS)


class CrawlOptions(Payload):
    """How far links are followed.

    Attributes:
        depth: how many links away from the first page; 0 is that page alone.
        same_site: whether links to other hosts are left alone.
        max_pages: how many pages are read at most.
    """

    depth: int = Field(default=0, ge=0, le=10)
    same_site: bool = True
    max_pages: int = Field(default=100, ge=1, le=10_000)


class KnowledgeAdd(Payload):
    """Adds a document: one part of an upload, or a page by its address.

    A document of the same source is replaced; what has not changed in it stays as it is. The parts
    of an upload share the job's id. A part that is sent again changes nothing. Files are never
    opened by path.

    Attributes:
        job_id: chosen by the sender; names the work in progress events.
        source: with a part what the document is known by, else the address to fetch.
        title: instead of the document's own.
        scope: whose knowledge it is, e.g. `household`.
        part: a part of the document; None fetches `source`.
        crawl: which links are followed from `source`.
    """

    job_id: str = Field(min_length=1, max_length=128)
    source: str = Field(min_length=1, max_length=2048)
    title: str | None = Field(default=None, max_length=512)
    scope: str = Field(default="household", min_length=1, max_length=128)
    part: DocumentPart | None = None
    crawl: CrawlOptions = CrawlOptions()


class KnowledgeRemove(Payload):
    """Deletes documents.

    Attributes:
        ids: the documents.
    """

    ids: Several[str] = Field(max_length=10_000)


class KnowledgeRefresh(Payload):
    """Fetches documents that came from an address anew.

    Attributes:
        ids: the documents; empty is all that came from an address.
    """

    ids: Several[str] = Field(default=(), max_length=10_000)


class KnowledgeCancel(Payload):
    """Ends work on documents; what was read already stays.

    Attributes:
        job_id: which.
    """

    job_id: str = Field(min_length=1, max_length=128)


class KnowledgeDone(Payload):
    """What was done about an order, or that it is safe and will be carried out.

    Attributes:
        action: what was asked for.
        job_id: the work that follows, as progress events name it; None if none follows.
        received: how many parts of the upload are there.
        accepted: whether the order is complete and kept, also over a crash.
        ids: the documents deleted.
        titles: their titles.
        error: one sentence for people; None is success.
    """

    action: Literal["add", "remove", "refresh", "cancel"]
    job_id: str | None = None
    received: int = 0
    accepted: bool = False
    ids: Several[str] = ()
    titles: Several[str] = ()
    error: str | None = None


class KnowledgeProgress(Payload):
    """How far work on documents is; about every second, and at each change of state.

    Attributes:
        job_id: the work.
        state: see the words; the last three are final.
        title: the document at hand.
        done: chunks that can be found by meaning, or pages fetched.
        total: how many there will be; 0 while that is not known.
        documents: documents read so far.
        unchanged: how many of them were known already, as they are.
        added: chunks that are new.
        kept: chunks that stayed as they were.
        removed: chunks that are gone.
        failures: pages or documents that could not be had.
        error: one sentence for people about a failure.
    """

    job_id: str
    state: Literal["queued", "fetching", "reading", "embedding", "done", "failed", "cancelled"] = (
        "queued"
    )
    title: str = ""
    done: int = 0
    total: int = 0
    documents: int = 0
    unchanged: int = 0
    added: int = 0
    kept: int = 0
    removed: int = 0
    failures: int = 0
    error: str | None = None


class KnowledgeList(Payload):
    """Asks which documents there are.

    Attributes:
        limit: how many at the most.
        after: the id of the last document of the answer before this one; None is from the start.
        job_id: only this work; None is all.
    """

    limit: int = Field(default=200, ge=1, le=1000)
    after: str | None = None
    job_id: str | None = None


class KnowledgeDocument(Payload):
    """One document.

    Attributes:
        id: its id.
        title: what it is called.
        source: its address, or what it is known by.
        scope: whose knowledge it is.
        chunks: how many pieces it is cut into.
        embedded: how many of them can be found by meaning, and not by words only.
        size_bytes: of the document as it came.
        ts: when it came or last changed, in seconds since the epoch.
    """

    id: str
    title: str
    source: str
    scope: str = "household"
    chunks: int = 0
    embedded: int = 0
    size_bytes: int = 0
    ts: float = 0.0


class KnowledgeDocuments(Payload):
    """The documents, oldest first, and the work on them.

    Attributes:
        documents: the documents.
        more: whether there are others after them.
        jobs: work that waits, is under way, or ended within a day.
        error: one sentence for people; None is success.
    """

    documents: Several[KnowledgeDocument] = ()
    more: bool = False
    jobs: Several[KnowledgeProgress] = ()
    error: str | None = None


class KnowledgeSearch(Payload):
    """Asks the documents.

    Attributes:
        text: the question, in people's words.
        top_k: how many results at the most.
        max_tokens: budget of all results together; None is no budget.
        scope: whose knowledge, e.g. `household`; None is all.
        context: how many chunks before and after each result are joined to it.
    """

    text: str = Field(max_length=100_000)
    top_k: int = Field(default=5, ge=1, le=100)
    max_tokens: int | None = Field(default=None, ge=1)
    scope: str | None = None
    context: int = Field(default=0, ge=0, le=5)


class KnowledgeHit(Payload):
    """A piece of a document.

    Attributes:
        id: the chunk's id.
        document_id: its document.
        text: its words.
        title: the document's title.
        source: the document's address, or what it is known by.
        anchor: where in the document, e.g. `#opening-hours` or `page 3`; may be empty.
        score: cosine similarity to the question, -1 to 1; 0 if only words were compared.
    """

    id: str
    document_id: str
    text: str
    title: str
    source: str
    anchor: str = ""
    score: float = 0.0


class KnowledgeResults(Payload):
    """What was found, best first.

    Attributes:
        results: the pieces.
        error: one sentence for people; None is success.
    """

    results: Several[KnowledgeHit] = ()
    error: str | None = None
