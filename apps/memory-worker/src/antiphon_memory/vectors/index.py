"""Unit vectors in three files beside a database, for the nearest to another by cosine.

`<name>.vectors` is one contiguous matrix of float32, `<name>.vectors-int8` the same as bytes, and
`<name>.vectors-rows` what each line is of. All are mapped, not read: the matrix itself is touched
only where candidates lie. Adding appends; deleting leaves a hole of zeros, and when half of the
lines are holes they are closed. Not thread-safe: one thread at a time, but for `flush`.

Where all vectors are multiplied, one thread does it: `numpy.einsum` runs in the calling thread and
lets the interpreter's lock go, where `matrix @ vector` goes to OpenBLAS, whose threads fight for
busy cores (10,000 x 384 took 24 ms that way and 1.0 ms with einsum, which is as fast as OpenBLAS on
one thread; measured on two loaded cores).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon_memory.service import EVERYWHERE, Where
from antiphon_memory.vectors.bytewise import FEW, Bytes, cosines, near_cosines, products, quantised
from antiphon_memory.vectors.columns import (
    FIRST_CAPACITY,
    HOLE,
    RECORD,
    Columns,
    Entry,
    Mask,
    Places,
    code_of,
    records_of,
)
from antiphon_memory.vectors.files import RowFile, State

COMPACT_FROM = 1024
BYTEWISE_FROM = FEW
"""Fewer vectors are multiplied as they are: one pass over them takes no longer than two."""

GATHER_SHARE = 16
"""A filter that leaves less than one in so many: only those are multiplied."""

CANDIDATES_EACH = 4
"""The first pass hands so many candidates to the second for each one wanted."""

CANDIDATES_MIN = 64
COPY_ROWS = 8192

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where vectors come from: vectors of different origins are never mixed.

    Attributes:
        model: its name.
        dimension: length of the vectors.
        database: which database they belong to, 16 bytes.
    """

    model: str
    dimension: int
    database: bytes


