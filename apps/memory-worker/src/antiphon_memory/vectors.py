"""Unit vectors in one contiguous matrix, for exact search. Not thread-safe: one thread at a time.

The product is `numpy.einsum`, which runs in the calling thread and lets the GIL go. `matrix @
vector` goes to OpenBLAS, whose threads fight for busy cores: 10,000 x 384 took 24 ms that way and
1.0 ms with einsum, which is as fast as OpenBLAS on one thread (measured on two loaded cores).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

FIRST_CAPACITY = 256
COMPACT_FROM = 1024

Vectors = NDArray[np.float32]


class VectorIndex:
    """Exact cosine search over unit vectors, keyed by row number.

    Adding writes one line (the matrix doubles when full); deleting leaves a hole, which is closed
    when half of the matrix is holes.

    Args:
        dimension: length of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._matrix: Vectors = np.zeros((FIRST_CAPACITY, dimension), dtype=np.float32)
        self._keys = np.zeros(FIRST_CAPACITY, dtype=np.int64)
        self._scopes = np.full(FIRST_CAPACITY, -1, dtype=np.int32)  # -1 is a hole
        self._scope_codes: dict[str, int] = {}
        self._places: dict[int, int] = {}
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    def put(self, keys: Sequence[int], scopes: Sequence[str], vectors: Vectors) -> None:
        """Add `vectors`, shape (n, dimension), or replace those of the same keys."""
        self._reserve(self._end + len(keys))
        for key, scope, vector in zip(keys, scopes, vectors, strict=True):
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = self._end
                self._end += 1
            self._matrix[place] = vector
            self._keys[place] = key
            self._scopes[place] = self._scope_codes.setdefault(scope, len(self._scope_codes))

    def remove(self, keys: Iterable[int]) -> None:
        """Remove what is there of `keys`."""
        for key in keys:
            place = self._places.pop(key, None)
            if place is not None:
                self._scopes[place] = -1
                self._matrix[place] = 0.0
        if self._end > COMPACT_FROM and len(self._places) < self._end // 2:
            self._compact()

    def search(self, vector: Vectors, limit: int, scope: str | None) -> list[tuple[int, float]]:
        """Return keys and cosines of the nearest vectors, best first, at most `limit`.

        Args:
            vector: of unit length, shape (dimension,).
            limit: how many at the most.
            scope: only of this scope; None is all.
        """
        scopes = self._scopes[: self._end]
        wanted = scopes >= 0 if scope is None else scopes == self._scope_codes.get(scope, -2)
        count = min(limit, int(np.count_nonzero(wanted)))
        if not count:
            return []
        cosines = np.einsum("ij,j->i", self._matrix[: self._end], vector)
        cosines[~wanted] = -np.inf
        best = np.argpartition(cosines, -count)[-count:]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return [(int(self._keys[place]), float(cosines[place])) for place in best]

    def cosines(self, keys: Iterable[int], vector: Vectors) -> dict[int, float]:
        """Return the cosine of `vector` with each of `keys` that has a vector."""
        places = {key: self._places[key] for key in keys if key in self._places}
        products = np.einsum("ij,j->i", self._matrix[list(places.values())], vector)
        return dict(zip(places, products.tolist(), strict=True))

    def _reserve(self, wanted: int) -> None:
        capacity = len(self._keys)
        if wanted <= capacity:
            return
        self._resize(max(capacity * 2, wanted), slice(0, self._end))

    def _compact(self) -> None:
        live = np.flatnonzero(self._scopes[: self._end] >= 0)
        self._resize(max(FIRST_CAPACITY, 2 * len(live)), live)
        self._places = {int(key): place for place, key in enumerate(self._keys[: self._end])}

    def _resize(self, capacity: int, kept: slice | NDArray[np.intp]) -> None:
        matrix, keys, scopes = self._matrix[kept], self._keys[kept], self._scopes[kept]
        self._end = len(keys)
        self._matrix = np.zeros((capacity, self.dimension), dtype=np.float32)
        self._keys = np.zeros(capacity, dtype=np.int64)
        self._scopes = np.full(capacity, -1, dtype=np.int32)
        self._matrix[: self._end] = matrix
        self._keys[: self._end] = keys
        self._scopes[: self._end] = scopes
