"""What is known of each vector beside its components, in memory: for filters without a loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon_memory.service import EVERYWHERE, Where

RECORD = np.dtype(
    [
        ("key", "<i8"),
        ("ts", "<f8"),
        ("scope", "<i8"),
        ("source", "<i8"),
        ("scale", "<f4"),
        ("", "V4"),
    ]
)
"""One row of the file; `key` is -1 in a hole."""

FIRST_CAPACITY = 256
HOLE = -1

Places = NDArray[np.int64]
Mask = NDArray[np.bool_]


def code_of(name: str) -> int:
    """Return a number for a scope's or a source's name; two names never share one in practice."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a vector is of; `ts` is in seconds since the epoch."""

    key: int
    scope: str
    source: str
    ts: float


def records_of(entries: Sequence[Entry]) -> NDArray[Any]:
    """Return the rows of entries, of scale 0."""
    records = np.zeros(len(entries), dtype=RECORD)
    codes: dict[str, int] = {}
    for name in {name for one in entries for name in (one.scope, one.source)}:
        codes[name] = code_of(name)
    records["key"] = [one.key for one in entries]
    records["ts"] = [one.ts for one in entries]
    records["scope"] = [codes[one.scope] for one in entries]
    records["source"] = [codes[one.source] for one in entries]
    return records


class Columns:
    """Keys, times, scopes, sources and scales by place, each contiguous, and places by key.

    Args:
        records: of the good rows, in order.
    """

    def __init__(self, records: NDArray[Any]) -> None:
        self.end = len(records)
        self._capacity = max(FIRST_CAPACITY, self.end)
        self._columns: dict[str, NDArray[Any]] = {}
        for name in ("key", "ts", "scope", "source", "scale"):
            column = np.zeros(self._capacity, dtype=RECORD[name])
            column[: self.end] = records[name]
            self._columns[name] = column
        keys = self.keys
        live = np.flatnonzero(keys != HOLE)
        self.live = len(live)
        self._places = np.full(max(FIRST_CAPACITY, int(keys.max(initial=0)) + 1), -1, np.int64)
        self._places[keys[live]] = live

    @property
    def keys(self) -> NDArray[np.int64]:
        """Keys by place."""
        return self._columns["key"][: self.end]

    @property
    def scales(self) -> NDArray[np.float32]:
        """Scales by place; 0 in a hole."""
        return self._columns["scale"][: self.end]

    def places_of(self, keys: NDArray[np.int64]) -> Places:
        """Return the place of each key, -1 where it has none."""
        places = np.full(len(keys), -1, dtype=np.int64)
        known = (keys >= 0) & (keys < len(self._places))
        places[known] = self._places[keys[known]]
        return places

    def places_for(self, keys: NDArray[np.int64]) -> Places:
        """Return the place of each key, a new one at the end where it has none; nothing is put."""
        places = self.places_of(keys)
        new = places < 0
        places[new] = self.end + np.arange(int(np.count_nonzero(new)))
        return places

    def put(self, places: Places, records: NDArray[Any]) -> None:
        """Put records at places that `places_for` gave."""
        end = max(self.end, int(places.max(initial=-1)) + 1)
        self._reserve(end)
        self.live += int(np.count_nonzero(places >= self.end))
        self.end = end
        for name, column in self._columns.items():
            column[places] = records[name]
        keys = records["key"]
        highest = int(keys.max(initial=0))
        if highest >= len(self._places):
            grown = np.full(max(highest + 1, 2 * len(self._places)), -1, dtype=np.int64)
            grown[: len(self._places)] = self._places
            self._places = grown
        self._places[keys] = places

    def drop(self, places: Places) -> None:
        """Make holes of places that have a key."""
        self._places[self.keys[places]] = -1
        for column in self._columns.values():
            column[places] = 0
        self._columns["key"][places] = HOLE
        self.live -= len(places)

    def records(self, places: Places | slice) -> NDArray[Any]:
        """Return the records of places."""
        keys = self.keys[places]
        records = np.zeros(len(keys), dtype=RECORD)
        for name, column in self._columns.items():
            records[name] = column[: self.end][places]
        return records

    def mask(self, where: Where) -> Mask | None:
        """Return by place what passes; None if every place does."""
        if where == EVERYWHERE:
            return None if self.live == self.end else self.keys != HOLE
        passing = self._passing(where, slice(0, self.end))
        passing &= self.keys != HOLE
        return passing

    def passing(self, where: Where, places: Places) -> Mask:
        """Return for each place whether it passes."""
        return self._passing(where, places)

    def _passing(self, where: Where, places: Places | slice) -> Mask:
        times = self._columns["ts"][: self.end][places]
        passing = np.ones(len(times), dtype=np.bool_)
        if where.scopes:
            passing &= _any_of(self._columns["scope"][: self.end][places], where.scopes)
        if where.sources:
            passing &= _any_of(self._columns["source"][: self.end][places], where.sources)
        if where.since is not None:
            passing &= times >= where.since
        if where.until is not None:
            passing &= times < where.until
        return passing

    def _reserve(self, wanted: int) -> None:
        if wanted <= self._capacity:
            return
        self._capacity = max(2 * self._capacity, wanted)
        for name, column in self._columns.items():
            grown = np.zeros(self._capacity, dtype=column.dtype)
            grown[: self.end] = column[: self.end]
            self._columns[name] = grown


def _any_of(codes: NDArray[np.int64], names: Iterable[str]) -> Mask:
    found: Mask = np.isin(codes, np.array([code_of(name) for name in names], dtype=np.int64))
    return found
