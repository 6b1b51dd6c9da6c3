"""The vectors beside a database of texts: kept in step with it, caught up or made anew.

The database is the truth. Its triggers number every change of what the vectors' files hold
(`vector_changes`), and the files say up to which change they are good. So after a crash what
follows is done again, which may be done twice; where the files are not of this database and model,
damaged, or behind what is still listed, they are made anew from it. Listed changes are deleted
when the files have reached the disk.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import structlog
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.offload import ModelThread
from numpy.typing import NDArray

from antiphon_memory.embedding import Notes
from antiphon_memory.service import Where
from antiphon_memory.sqlite.changes import last_change
from antiphon_memory.sqlite.file import SqliteFile
from antiphon_memory.sqlite.tables import MATCHES, Tables, values_of
from antiphon_memory.vectors import Entry, Origin, VectorIndex, Vectors

P = ParamSpec("P")
T = TypeVar("T")

LOAD_ROWS = 2048
FLUSH_EVERY = 2048
"""Changes, two for a new memory, after which the files are brought to the disk.

So many are done again after a crash.
"""

VECTOR_QUEUE = 4096
"""More searches than workers ask for at once; a change must never be refused."""

ON_LOOP = 12_600_000
"""Components: no more are searched on the loop, 32,000 vectors of 384 in about 2 ms."""

log = structlog.get_logger(__name__)


class Embeddings:
    """The vectors of one database; without a model there are none, and nothing is found.

    Args:
        file: the database, open for as long as this is.
        path: of the matrix.
        tables: what is in the database.
        notes: is told while the vectors cannot be kept in step.

    Attributes:
        index: the vectors; None without a model. They are changed in a thread of their own. Many
            are searched there, too.
    """

    def __init__(self, file: SqliteFile, path: Path, tables: Tables, notes: Notes) -> None:
        self._file = file
        self._path = path
        self._tables = tables
        self._notes = notes
        self.index: VectorIndex | None = None
        self._thread: ModelThread | None = None
        self._changing = threading.Lock()
        self._flushed = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have a thread for the vectors for the time of the block; flush them at its end."""
        with ModelThread(f"{self._tables.texts}-vectors", queue_limit=VECTOR_QUEUE) as thread:
            self._thread = thread
            try:
                yield
            finally:
                try:
                    await self._leave()
                finally:
                    self._thread = None

    async def adopt(self, model: str, dimension: int) -> None:
        """Take up the vectors of this model: map the files, and bring them into step.

        Raises:
            ConfigError: the files cannot be opened; the text says what mends it.
            EngineError: the database failed.
        """
        await self._leave()
        database = await self._database_id()
        origin = Origin(model, dimension, database)
        try:
            index: VectorIndex = await self._in_thread(VectorIndex, self._path, origin)
            await self._catch_up(index)
        except OSError as error:
            msg = f"the vectors at {self._path} cannot be opened ({error.strerror}); check the disk"
            raise ConfigError(msg) from error
        self._flushed = index.change
        self.index = index

    @property
    def change(self) -> int | None:
        """The last change that was followed; None without a model."""
        return None if self.index is None else self.index.change

    async def follow(self, changes: Sequence[sqlite3.Row], since: int) -> None:
        """See `Follower`. A disk that fails is noted, and made up for after the next write."""
        index = self.index
        if index is None:
            return
        if since > index.change:  # the model was adopted meanwhile
            changes = await self._file.read(self._tables.changed, (index.change,))
        try:
            await self._do_changes(index, changes)
        except OSError as error:
            log.warning("memory.vectors_behind", error=type(error).__name__)
            self._notes.note(*self._tables.behind)
            return
        self._notes.clear_note(self._tables.behind[0])
        if index.change - self._flushed >= FLUSH_EVERY:
            await self._flush(index)

    def search_here(
        self, vector: Vectors, limit: int, where: Where
    ) -> list[tuple[int, float]] | None:
        """Return rows and cosines, best first, at once.

        None if there are too many vectors for that, or they are being changed just now.
        """
        return [] if self.index is None else self._here(self.index.search, vector, limit, where)

    def cosines_here(self, rows: Sequence[int], vector: Vectors | None) -> dict[int, float] | None:
        """Return the cosine of each row that has a vector, at once; None as `search_here`."""
        if self.index is None or vector is None:
            return {}
        return self._here(self.index.cosines, rows, vector)

    async def search(self, vector: Vectors, limit: int, where: Where) -> list[tuple[int, float]]:
        """Return rows and cosines, best first, found in the thread."""
        if self.index is None:
            return []
        return await self._in_thread(self.index.search, vector, limit, where)

    async def cosines(self, rows: Sequence[int], vector: Vectors | None) -> dict[int, float]:
        """Return the cosine of each row that has a vector, found in the thread."""
        if self.index is None or vector is None:
            return {}
        return await self._in_thread(self.index.cosines, rows, vector)

    async def passing(self, rows: NDArray[np.int64], where: Where) -> NDArray[np.bool_]:
        """Return for each row whether it passes; of those without a vector the database says."""
        passing = known = np.zeros(len(rows), dtype=np.bool_)
        if self.index is not None:
            passing, known = await self._in_thread(self.index.passing, rows, where)
        if not known.all():
            found = await self._file.read(
                f"SELECT m.row FROM {self._tables.rows[1]}"  # noqa: S608  (constants)
                f" WHERE m.row IN (SELECT value FROM json_each(:rows)) AND {MATCHES}",
                values_of(where, rows=json.dumps(rows[~known].tolist())),
            )
            passing |= np.isin(rows, np.array([row[0] for row in found], dtype=np.int64))
        return passing

    async def _leave(self) -> None:
        """Flush and close the files, if there are any."""
        index, self.index = self.index, None
        if index is None:
            return
        try:
            await self._flush(index)
        finally:
            await self._in_thread(index.close)

    async def _flush(self, index: VectorIndex) -> None:
        """Bring the files to the disk, then forget the changes that are in them."""
        state = await self._in_thread(index.snapshot)
        try:
            await asyncio.to_thread(index.flush, state)
        except OSError as error:
            log.warning("memory.vectors_not_flushed", error=type(error).__name__)
            return
        await self._file.write(_forget_changes, state.change)
        self._flushed = state.change

    async def _catch_up(self, index: VectorIndex) -> None:
        """Do the changes that follow, or begin anew if they are no longer listed."""
        ((_, last, listed, vectors),) = await self._file.read(self._tables.state)
        if index.change <= last and (listed or last + 1) <= index.change + 1:
            changes = await self._file.read(self._tables.changed, (index.change,))
            await self._do_changes(index, changes)
            if len(index) == vectors:
                return
        await self._begin_anew(index)

    async def _do_changes(self, index: VectorIndex, changes: Sequence[sqlite3.Row]) -> None:
        for begin in range(0, len(changes), LOAD_ROWS):
            await self._in_thread(self._change, index, changes[begin : begin + LOAD_ROWS])
        index.change = last_change(changes, index.change)

    async def _begin_anew(self, index: VectorIndex) -> None:
        ((_, last, _, vectors),) = await self._file.read(self._tables.state)
        if vectors:
            log.info("memory.vectors_rebuilt", vectors=vectors)
        await self._in_thread(index.clear)
        after = 0
        while rows := await self._file.read(self._tables.every, (after, LOAD_ROWS)):
            after = rows[-1][0]
            await self._in_thread(_redo, index, rows)
        index.change = last
        await self._flush(index)

    async def _database_id(self) -> bytes:
        await self._file.write(_name_database, secrets.token_hex(16))
        ((token, *_),) = await self._file.read(self._tables.state)
        return bytes.fromhex(token)

    def _here(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what a search gives, if the index is small and nobody changes it just now.

        The lock is the thread's, not the loop's: a change runs on when its waiter is cancelled.
        """
        index = self.index
        if index is None or len(index.codes) * index.dimension > ON_LOOP:
            return None
        if self._thread is None or not self._changing.acquire(blocking=False):
            return None
        try:
            return function(*args, **kwargs)
        finally:
            self._changing.release()

    def _change(self, index: VectorIndex, rows: Sequence[sqlite3.Row]) -> None:
        with self._changing:
            _redo(index, rows)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        if self._thread is None:
            msg = "The memory store is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        return await self._thread.call(function, *args)


def _forget_changes(db: sqlite3.Connection, last: int) -> None:
    db.execute("DELETE FROM vector_changes WHERE seq <= ?", (last,))


def _name_database(db: sqlite3.Connection, token: str) -> None:
    db.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('database', ?)", (token,))


def _redo(index: VectorIndex, rows: Sequence[sqlite3.Row]) -> None:
    """Bring rows of (row, scope, source, ts, embedding or NULL, …) into the index as they are.

    A blob of another length is left out.
    """
    fit = [row for row in rows if row[4] is not None and len(row[4]) == 4 * index.dimension]
    kept = {row[0] for row in fit}
    index.remove([row[0] for row in rows if row[0] not in kept])
    vectors = np.frombuffer(b"".join(row[4] for row in fit), dtype="<f4")
    index.put(
        [Entry(row[0], row[1], row[2], row[3]) for row in fit],
        vectors.reshape(len(fit), index.dimension).astype(np.float32, copy=False),
    )
