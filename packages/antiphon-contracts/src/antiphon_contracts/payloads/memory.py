"""Payloads of long-term memory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several


class MemoryQuery(Payload):
    """Asks for what long-term memory holds on a text.

    Attributes:
        text: the question, in people's words.
        top_k: how many results at the most.
        max_tokens: budget of all results together; None is no budget.
        strategy: both rankings fused, meaning alone, or newest first.
        scope: whose memory, e.g. `household`; None is all.
    """

    text: str = Field(max_length=100_000)
    top_k: int = Field(default=5, ge=1, le=100)
    max_tokens: int | None = Field(default=None, ge=1)
    strategy: Literal["hybrid", "similarity", "recent"] = "hybrid"
    scope: str | None = None


class MemoryResult(Payload):
    """One memory.

    Attributes:
        id: its id.
        text: what was stored.
        source: where it came from, e.g. `user`.
        score: cosine similarity to the query, -1 to 1 (0 with `recent`).
        ts: when it was stored, in seconds since the epoch.
    """

    id: str
    text: str
    source: str = "user"
    score: float = 0.0
    ts: float = 0.0


class MemoryResults(Payload):
    """The memories found, best first.

    Attributes:
        results: the memories.
        error: one sentence for people; None is success.
    """

    results: Several[MemoryResult] = ()
    error: str | None = None


class MemoryRemember(Payload):
    """Stores a text for good.

    Attributes:
        text: the words to remember.
        source: where they come from.
        scope: whose memory it is.
    """

    text: str = Field(min_length=1, max_length=20_000)
    source: str = "user"
    scope: str = "household"


class MemoryForget(Payload):
    """Deletes memories, by id or by the query that they match best.

    Attributes:
        ids: exactly these.
        query: the best match of this text, if it is close enough.
    """

    ids: Several[str] = ()
    query: str | None = None


class MemoryIngest(Payload):
    """Adds a document to the knowledge base: a page by address, or an uploaded text.

    Paths of files are not accepted from the bus.

    Attributes:
        title: what the document is called.
        text: the document itself.
        url: address of the page.
    """

    title: str = Field(max_length=512)
    text: str | None = Field(default=None, max_length=3_000_000)
    url: str | None = Field(default=None, max_length=2048, pattern=r"^https?://")


class MemoryDone(Payload):
    """What a write to long-term memory did.

    Attributes:
        action: what was asked for.
        ids: the memories written or deleted; empty if nothing matched.
        texts: their texts, so that the speaker can say what was forgotten.
        progress: 0 to 1; below 1 more messages follow.
        error: one sentence for people; None is success.
    """

    action: Literal["remember", "forget", "ingest"]
    ids: Several[str] = ()
    texts: Several[str] = ()
    progress: float = Field(default=1.0, ge=0, le=1)
    error: str | None = None
