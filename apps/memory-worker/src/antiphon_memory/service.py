"""Long-term memory, whatever keeps it: remember, forget, find."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from antiphon_contracts import (
    MemoryDone,
    MemoryForget,
    MemoryQuery,
    MemoryResult,
    MemoryResults,
    Message,
)

from antiphon_memory.facts import compare
from antiphon_memory.ranking import Floors, within_budget
from antiphon_memory.simultaneous import at_once
from antiphon_memory.utterances import content_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CANDIDATES = 50
"""How many each ranking hands to the fusion, at least."""

PREVIEWED = 20
UNCONFIRMED = "Nothing is forgotten: say with `confirm` that all of it is meant."

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing remembered.

    Attributes:
        id: its id; a UUIDv7 unless it was imported.
        text: the words.
        source: where they came from.
        scope: whose it is.
        ts: when it was stored or last confirmed, in seconds since the epoch.
        superseded_by: id of the memory that replaced it; None is one that holds.
    """

    id: str
    text: str
    source: str
    scope: str
    ts: float
    superseded_by: str | None = None

    @property
    def kind(self) -> Literal["memory", "document"]:
        """What it is: something told, or a piece of a document."""
        return "memory"

    @property
    def link(self) -> str:
        """Where in a document it stands."""
        return ""


@dataclass(frozen=True, slots=True)
class Where:
    """Which memories are looked at; nothing named is all.

    Attributes:
        scopes: of any of these scopes.
        sources: from any of these sources.
        since: of this time or later, in seconds since the epoch.
        until: before this time, in seconds since the epoch.
    """

    scopes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None


EVERYWHERE = Where()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory found, with its cosine to the query; None where either has no vector."""

    memory: Memory
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write did.

    An outcome that is given again for a repeated message has the texts of what is still stored:
    deleted words are kept nowhere, so those of `forget` are empty then.

    Attributes:
        ids: of the memories written or deleted, the first 100.
        texts: theirs.
        replaced: texts of the memories that were superseded.
        count: how many were written or deleted.
    """

    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    count: int = 0


class Shelf(Protocol):
    """What can be searched. Every method may raise EngineError."""

    async def similar(
        self, vector: NDArray[np.float32], *, limit: int, where: Where
    ) -> list[Candidate]:
        """Return what is nearest by cosine, best first."""

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: NDArray[np.float32] | None,
    ) -> list[Candidate]:
        """Return what has any of `words`, best first by BM25; cosines are to `vector`."""


