"""Giving vectors to the memories that have none: after a change of model, or while it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import structlog
from antiphon_contracts import EngineError

from antiphon_memory.embedder import TextRefused, Vectors
from antiphon_memory.embedding import Embedding, Notes
from antiphon_memory.service import Memory, MemoryStore

BATCH = 8
"""Small, because a query waits behind at most one batch: about 25 ms with MiniLM."""

NOTE_EVERY = 32 * BATCH
RETRY_S = 30.0
NOTE = "reindex"

log = structlog.get_logger(__name__)


class Reindexer:
    """Works in the background; until it is done, what has no vector is found by words.

    A text that the model refuses stays without a vector, and is tried again with another model or
    after a restart.

    Args:
        store: where the memories are.
        embedding: gives the vectors.
        notes: is told how far it is.
    """

    def __init__(self, store: MemoryStore, embedding: Embedding, notes: Notes) -> None:
        self._store = store
        self._embedding = embedding
        self._notes = notes
        self._wanted = asyncio.Event()
        self._refused: set[str] = set()
        self._refused_by = ""

    def wake(self) -> None:
        """A memory was stored without a vector."""
        self._wanted.set()

    async def run(self) -> None:
        """Embed what has no vector, now and whenever woken, for ever."""
        while True:
            self._wanted.clear()
            try:
                await self.catch_up()
            except EngineError as error:
                log.warning("memory.reindex_failed", detail=str(error))
                self._notes.note(NOTE, f"Some memories are found by words only: {error}")
                await asyncio.sleep(RETRY_S)
                continue
            await self._wanted.wait()

    async def catch_up(self) -> None:
        """Embed every memory that has no vector, but for what the model refuses.

        Raises:
            EngineError: the embedder or the store failed; what is done stays done.
        """
        if not self._embedding.ready:
            return
        if self._refused_by != self._embedding.name:
            self._refused, self._refused_by = set(), self._embedding.name
        total = await self._store.count_unembedded()
        done = 0
        while batch := await self._next():
            if done % NOTE_EVERY == 0:
                self._notes.note(
                    NOTE, f"I read my memories anew: {done} of {total}; the rest goes by words."
                )
            taken, vectors = await self._embed(batch)
            if taken:
                await self._store.set_vectors([memory.id for memory in taken], vectors)
            done += len(batch)
        self._say_what_was_refused()

    async def _next(self) -> list[Memory]:
        """Return the next memories that have no vector and were not refused; none is the end."""
        found = await self._store.unembedded(BATCH + len(self._refused))
        batch = [memory for memory in found if memory.id not in self._refused][:BATCH]
        if not batch:
            # What is no longer there was forgotten.
            self._refused &= {memory.id for memory in found}
        return batch

    async def _embed(self, batch: Sequence[Memory]) -> tuple[list[Memory], Vectors]:
        """Return the memories that the model takes, and their vectors, shape (n, dimension)."""
        try:
            vectors = await self._embedding.embed([memory.text for memory in batch], "document")
        except TextRefused:
            return await self._embed_singly(batch)
        return list(batch), vectors

    async def _embed_singly(self, batch: Sequence[Memory]) -> tuple[list[Memory], Vectors]:
        taken, vectors = [], [np.empty((0, self._embedding.dimension), dtype=np.float32)]
        for memory in batch:
            try:
                vectors.append(await self._embedding.embed([memory.text], "document"))
            except TextRefused as error:
                log.warning("memory.text_refused", memory_id=memory.id, detail=str(error))
                self._refused.add(memory.id)
            else:
                taken.append(memory)
        return taken, np.concatenate(vectors)

    def _say_what_was_refused(self) -> None:
        if not self._refused:
            self._notes.clear_note(NOTE)
            return
        self._notes.note(
            NOTE,
            f"{len(self._refused)} of my memories are found by words only, because the embedding"
            " model refuses their texts; say them in other words, or choose another model.",
        )
