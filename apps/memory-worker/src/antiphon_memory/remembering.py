"""What is stored: what somebody asks for, and what is worth keeping; each fact once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from antiphon_contracts import HistoryAppend, MemoryDone, MemoryRemember, Message, new_id

from antiphon_memory.embedding import Embedding
from antiphon_memory.facts import Relation, compare
from antiphon_memory.keeping import is_worth_keeping
from antiphon_memory.service import Candidate, Memory, MemoryStore, Outcome, Where, candidates
from antiphon_memory.utterances import content_words, is_acknowledgement, is_question, normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPARED = 20
"""How many of each kind, near by meaning and sharing words, a new memory is compared with."""

IN_PASSING = "heard"
"""Source of what was kept without being asked to."""


class Remembering:
    """Stores memories: one that says the same is not stored twice, one contradicted is superseded.

    Args:
        store: keeps them.
        embedding: gives vectors, or not.
        on_unembedded: called when a memory was stored without a vector.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedding: Embedding,
        *,
        on_unembedded: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._on_unembedded = on_unembedded
        self._now = now
        self._writing = asyncio.Lock()

    async def on_remember(self, message: Message[MemoryRemember]) -> MemoryDone:
        """Store a text; questions and acknowledgements are refused."""
        text = normalise(message.data.text)
        refusal = _why_not(text)
        if refusal:
            return MemoryDone(action="remember", error=refusal)
        outcome = await self._remember(
            message.id, text, source=message.data.source, scope=message.data.scope
        )
        return MemoryDone(
            action="remember", ids=outcome.ids, texts=outcome.texts, replaced=outcome.replaced
        )

    async def consider(self, message: Message[HistoryAppend]) -> None:
        """Store what a person said in passing, if it is a fact or a preference worth keeping."""
        text = normalise(message.data.text)
        if message.data.role == "user" and is_worth_keeping(text):
            await self._remember(f"{message.id}.kept", text, source=IN_PASSING, scope="household")

    async def _remember(self, message_id: str, text: str, *, source: str, scope: str) -> Outcome:
        known = await self._store.outcome_of(message_id)
        if known is not None:
            return known
        vector = await self._embedding.embed_or_none(text, "document")
        async with self._writing:  # what is compared and what is stored must be of one moment
            same, replaces = await self._compare(text, vector, scope)
            memory = Memory(new_id(), text, source, scope, ts=self._now())
            outcome = await self._store.remember(
                message_id, memory, vector, same=same, replaces=replaces
            )
        if vector is None:
            self._on_unembedded()
        return outcome

    async def _compare(
        self, text: str, vector: NDArray[np.float32] | None, scope: str
    ) -> tuple[str | None, list[str]]:
        """Return the id of what says the same, and those of what a text contradicts."""
        near, matching = await candidates(
            self._store, content_words(text), vector, Where((scope,)), by_words=True, limit=COMPARED
        )
        found = {one.memory.id: one for one in (*near, *matching)}
        # Some ms of rules for forty sentences: off the loop.
        relations = await asyncio.to_thread(_relations, text, found)
        same = next((name for name, relation in relations.items() if relation == "same"), None)
        return same, [name for name, relation in relations.items() if relation == "supersedes"]


def _why_not(text: str) -> str | None:
    if not text:
        return "There is nothing to remember."
    if is_question(text):
        return "That is a question; I remember only what I am told."
    if is_acknowledgement(text):
        return "There is nothing in that to remember."
    return None


def _relations(text: str, found: Mapping[str, Candidate]) -> dict[str, Relation | None]:
    return {name: compare(text, one.memory.text, one.cosine) for name, one in found.items()}