class MemoryStore(Shelf, Protocol):
    """Where memories are kept.

    Each write is atomic and done once per message id: a repeated id changes nothing and returns
    the first outcome, also after the process was killed. Every method may raise EngineError.
    """

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be ready for the time of the block.

        Raises:
            ConfigError: it cannot be opened; the text says what mends it.
        """

    async def adopt_model(self, name: str, dimension: int) -> None:
        """From now on vectors are of this model; those of another one are dropped."""

    async def model(self) -> tuple[str, int] | None:
        """Return name and dimension of the model whose vectors are kept; None if none ever was."""

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors of memories by their ids; those that have none are left out."""

    async def outcome_of(self, message_id: str) -> Outcome | None:
        """Return what the write with this id did; None if there was none."""

    async def remember(
        self,
        message_id: str,
        memory: Memory,
        vector: NDArray[np.float32] | None,
        *,
        same: str | None = None,
        replaces: Sequence[str] = (),
    ) -> Outcome:
        """Store a memory.

        Args:
            message_id: the message that asks for it.
            memory: what to store.
            vector: its vector, if there is one.
            same: id of the memory that says this in other words: it only gets the new time. So does
                one of the same text (but for case) in the same scope.
            replaces: ids of memories that this one supersedes.
        """

    async def restore(self, message_id: str, memories: Sequence[Memory]) -> Outcome:
        """Store memories under their own ids, without vectors.

        One whose id is there, or whose text is there in the same scope, is passed over.
        """

    async def forget(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """Delete what is there of `ids`, and what that superseded."""

    async def forget_all(self, message_id: str, where: Where) -> Outcome:
        """Delete everything there, superseded or not; only the scopes of `where` count."""

    async def rows(self, *, after: str, limit: int, where: Where, superseded: bool) -> list[Memory]:
        """Return memories in the order of their ids, from the first after `after`.

        Args:
            after: an id; empty is from the first on.
            limit: how many at the most.
            where: which; only its scopes count.
            superseded: also those that were replaced.
        """

    async def count(self, where: Where) -> int:
        """Return how many there are, superseded or not; only the scopes of `where` count."""

    async def recent(self, *, limit: int, where: Where) -> list[Memory]:
        """Return the newest memories, newest first."""

    async def count_unembedded(self) -> int:
        """Return how many memories have no vector."""

    async def unembedded(self, limit: int) -> list[Memory]:
        """Return some memories that have no vector."""

    async def set_vectors(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Give memories their vectors; what was deleted meanwhile is passed over."""

    async def prune(self, *, outcomes_before: float) -> None:
        """Delete older outcomes of writes."""


async def candidates(
    store: Shelf,
    words: Sequence[str],
    vector: NDArray[np.float32] | None,
    where: Where,
    *,
    by_words: bool,
    limit: int,
) -> tuple[list[Candidate], list[Candidate]]:
    """Return what is near by meaning, and what shares words; both are asked for at once."""
    asked = {}
    if vector is not None:
        asked["near"] = store.similar(vector, limit=limit, where=where)
    if words and (by_words or vector is None):
        asked["matching"] = store.matching(words, limit=limit, where=where, vector=vector)
    found = await at_once(**asked)
    return found.get("near", []), found.get("matching", [])


class Finder(Protocol):
    """Finds what has to do with a question. Every method may raise EngineError."""

    async def find(self, text: str, where: Where, *, by_words: bool, limit: int) -> list[Candidate]:
        """Return what is relevant, best first; without vectors words decide in any case."""

    async def widened(
        self, found: Sequence[Candidate], *, context: int, max_tokens: int | None
    ) -> list[Candidate]:
        """Return what was found, passages joined with so many neighbours on each side.

        Neighbours that were both found become one passage, and no text stands twice.
        """


class MemoryService:
    """Handles memory's requests.

    Args:
        store: keeps it all.
        memories: finds memories alone: nobody forgets a document by the way.
        everything: finds what is answered from.
        floors: what may be forgotten.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        memories: Finder,
        everything: Finder,
        floors: Floors,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._memories = memories
        self._everything = everything
        self._floors = floors
        self._now = now

    async def on_query(self, message: Message[MemoryQuery]) -> MemoryResults:
        """Return what has to do with the question, best first; nothing rather than noise."""
        query = message.data
        asked = query.scopes if query.scope is None else (query.scope, *query.scopes)
        where = Where(
            _scopes(asked, message.site_id), query.sources, since=query.since, until=query.until
        )
        if query.strategy == "recent":
            memories = await self._store.recent(limit=query.top_k, where=where)
            found = [Candidate(memory, None) for memory in memories]
        else:
            found = await self._everything.find(
                query.text, where, by_words=query.strategy == "hybrid", limit=query.top_k
            )
        kept = within_budget(found[: query.top_k], lambda one: one.memory.text, query.max_tokens)
        if query.context:
            kept = await self._everything.widened(
                kept, context=query.context, max_tokens=query.max_tokens
            )
        return MemoryResults(results=tuple(map(_result, kept)))

    async def on_forget(self, message: Message[MemoryForget]) -> MemoryDone:
        """Delete by ids, whole scopes, or what a query matches best if that is close enough."""
        asked = message.data
        if asked.everything_in:
            return await self._forget_all(message.id, asked)
        if asked.preview:
            return await self._preview(asked, message.site_id)
        outcome = await self._store.outcome_of(message.id)
        if outcome is None:
            ids = asked.ids
            if not ids and asked.query:
                ids = await self._best_match(asked.query, _scopes(asked.scopes, message.site_id))
            outcome = await self._store.forget(message.id, ids)
        return _forgotten(outcome)

    async def _forget_all(self, message_id: str, asked: MemoryForget) -> MemoryDone:
        where = Where(() if "all" in asked.everything_in else asked.everything_in)
        if asked.preview:
            return MemoryDone(action="forget", count=await self._store.count(where))
        if not asked.confirm:
            return MemoryDone(action="forget", error=UNCONFIRMED)
        return _forgotten(await self._store.forget_all(message_id, where))

    async def _preview(self, asked: MemoryForget, site_id: str) -> MemoryDone:
        """Return what matches a query, the best first, at most 20; nothing is deleted."""
        where = Where(_scopes(asked.scopes, site_id))
        found = await self._memories.find(asked.query or "", where, by_words=True, limit=PREVIEWED)
        memories = [one.memory for one in found[:PREVIEWED]]
        return MemoryDone(
            action="forget",
            ids=tuple(memory.id for memory in memories),
            texts=tuple(memory.text for memory in memories),
        )

    async def _best_match(self, query: str, scopes: tuple[str, ...]) -> tuple[str, ...]:
        words = content_words(query)
        said = query.strip().removeprefix("that ")
        near_enough = [
            one
            for one in await self._memories.find(query, Where(scopes), by_words=True, limit=1)
            if self._floors.may_forget(one.cosine, has_all_words=_has_all(words, one.memory.text))
            # "My bicycle is red" does not mean the memory that it is blue.
            and compare(said, one.memory.text, one.cosine) != "supersedes"
        ]
        # Without cosines all are equal here, and `max` takes the first: the best by words.
        best = max(near_enough, key=lambda one: one.cosine or 0.0, default=None)
        return (best.memory.id,) if best else ()

    async def prune(self) -> None:
        """Delete outcomes of writes after a day."""
        await self._store.prune(outcomes_before=self._now() - DAY_S)


def _scopes(asked: tuple[str, ...], site_id: str) -> tuple[str, ...]:
    """Return the scopes that are meant; empty is all."""
    if "all" in asked:
        return ()
    return tuple(dict.fromkeys(asked)) or ("household", f"site:{site_id}")


def _forgotten(outcome: Outcome) -> MemoryDone:
    return MemoryDone(action="forget", ids=outcome.ids, texts=outcome.texts, count=outcome.count)


def _result(found: Candidate) -> MemoryResult:
    memory = found.memory
    return MemoryResult(
        id=memory.id,
        text=memory.text,
        source=memory.source,
        score=found.cosine or 0.0,
        ts=memory.ts,
        scope=memory.scope,
        kind=memory.kind,
        link=memory.link,
    )


def _has_all(words: Sequence[str], text: str) -> bool:
    return bool(words) and set(words) <= set(content_words(text))
