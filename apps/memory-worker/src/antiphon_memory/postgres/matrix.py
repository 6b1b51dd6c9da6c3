"""Exact search beside a server that has none: its vectors, copied into one matrix in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from antiphon_runtime.offload import ModelThread
from numpy.typing import NDArray

from antiphon_memory.postgres.server import Connection

ROWS_AT_ONCE = 2048
FIRST_CAPACITY = 256
SPARE = 64
"""How many more are looked up than wanted, as some may be deleted."""

SEARCHES = 8
"""How often a search is done anew because even more were deleted."""

Vectors = NDArray[np.float32]


def to_bytes(vector: Vectors) -> bytes:
    """Return a vector as it is stored: float32, little-endian."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def from_bytes(stored: bytes) -> Vectors:
    """Return a stored vector."""
    return np.frombuffer(stored, dtype="<f4").astype(np.float32)


class Matrix:
    """Unit vectors by row number. Not thread-safe: one thread at a time.

    Args:
        dimension: length of the vectors; those of another length are left out.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._vectors: Vectors = np.zeros((FIRST_CAPACITY, dimension), dtype=np.float32)
        self._numbers = np.zeros(FIRST_CAPACITY, dtype=np.int64)
        self._scopes = np.full(FIRST_CAPACITY, -1, dtype=np.int32)  # -1 is a hole
        self._codes: dict[str, int] = {}
        self._places: dict[int, int] = {}
        self._end = 0

    def put(self, rows: Sequence[tuple[int, str, bytes]]) -> None:
        """Add rows of (number, scope, vector), or replace those of the same number."""
        self._reserve(self._end + len(rows))
        for number, scope, stored in rows:
            if len(stored) != 4 * self._dimension:
                continue
            place = self._places.get(number)
            if place is None:
                place = self._places[number] = self._end
                self._end += 1
            self._vectors[place] = np.frombuffer(stored, dtype="<f4")
            self._numbers[place] = number
            self._scopes[place] = self._codes.setdefault(scope, len(self._codes))

    def remove(self, numbers: Sequence[int]) -> None:
        """Make holes of what is there of `numbers`."""
        for number in numbers:
            place = self._places.pop(number, None)
            if place is not None:
                self._scopes[place] = -1

    def search(self, vector: Vectors, limit: int, scopes: Sequence[str]) -> list[tuple[int, float]]:
        """Return numbers and cosines of the nearest vectors, best first; no scopes are all."""
        codes = [self._codes.get(scope, -2) for scope in scopes]
        known = self._scopes[: self._end]
        wanted = np.isin(known, codes) if scopes else known >= 0
        count = min(limit, int(np.count_nonzero(wanted)))
        if not count:
            return []
        # einsum stays in this thread; `@` would wake the threads of the BLAS library.
        cosines = np.einsum("ij,j->i", self._vectors[: self._end], vector)
        cosines[~wanted] = -np.inf
        best = np.argpartition(cosines, -count)[-count:]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [(int(self._numbers[place]), float(cosines[place])) for place in best]

    def _reserve(self, wanted: int) -> None:
        if wanted <= len(self._numbers):
            return
        more = max(len(self._numbers), wanted - len(self._numbers))
        self._vectors = np.concatenate(
            [self._vectors, np.zeros((more, self._dimension), dtype=np.float32)]
        )
        self._numbers = np.concatenate([self._numbers, np.zeros(more, dtype=np.int64)])
        self._scopes = np.concatenate([self._scopes, np.full(more, -1, dtype=np.int32)])


class MirroredVectors:
    """A matrix that follows the table, whoever writes to it.

    Writes commit in the order of their change numbers (see `WRITERS_KEY`), so what is newer than
    the last number seen is all that is new. Deleted rows are noticed when they are found.

    Args:
        dimension: length of the vectors.
        thread: where the matrix is used.
    """

    def __init__(self, dimension: int, thread: ModelThread) -> None:
        self._matrix = Matrix(dimension)
        self._thread = thread
        self._change = 0

    async def follow(self, db: Connection) -> None:
        """Read what is new in the table."""
        while rows := await db.fetch(
            "SELECT number, scope, embedding, change FROM antiphon.memories"
            " WHERE change > $1 AND embedding IS NOT NULL ORDER BY change LIMIT $2",
            self._change,
            ROWS_AT_ONCE,
        ):
            new = [(row["number"], row["scope"], row["embedding"]) for row in rows]
            await self._thread.call(self._matrix.put, new)
            self._change = max(self._change, rows[-1]["change"])

    async def nearest(
        self, db: Connection, vector: Vectors, *, limit: int, scopes: Sequence[str]
    ) -> dict[int, float]:
        """Return numbers and cosines of the nearest rows that are still there, best first."""
        await self.follow(db)
        found: list[tuple[int, float]] = []
        for _ in range(SEARCHES):
            found = await self._thread.call(self._matrix.search, vector, limit + SPARE, scopes)
            there = await db.fetch(
                "SELECT number FROM antiphon.memories"
                " WHERE number = ANY($1::bigint[]) AND embedding IS NOT NULL",
                [number for number, _ in found],
            )
            alive = {row["number"] for row in there}
            gone = [number for number, _ in found if number not in alive]
            found = [one for one in found if one[0] in alive]
            await self._thread.call(self._matrix.remove, gone)
            if len(found) >= limit or not gone:
                break
        return dict(found[:limit])
