"""All memories of a store that is not large, in memory: found without a trip to the database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import structlog
from antiphon_contracts import EngineError

from antiphon_memory.postings import Postings
from antiphon_memory.service import Memory, Where
from antiphon_memory.sqlite.changes import last_change
from antiphon_memory.sqlite.file import SqliteFile
from antiphon_memory.sqlite.rows import COLUMNS, Row, memory_of
from antiphon_memory.sqlite.stems import Stems
from antiphon_memory.vectors import Entry

MEMORIES = 20_480
CHARS = 16_000_000
"""A store with more, or with longer texts in all, is read from its file.

The copy is about 15 MB, and to take it half a second of a start.
"""

MADE = 2048
"""Memories kept as objects: to make one takes longer than to find it."""

AT_ONCE = 64
"""Changes taken over in one round of the loop: 1 ms."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Copy:
    """What is in the database after its last change."""

    change: int
    rows: dict[int, Row]
    chars: int
    postings: Postings


class AtHand:
    """A copy of the memories, and of what FTS5 knows of their words; or nothing.

    It follows the database's list of changes, as the vectors do.

    Args:
        file: the database.

    Attributes:
        rows: of all memories, by row number; not to be written to.
        change: the last change of the database that is in it; None while there is no copy.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self.rows: dict[int, Row] = {}
        self._made: dict[int, Memory] = {}
        self._chars = 0
        self._postings = Postings()
        self._stems: Stems | None = None
        self.change: int | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the copy for the time of the block."""
        with closing(Stems()) as stems:
            self._stems = stems
            await self.read_anew()
            try:
                yield
            finally:
                self._drop()
                self._stems = None

    async def read_anew(self) -> None:
        """Take the copy, if the store is not too large and sound; nobody writes meanwhile."""
        self._drop()
        try:
            read = await self._file.write(_read)
        except EngineError as error:
            log.warning("memory.not_at_hand", error=str(error))
            return
        if read is not None:
            self.change, self.rows, self._chars = read.change, read.rows, read.chars
            self._postings = read.postings

    async def follow(self, changes: Sequence[sqlite3.Row], since: int) -> None:
        """See `Follower`."""
        last = last_change(changes, since)
        if self.change is None or last <= self.change:
            return
        for begin in range(0, len(changes), AT_ONCE):
            if begin:
                await asyncio.sleep(0)
            self._redo(changes[begin : begin + AT_ONCE])
        self.change = last
        if len(self.rows) > MEMORIES or self._chars > CHARS:
            self._drop()
        elif self._postings.is_sparse:
            await self.read_anew()

    def memory(self, row: int) -> Memory:
        """Return what is in one of `rows`."""
        made = self._made.get(row)
        if made is None:
            if len(self._made) >= MADE:
                self._made.clear()
            made = self._made[row] = memory_of(self.rows[row])
        return made

    def matching(self, words: Sequence[str], limit: int, where: Where) -> list[int] | None:
        """Return the rows of memories with any of `words`, best first.

        None where the database must be asked: there is no copy, or FTS5 makes several terms of a
        word and looks for them side by side.
        """
        if self.change is None or self._stems is None:
            return None
        terms = [self._stems.stem(word) for word in words]
        known = [term for term in terms if term is not None]
        if len(known) < len(terms):
            return None
        return self._postings.best(known, limit, where)

    def _redo(self, changes: Sequence[sqlite3.Row]) -> None:
        assert self._stems is not None  # noqa: S101  (it is open while anything is written)
        new: dict[int, Row] = {}
        gone: dict[int, Row] = {}
        for row, scope, source, ts, _, _, memory_id, text in changes:
            self._made.pop(row, None)
            if row in self.rows and self.rows[row][1] != memory_id:
                gone[row] = self.rows.pop(row)
            if memory_id is None:
                continue
            now = (row, memory_id, text, source, scope, ts)
            if row in self.rows:
                self._postings.describe(_entry(now))
                self.rows[row] = now
            else:
                new[row] = now
        terms = iter(self._stems.terms([one[2] for one in (*gone.values(), *new.values())]))
        for row in gone:
            self._postings.remove(row, next(terms))
        for one in new.values():
            self._postings.put(_entry(one), next(terms))
        self.rows.update(new)
        self._chars += sum(len(one[2]) for one in new.values())
        self._chars -= sum(len(one[2]) for one in gone.values())

    def _drop(self) -> None:
        self.rows, self._made, self._chars, self.change = {}, {}, 0, None
        self._postings = Postings()


def _entry(row: Row) -> Entry:
    number, _, _, source, scope, ts = row
    return Entry(number, scope, source, ts)


def _read(db: sqlite3.Connection) -> _Copy | None:
    """Return what a copy is made of; None if it would be too large."""
    ((count, chars),) = db.execute(
        "SELECT count(*), ifnull(sum(length(text)), 0) FROM (SELECT text FROM memories LIMIT ?)",
        (MEMORIES + 1,),
    )
    if count > MEMORIES or chars > CHARS:
        return None
    ((last,),) = db.execute(
        "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'vector_changes'), 0)"
    )
    rows = {
        row[0]: row
        for row in db.execute(f"SELECT {COLUMNS} FROM memories m ORDER BY m.row").fetchall()  # noqa: S608  (a constant)
    }
    db.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.memory_terms"
        " USING fts5vocab (main, memories_fts, instance)"
    )
    found = db.execute(
        "SELECT term, group_concat(doc) FROM temp.memory_terms GROUP BY term"
    ).fetchall()
    return _Copy(last, rows, chars, Postings([_entry(row) for row in rows.values()], found))
