"""The vectors of chunks, read from the database at the start, searched in a thread of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from antiphon_contracts import EngineError
from antiphon_runtime.offload import ModelThread

from antiphon_memory.service import Where
from antiphon_memory.vectors import Entry, Origin, VectorIndex, Vectors

T = TypeVar("T")

QUEUE_LIMIT = 4096
"""More searches than workers ask for at once."""

ID_BYTES = 16

Row = tuple[int, str, bytes]
"""Row number, scope and vector (little-endian float32) of a chunk."""


class ChunkVectors:
    """An index that may be missing: until a model is adopted nothing is near anything.

    Args:
        path: of the index's files, which hold nothing that the database does not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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
                self._close()

    def _close(self) -> None:
        if self._index is not None:
            self._index.close()
        self._thread = self._index = None

    async def begin(self, model: str, dimension: int) -> None:
        """Start with an empty index.

        Raises:
            EngineError: its files cannot be opened.
        """
        if self._index is not None:
            await self._call(self._index.close)
        origin = Origin(model, dimension, bytes(ID_BYTES))
        self._index = await self._call(_empty, self._path, origin)

    async def put(self, rows: Sequence[Row]) -> None:
        """Add vectors; one of another length is left out."""
        if self._index is not None and rows:
            await self._call(_put, self._index, rows)

    async def remove(self, keys: Sequence[int]) -> None:
        """Remove vectors."""
        if self._index is not None and keys:
            await self._call(self._index.remove, keys)

    async def search(self, vector: Vectors, limit: int, where: Where) -> dict[int, float]:
        """Return rows and cosines of the nearest, best first; only scopes are looked at."""
        if self._index is None:
            return {}
        return dict(await self._call(self._index.search, vector, limit, Where(where.scopes)))

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


def _empty(path: Path, origin: Origin) -> VectorIndex:
    try:
        index = VectorIndex(path, origin)
        index.clear()
    except OSError as error:
        msg = f"The knowledge base's vectors cannot be kept ({error.strerror}); check the disk."
        raise EngineError(msg, retryable=True) from error
    return index


def _put(index: VectorIndex, rows: Sequence[Row]) -> None:
    fit = [row for row in rows if len(row[2]) == 4 * index.dimension]
    if not fit:
        return
    vectors = np.frombuffer(b"".join(row[2] for row in fit), dtype="<f4")
    index.put(
        [Entry(row[0], row[1], "", 0.0) for row in fit],
        vectors.reshape(len(fit), index.dimension).astype(np.float32, copy=False),
    )
