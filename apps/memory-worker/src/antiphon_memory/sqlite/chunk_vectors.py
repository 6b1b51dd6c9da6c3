"""The vectors of chunks in memory, searched in a thread of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
from antiphon_contracts import EngineError
from antiphon_runtime.offload import ModelThread

from antiphon_memory.vectors import VectorIndex, Vectors

T = TypeVar("T")

QUEUE_LIMIT = 64

Row = tuple[int, str, bytes]
"""Row number, scope and vector (little-endian float32) of a chunk."""


class ChunkVectors:
    """An index that may be missing: until a model is adopted nothing is near anything."""

    def __init__(self) -> None:
        self._index: VectorIndex | None = None
        self._thread: ModelThread | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be ready for the time of the block."""
        with ModelThread("knowledge-vectors", queue_limit=QUEUE_LIMIT) as thread:
            self._thread, self._index = thread, None
            try:
                yield
            finally:
                self._thread = self._index = None

    def begin(self, dimension: int) -> None:
        """Start with an empty index."""
        self._index = VectorIndex(dimension)

    async def put(self, rows: Sequence[Row]) -> None:
        """Add vectors; one of another length is left out."""
        if self._index is not None and rows:
            await self._call(_put, self._index, rows)

    async def remove(self, keys: Sequence[int]) -> None:
        """Remove vectors."""
        if self._index is not None and keys:
            await self._call(self._index.remove, keys)

    async def search(self, vector: Vectors, limit: int, scope: str | None) -> dict[int, float]:
        """Return rows and cosines of the nearest, best first."""
        if self._index is None:
            return {}
        return dict(await self._call(self._index.search, vector, limit, scope))

    async def cosines(self, keys: Sequence[int], vector: Vectors | None) -> dict[int, float]:
        """Return the cosine of each row that has a vector."""
        if self._index is None or vector is None or not keys:
            return {}
        return await self._call(self._index.cosines, keys, vector)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        if self._thread is None:
            msg = "The knowledge base is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        return await self._thread.call(function, *args)


def _put(index: VectorIndex, rows: Sequence[Row]) -> None:
    fit = [row for row in rows if len(row[2]) == 4 * index.dimension]
    if not fit:
        return
    vectors = np.frombuffer(b"".join(row[2] for row in fit), dtype="<f4")
    index.put(
        [row[0] for row in fit],
        [row[1] for row in fit],
        vectors.reshape(len(fit), index.dimension).astype(np.float32, copy=False),
    )
