"""Rows of fixed width in a file: written with `pwrite`, read through a mapping.

Each file begins with a page that says what it is of, with a checksum; the first file of a set also
says how far it is good (`State.rows`) and up to which change of the database (`State.change`). That
page is written after the rows it speaks of have reached the disk, so that it never promises too
much; what came later is in the database's list of changes and is done again.

Writing through the mapping would be as fast, but a full disk would then kill the process.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = 4096
MAGIC = b"antiphon vectors 1\n"
_NUMBERS = struct.Struct("<IQQ16s16sH")  # dimension, rows, change, database, set, length of name
_CHECKSUM = struct.Struct("<I")
_CHECKED = PAGE - _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class State:
    """What the first page of a file says.

    Attributes:
        model: name of the model that the vectors are of.
        dimension: length of the vectors.
        database: which database they belong to, 16 bytes.
        generation: which files belong together, 16 bytes.
        rows: how many rows are good.
        change: the last change of the database that is in them.
    """

    model: str
    dimension: int
    database: bytes
    generation: bytes
    rows: int
    change: int

    def page(self) -> bytes:
        """Return the page."""
        name = self.model.encode()[:1024]
        numbers = _NUMBERS.pack(
            self.dimension, self.rows, self.change, self.database, self.generation, len(name)
        )
        body = (MAGIC + numbers + name).ljust(_CHECKED, b"\0")
        return body + _CHECKSUM.pack(zlib.crc32(body))

    @classmethod
    def of(cls, page: bytes) -> State | None:
        """Return what a page says; None if it is no such page, or a damaged one."""
        if len(page) < PAGE or not page.startswith(MAGIC):
            return None
        if _CHECKSUM.unpack_from(page, _CHECKED)[0] != zlib.crc32(page[:_CHECKED]):
            return None
        dimension, rows, change, database, generation, length = _NUMBERS.unpack_from(
            page, len(MAGIC)
        )
        begin = len(MAGIC) + _NUMBERS.size
        name = page[begin : begin + length].decode(errors="replace")
        return cls(name, dimension, database, generation, rows, change)


class RowFile:
    """One file of rows; for its owner only (0600).

    Args:
        path: the file; made if it is missing.
        dtype: of what is in a row.
        width: how many of them make a row.

    Attributes:
        rows: all rows of the file, also those beyond the good ones, shape (capacity, width); they
            show what is written at once. Not to be written to.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], width: int) -> None:
        self.path = path
        self._dtype = dtype
        self._width = width
        self._row_bytes = dtype.itemsize * width
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.rows: NDArray[Any] = np.empty((0, width), dtype=dtype)
        self._map()

    def state(self) -> State | None:
        """Return what the first page says; None if it is damaged or not there."""
        return State.of(os.pread(self._fd, PAGE, 0))

    def begin(self, state: State, capacity: int) -> None:
        """Empty the file, and make room."""
        self.rows = self.rows[:0].copy()  # lets the mapping go before the file shrinks
        os.ftruncate(self._fd, 0)
        self.note(state)
        self.reserve(capacity)

    def reserve(self, capacity: int) -> None:
        """Make room for so many rows in all; takes no space on the disk."""
        if capacity > len(self.rows):
            os.ftruncate(self._fd, PAGE + capacity * self._row_bytes)
            self._map()

    def shrink(self, capacity: int) -> None:
        """Give back the room beyond so many rows; nobody holds `rows` any more."""
        self.rows = self.rows[:0].copy()
        os.ftruncate(self._fd, PAGE + capacity * self._row_bytes)
        self._map()

    def write(self, places: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Write `rows`, shape (n, width), to their places; there is room for them.

        Raises:
            OSError: the disk is full, or failed.
        """
        ordered = np.ascontiguousarray(rows, dtype=self._dtype)
        ends = [*(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        begin = 0
        for end in ends:
            self._write(ordered[begin:end].tobytes(), int(places[begin]))
            begin = end

    def note(self, state: State) -> None:
        """Write the first page."""
        os.pwrite(self._fd, state.page(), 0)

    def sync(self) -> None:
        """Wait until what is written has reached the disk; other threads go on meanwhile."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; `rows` that somebody holds stay readable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.rows = self.rows[:0].copy()

    def _write(self, data: bytes, place: int) -> None:
        offset = PAGE + place * self._row_bytes
        while data:
            written = os.pwrite(self._fd, data, offset)
            data, offset = data[written:], offset + written

    def _map(self) -> None:
        capacity = max(0, os.fstat(self._fd).st_size - PAGE) // self._row_bytes
        if not capacity:
            return
        length = PAGE + capacity * self._row_bytes
        mapped = mmap.mmap(self._fd, length, access=mmap.ACCESS_READ)
        flat = np.frombuffer(mapped, self._dtype, capacity * self._width, offset=PAGE)
        self.rows = flat.reshape(capacity, self._width)
