"""One SQLite file and its connections: readers beside one writer, each write done once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
from antiphon_contracts import EngineError

from antiphon_memory.embedding import Notes
from antiphon_memory.sqlite.database import Database, Schema, open_database, translated

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
        self._reading: dict[aiosqlite.Connection, int] = {}
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
        self._opened()
        reader = min(self._reading, key=self._reading.__getitem__)
        self._reading[reader] += 1
        try:
            with translated():
                return list(await reader.execute_fetchall(sql, values))
        finally:
            self._reading[reader] -= 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Write in the block, all of it or nothing; one writer at a time.

        Raises:
            EngineError: the file failed, or is closed.
        """
        db = self._opened().writer
        async with self._writing:
            with translated():
                try:
                    await db.execute_fetchall("BEGIN IMMEDIATE")
                    yield db
                    await db.commit()
                finally:
                    await db.rollback()  # does nothing after the commit

    async def checkpoint(self) -> None:
        """Write the log back into the file and empty it, as far as nobody reads from it just now.

        Raises:
            EngineError: the file failed, or is closed.
        """
        with translated():
            async with self._writing:
                await self._opened().writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def reply_to(self, message_id: str, db: aiosqlite.Connection | None = None) -> str | None:
        """Return what was noted of a message; None if it was never carried out.

        Args:
            message_id: the message.
            db: the transaction to look in; None reads beside it.
        """
        if db is None:
            rows = await self.read(_SELECT_SEEN, (message_id,))
        else:
            rows = list(await db.execute_fetchall(_SELECT_SEEN, (message_id,)))
        return str(rows[0][0]) if rows else None

    async def note_reply(self, db: aiosqlite.Connection, message_id: str, reply: str) -> None:
        """Note in a transaction that a message was carried out, and what it is answered."""
        await db.execute_fetchall(
            "INSERT INTO seen (message_id, reply, ts) VALUES (?, ?, ?)",
            (message_id, reply, self._now()),
        )

    async def forget_replies(self, db: aiosqlite.Connection, before: float) -> None:
        """Delete what was noted before a time, in seconds since the epoch."""
        await db.execute_fetchall("DELETE FROM seen WHERE ts < ?", (before,))

    def _opened(self) -> Database:
        if self._database is None:
            msg = "The memory store is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        return self._database
