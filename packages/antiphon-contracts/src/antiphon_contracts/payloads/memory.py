"""Payloads of long-term memory; what was found may come from documents, too."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several

MAX_SCOPES = 16
MAX_RECORDS = 500

_NAME = r"[^/+#{}\x00-\x1f\x7f-\x9f]{1,128}"

_SCOPE = rf"(?:household|(?:person|site):{_NAME})"

MemoryScope = Annotated[str, Field(pattern=f"^{_SCOPE}$")]
"""Whose a memory is: `household`, `person:NAME` or `site:NAME`."""

MemoryScopeAsked = Annotated[str, Field(pattern=rf"^(?:all|household|(?:person|site):{_NAME})$")]
"""A `MemoryScope`, or `all` of them."""

Scopes = Annotated[Several[MemoryScopeAsked], Field(max_length=MAX_SCOPES)]


def is_memory_scope(value: str) -> bool:
    """Return whether `value` says whose a memory is: `household`, `person:NAME`, `site:NAME`."""
    return re.fullmatch(_SCOPE, value) is not None


class MemoryQuery(Payload):
    """Asks for what long-term memory holds on a text.

    Attributes:
        text: the question, in people's words.
        top_k: how many results at the most.
        max_tokens: budget of all results together; None is no budget.
        strategy: both rankings fused, meaning alone, or newest first.
        scope: one more scope; `scopes` says more.
        scopes: whose memories; none named is the household's and those of the site that asks.
        sources: only from these, e.g. `user`; none named is all.
        since: only stored or confirmed at this time or later, in seconds since the epoch.
        until: only stored or confirmed before this time, in seconds since the epoch.
        context: how many pieces of a document before and after one that is found are joined to it.
    """

    text: str = Field(max_length=100_000)
    top_k: int = Field(default=5, ge=1, le=100)
    max_tokens: int | None = Field(default=None, ge=1)
    strategy: Literal["hybrid", "similarity", "recent"] = "hybrid"
    scope: str | None = None
    scopes: Scopes = ()
    sources: Annotated[Several[str], Field(max_length=MAX_SCOPES)] = ()
    since: float | None = None
    until: float | None = None
    context: int = Field(default=0, ge=0, le=5)


class MemoryResult(Payload):
    """One memory, or a piece of a document.

    Attributes:
        id: its id.
        text: what was stored.
        source: where it came from, e.g. `user`; of a document its title and the place in it.
        score: cosine similarity to the query, -1 to 1 (0 with `recent`).
        ts: when it was stored or last confirmed, in seconds since the epoch.
        scope: whose it is.
        kind: which of the two it is.
        link: a document's address, or what it is known by, with the place in it.
    """

    id: str
    text: str
    source: str = "user"
    score: float = 0.0
    ts: float = 0.0
    scope: str = "household"
    kind: Literal["memory", "document"] = "memory"
    link: str = ""

    @property
    def is_from_outside(self) -> bool:
        """Whether it is a piece of a web page: strangers wrote it."""
        return self.link.lower().startswith(("http://", "https://"))


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

    The same fact in other words is not stored twice, and one that it contradicts is superseded: it
    is found no more, and kept for `MemoryList` alone.

    Attributes:
        text: the words to remember.
        source: where they come from.
        scope: whose memory it is.
    """

    text: str = Field(min_length=1, max_length=20_000)
    source: str = "user"
    scope: MemoryScope = "household"


class MemoryForget(Payload):
    """Deletes memories, and what they superseded: by id, by query, or whole scopes.

    To have a deletion by query confirmed, ask with `preview`, show the texts, and send the ids.

    Attributes:
        ids: exactly these.
        query: the best match of this text, if it is close enough; with `preview` all that match.
        scopes: where `query` looks; none named is the household and the site that asks.
        everything_in: all that is in these scopes; needs `confirm`.
        confirm: whether `everything_in` is meant.
        preview: deletes nothing; the answer says what would be.
    """

    ids: Several[str] = ()
    query: str | None = None
    scopes: Scopes = ()
    everything_in: Scopes = ()
    confirm: bool = False
    preview: bool = False


class MemoryRecord(Payload):
    """One memory as it is listed, exported and imported.

    Attributes:
        id: its id; the same id is the same memory everywhere.
        text: what was stored.
        source: where it came from, e.g. `user`.
        scope: whose it is.
        ts: when it was stored or last confirmed, in seconds since the epoch.
        superseded_by: id of the memory that replaced it; None is one that holds.
    """

    id: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=20_000)
    source: str = Field(default="user", max_length=200)
    scope: str = Field(default="household", max_length=200)
    ts: float = 0.0
    superseded_by: str | None = Field(default=None, max_length=200)


class MemoryList(Payload):
    """Asks for memories page by page, in the order of their ids.

    Attributes:
        after: `MemoryPage.next` of the page before; None is the first page.
        limit: how many at the most.
        scopes: whose memories; none named is all.
        superseded: also those that were replaced.
    """

    after: str | None = None
    limit: int = Field(default=100, ge=1, le=MAX_RECORDS)
    scopes: Scopes = ()
    superseded: bool = False


class MemoryPage(Payload):
    """Some memories, a MiB of text at the most.

    Attributes:
        records: the memories.
        next: what the next page is asked for with; None is the end.
        error: one sentence for people; None is success.
    """

    records: Several[MemoryRecord] = ()
    next: str | None = None
    error: str | None = None


class MemoryImport(Payload):
    """Stores memories as they were exported; ids that are there already are passed over.

    Attributes:
        records: the memories.
    """

    records: Annotated[Several[MemoryRecord], Field(max_length=MAX_RECORDS)]


class MemoryDone(Payload):
    """What a write to long-term memory did.

    Attributes:
        action: what was asked for.
        ids: the memories written or deleted, the first 100; empty if nothing matched.
        texts: their texts, so that the speaker can say what was forgotten.
        replaced: texts of the memories that this one superseded.
        count: how many were written or deleted; None where `ids` says so.
        error: one sentence for people; None is success.
    """

    action: Literal["remember", "forget", "import"]
    ids: Several[str] = ()
    texts: Several[str] = ()
    replaced: Several[str] = ()
    count: int | None = None
    error: str | None = None
