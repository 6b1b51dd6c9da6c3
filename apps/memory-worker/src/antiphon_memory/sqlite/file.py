"""One SQLite file and its connections: readers beside one writer, each write done once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from antiphon_contracts import EngineError

from antiphon_memory.embedding import Notes
from antiphon_memory.sqlite.database import (
    Connection,
    Database,
    Schema,
    open_database,
    translated,
)

P = ParamSpec("P")
T = TypeVar("T")

_SELECT_SEEN = "SELECT reply FROM seen WHERE message_id = ?"


class SqliteFile:
    """One process at a time may have the file open.

    What is committed outlives the process; the last writes before a power cut may be lost, the file
    stays sound (WAL, synchronous = NORMAL).

    Args:
        path: the file; absolute.
        schema: what is in it.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.
        readers: how many reads go on at once.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        notes: Notes,
        *,
        now: Callable[[], float] = time.time,
        readers: int = 1,
    ) -> None:
        self._path = path
        self._schema = schema
        self._notes = notes
        self._now = now
        self._readers = readers
        self._reading: dict[Connection, int] = {}
        self._database: Database | None = None
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open the file for the time of the block.

        Raises:
            ConfigError: it cannot be opened; the text says what mends it.
        """
        async with open_database(
            self._path, self._schema, self._notes, readers=self._readers
        ) as database:
            self._database = database
            self._reading = dict.fromkeys(database.readers, 0)
            try:
                yield
            finally:
                self._database = None

    async def read(
        self, sql: str, values: tuple[object, ...] | dict[str, object] = ()
    ) -> list[sqlite3.Row]:
        """Return the rows of a query.

        Raises:
            EngineError: the file failed, or is closed.
        """
        return await self.look(_rows, sql, values)

    async def look(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what `function` reads, in one trip to a reader's thread.

        Raises:
            EngineError: the file failed, or is closed.
        """
        self._opened()
        reader = min(self._reading, key=self._reading.__getitem__)
        self._reading[reader] += 1
        try:
            with translated():
                return await reader.run(function, *args, **kwargs)
        finally:
            self._reading[reader] -= 1

    async def write(
        self,
        change: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what `change` returns: one transaction, in one trip to the writer's thread.

        All that it writes is committed, or nothing where it fails. One writes at a time. A caller
        that is cancelled does not know which it is.

        Raises:
            EngineError: the file failed, or is closed.
        """
        writer = self._opened().writer
        async with self._writing:
            with translated():
                return await writer.run(_transaction, change, *args, **kwargs)

    async def checkpoint(self) -> None:
        """Write the log back into the file and empty it, as far as nobody reads from it just now.

        Raises:
            EngineError: the file failed, or is closed.
        """
        with translated():
            async with self._writing:
                await self._opened().writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def reply_to(self, message_id: str) -> str | None:
        """Return what was noted of a message; None if it was never carried out."""
        return await self.look(noted_reply, message_id)

    def note_reply(self, db: sqlite3.Connection, message_id: str, reply: str) -> None:
        """Note in a transaction that a message was carried out, and what it is answered."""
        db.execute(
            "INSERT INTO seen (message_id, reply, ts) VALUES (?, ?, ?)",
            (message_id, reply, self._now()),
        )

    async def forget_replies(self, before: float) -> None:
        """Delete what was noted before a time, in seconds since the epoch."""
        await self.write(forget_replies, before)

    def _opened(self) -> Database:
        if self._database is None:
            msg = "The memory store is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        return self._database


def noted_reply(db: sqlite3.Connection, message_id: str) -> str | None:
    """Return what was noted of a message; None if it was never carried out."""
    row = db.execute(_SELECT_SEEN, (message_id,)).fetchone()
    return None if row is None else str(row[0])


def forget_replies(db: sqlite3.Connection, before: float) -> None:
    """Delete in a transaction what was noted before a time, in seconds since the epoch."""
    db.execute("DELETE FROM seen WHERE ts < ?", (before,))


def _rows(
    db: sqlite3.Connection, sql: str, values: tuple[object, ...] | dict[str, object]
) -> list[sqlite3.Row]:
    return db.execute(sql, values).fetchall()


def _transaction(
    db: sqlite3.Connection,
    change: Callable[Concatenate[sqlite3.Connection, P], T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    try:
        db.execute("BEGIN IMMEDIATE")
        done = change(db, *args, **kwargs)
        db.commit()
    finally:
        db.rollback()  # does nothing after the commit
    return done