class VectorIndex:
    """Cosine search over unit vectors, keyed by row number; a key has one vector.

    Files that are not of this origin, damaged or too short are emptied.

    Args:
        path: of the matrix; the other files are named after it.
        origin: where the vectors come from.

    Attributes:
        change: the last change of the database that is in it; 0 when it was begun anew. Whoever
            puts and removes keeps it.

    Raises:
        OSError: the files cannot be opened.
    """

    def __init__(self, path: Path, origin: Origin) -> None:
        self.origin = origin
        self.dimension = origin.dimension
        self.change = 0
        self._matrix = RowFile(path, np.dtype("<f4"), self.dimension)
        self._codes = RowFile(path.with_name(f"{path.name}-int8"), np.dtype("i1"), self.dimension)
        self._records = RowFile(path.with_name(f"{path.name}-rows"), RECORD, 1)
        self._files = (self._matrix, self._codes, self._records)
        self._state = self._adopted()
        if self._state is None:
            self.clear()
        else:
            self.change = self._state.change
            self._columns = Columns(self._records.rows[: self._state.rows, 0])

    def __len__(self) -> int:
        return self._columns.live

    @property
    def vectors(self) -> Vectors:
        """The matrix, with holes; read only."""
        rows: Vectors = self._matrix.rows[: self._columns.end]
        return rows

    @property
    def codes(self) -> Bytes:
        """The vectors as bytes, line by line."""
        rows: Bytes = self._codes.rows[: self._columns.end]
        return rows

    @property
    def scales(self) -> Vectors:
        """The scale of each line."""
        return self._columns.scales

    def clear(self) -> None:
        """Begin anew, with no vectors and no changes.

        Raises:
            OSError: the disk failed.
        """
        self.change = 0
        self._columns = Columns(np.zeros(0, dtype=RECORD))
        origin = self.origin
        state = State(
            origin.model, origin.dimension, origin.database, os.urandom(16), rows=0, change=0
        )
        for file in self._files:
            file.begin(state, FIRST_CAPACITY)
        self._state = state

    def close(self) -> None:
        """Close the files; what was not flushed is found again only if no power cut comes."""
        for file in self._files:
            file.close()

    # Writing

    def put(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Add `vectors`, shape (n, dimension), or replace those of the same keys.

        No key comes twice.

        Raises:
            OSError: the disk is full, or failed; nothing is put then.
        """
        if not entries:
            return
        records = records_of(entries)
        quantised_vectors, records["scale"] = quantised(vectors)
        places = self._columns.places_for(records["key"])
        self._reserve(int(places.max()) + 1)
        self._matrix.write(places, vectors)
        self._codes.write(places, quantised_vectors)
        self._records.write(places, records[:, None])
        self._columns.put(places, records)

    def describe(self, entries: Sequence[Entry]) -> None:
        """Give scope, source and time anew to what is there of `entries`.

        Raises:
            OSError: the disk failed.
        """
        places = self._columns.places_of(np.array([one.key for one in entries], dtype=np.int64))
        for entry, place in zip(entries, places.tolist(), strict=True):
            if place >= 0:
                where = np.array([place])
                record = self._columns.records(where)
                record["ts"] = entry.ts
                record["scope"], record["source"] = code_of(entry.scope), code_of(entry.source)
                self._records.write(where, record[:, None])
                self._columns.put(where, record)

    def remove(self, keys: Iterable[int]) -> None:
        """Remove what is there of `keys`; their vectors are overwritten.

        Raises:
            OSError: the disk is full, or failed.
        """
        found = self._columns.places_of(np.array(sorted(set(keys)), dtype=np.int64))
        places = np.sort(found[found >= 0])
        if not len(places):
            return
        holes = np.zeros((len(places), 1), dtype=RECORD)
        holes["key"] = HOLE
        self._records.write(places, holes)
        self._codes.write(places, np.zeros((len(places), self.dimension), dtype=np.int8))
        self._matrix.write(places, np.zeros((len(places), self.dimension), dtype=np.float32))
        self._columns.drop(places)
        if self._columns.end > COMPACT_FROM and len(self) < self._columns.end // 2:
            self._compact()

    def snapshot(self) -> State:
        """Return what `flush` may write, once the files have reached the disk."""
        state = self._state
        assert state is not None  # noqa: S101  (clear or adopt came first)
        return replace(state, rows=self._columns.end, change=self.change)

    def flush(self, state: State) -> None:
        """Wait for the disk, then note how far the files are good. For any thread.

        Args:
            state: from `snapshot`, of the same files: nothing was cleared or compacted since.

        Raises:
            OSError: the disk failed.
        """
        for file in self._files:
            file.sync()
        self._matrix.note(state)
        self._matrix.sync()

    # Reading

    def search(
        self, vector: Vectors, limit: int, where: Where = EVERYWHERE
    ) -> list[tuple[int, float]]:
        """Return keys and cosines of the nearest vectors, best first, at most `limit`.

        The cosines are exact. Of many vectors the nearest are looked for among their bytes first.

        Args:
            vector: of unit length, shape (dimension,).
            limit: how many at the most.
            where: only of these.
        """
        mask = self._columns.mask(where)
        end = self._columns.end
        passing = end if mask is None else int(np.count_nonzero(mask))
        if not passing or limit < 1:
            return []
        if mask is not None and passing * GATHER_SHARE < end:
            return self._nearest(np.flatnonzero(mask), vector, limit)
        multiply = products() if end >= BYTEWISE_FROM else None
        if multiply is None:
            found = cosines(self.vectors, vector)
            return self._paired(*_best(_masked(found, mask), min(limit, passing)))
        near = near_cosines(self.codes, self.scales, vector, multiply)
        wanted = max(CANDIDATES_MIN, CANDIDATES_EACH * limit)
        places = _top(_masked(near, mask), min(wanted, passing))
        return self._nearest(places, vector, limit)

    def cosines(self, keys: Iterable[int], vector: Vectors) -> dict[int, float]:
        """Return the cosine of `vector` with each of `keys` that has a vector."""
        asked = np.fromiter(keys, dtype=np.int64)
        places = self._columns.places_of(asked)
        known = places >= 0
        found = cosines(self._matrix.rows[places[known]], vector)
        return dict(zip(asked[known].tolist(), found.tolist(), strict=True))

    def passing(self, keys: NDArray[np.int64], where: Where) -> tuple[Mask, Mask]:
        """Return for each key whether it passes a filter, and whether it is here at all."""
        places = self._columns.places_of(keys)
        known = places >= 0
        passing = np.zeros(len(keys), dtype=np.bool_)
        passing[known] = self._columns.passing(where, places[known])
        return passing, known

    def _nearest(self, places: Places, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        best, found = _best(cosines(self._matrix.rows[places], vector), min(limit, len(places)))
        return self._paired(places[best], found)

    def _paired(self, places: Places, cosines: Vectors) -> list[tuple[int, float]]:
        return list(zip(self._columns.keys[places].tolist(), cosines.tolist(), strict=True))

    # Files

    def _adopted(self) -> State | None:
        """Return the files' state, if they belong together, to the origin, and are long enough."""
        states = [file.state() for file in self._files]
        state = states[0]
        if state is None or any(
            other is None or other.generation != state.generation for other in states
        ):
            return None
        if Origin(state.model, state.dimension, state.database) != self.origin:
            return None
        if any(len(file.rows) < state.rows for file in self._files):
            return None
        return state if _plausible(self._records.rows[: state.rows, 0]["key"]) else None

    def _reserve(self, wanted: int) -> None:
        capacity = len(self._records.rows)
        if wanted > capacity:
            for file in self._files:
                file.reserve(max(2 * capacity, wanted))

    def _compact(self) -> None:
        """Close the holes: copies what lives to the front, then begins a new state.

        A crash in between leaves files of no state, which are made anew from the database.
        """
        live = np.flatnonzero(self._columns.keys != HOLE)
        records = self._columns.records(live)
        old = self._matrix.rows, self._codes.rows
        state = replace(self.snapshot(), generation=os.urandom(16), rows=0, change=0)
        self._matrix.note(state)
        self._matrix.sync()
        for begin in range(0, len(live), COPY_ROWS):
            taken = live[begin : begin + COPY_ROWS]
            places = np.arange(begin, begin + len(taken))
            self._matrix.write(places, old[0][taken])
            self._codes.write(places, old[1][taken])
        self._records.write(np.arange(len(live)), records[:, None])
        for file in self._files:
            file.shrink(max(FIRST_CAPACITY, len(live)))
            file.note(state)
        self._columns = Columns(records)
        self._state = state
        self.flush(self.snapshot())


def _plausible(keys: NDArray[np.int64]) -> bool:
    """Whether there is no key twice and none that no database has."""
    live = keys[keys != HOLE]
    return bool((live > 0).all()) and len(np.unique(live)) == len(live)


def _masked(cosines: Vectors, mask: Mask | None) -> Vectors:
    if mask is not None:
        cosines[~mask] = -np.inf
    return cosines


def _top(cosines: Vectors, count: int) -> Places:
    """Return the places of the `count` largest, in any order."""
    if count >= len(cosines):
        return np.arange(len(cosines))
    return np.argpartition(cosines, -count)[-count:]


def _best(cosines: Vectors, count: int) -> tuple[Places, Vectors]:
    """Return the places and values of the `count` largest, best first."""
    places = _top(cosines, count)
    order = np.argsort(-cosines[places], kind="stable")[:count]
    places = places[order]
    return places, cosines[places]
