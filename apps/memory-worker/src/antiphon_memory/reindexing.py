"""Giving vectors to the memories that have none: after a change of model, or while it was away."""

from __future__ import annotations

import asyncio

import structlog
from antiphon_contracts import EngineError

from antiphon_memory.embedding import Embedding, Notes
from antiphon_memory.service import MemoryStore

BATCH = 8
"""Small, because a query waits behind at most one batch: about 25 ms with MiniLM."""

NOTE_EVERY = 32 * BATCH
RETRY_S = 30.0
NOTE = "reindex"

log = structlog.get_logger(__name__)


class Reindexer:
    """Works in the background; until it is done, what has no vector is found by words.

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
        """Embed every memory that has no vector.

        Raises:
            EngineError: the embedder or the store failed; what is done stays done.
        """
        if not self._embedding.ready:
            return
        total = await self._store.count_unembedded()
        done = 0
        while batch := await self._store.unembedded(BATCH):
            if done % NOTE_EVERY == 0:
                self._notes.note(
                    NOTE, f"I read my memories anew: {done} of {total}; the rest goes by words."
                )
            vectors = await self._embedding.embed([memory.text for memory in batch])
            await self._store.set_vectors([memory.id for memory in batch], vectors)
            done += len(batch)
        self._notes.clear_note(NOTE)
