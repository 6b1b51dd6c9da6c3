"""Timers in a SQLite file that survives `kill -9` and a power cut."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiosqlite
import structlog
from antiphon_contracts import ConfigError, EngineError
from pydantic import ValidationError

from antiphon_timer.entry import Entry
from antiphon_timer.ledger import Event, Notes, Write

# With FULL every commit is on the disk before it is acknowledged; WAL alone loses the last ones to
# a power cut.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 2000",
    "PRAGMA secure_delete = ON",
    "PRAGMA wal_autocheckpoint = 200",
)
_VERSION = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE timers (id TEXT PRIMARY KEY, entry TEXT NOT NULL);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, site_id TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, answer TEXT NOT NULL
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""

KEPT_ANSWERS = 5_000
KEPT_EVENTS = 5_000
"""Counted, not dated: the clock may jump."""

log = structlog.get_logger(__name__)


class _DamagedError(Exception):
    """The file is no sound database."""


class SqliteTimers:
    """See `antiphon_timer.ledger.TimerStore`.

    Args:
        path: the file; absolute, for its owner only. A damaged one is put aside.
        notes: hears of damage.
    """

    def __init__(self, path: Path, notes: Notes) -> None:
        self._path = path
        self._notes = notes
        self._db: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        async with AsyncExitStack() as stack:
            try:
                self._db = await self._open(stack)
            except (OSError, sqlite3.Error) as error:
                raise ConfigError(f"{_sentence(error)} It is {self._path}.") from error
            except _DamagedError as error:
                msg = f"a sound file of timers could not be made at {self._path}; check the disk"
                raise ConfigError(msg) from error
            try:
                yield
            finally:
                self._db = None

    async def _open(self, stack: AsyncExitStack) -> aiosqlite.Connection:
        await asyncio.to_thread(_make_private, self._path)
        try:
            return await self._connect(stack)
        except sqlite3.DatabaseError as error:
            if _code(error) not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise
        except _DamagedError:
            pass
        aside = await asyncio.to_thread(_set_aside, self._path)
        log.warning("timers.damaged", moved_to=str(aside))
        self._notes.note(
            "damaged", f"The file of timers was damaged; I began anew and kept it as {aside}."
        )
        await asyncio.to_thread(_make_private, self._path)
        return await self._connect(stack)

    async def _connect(self, stack: AsyncExitStack) -> aiosqlite.Connection:
        async with AsyncExitStack() as attempt:
            db = await attempt.enter_async_context(
                aiosqlite.connect(self._path, isolation_level=None)
            )
            await _prepare(db, self._path)
            stack.push_async_exit(attempt.pop_all())
            return db

    async def timers(self) -> list[Entry]:
        """See the port; what cannot be read is left where it is and noted."""
        entries = []
        for name, text in await self._read("SELECT id, entry FROM timers"):
            try:
                entries.append(Entry.model_validate_json(text))
            except ValidationError:
                log.warning("timers.unreadable", timer=name)
                self._notes.note("unreadable", "A timer could not be read, and does not ring.")
        return entries

    async def events(self) -> list[Event]:
        """See the port."""
        rows = await self._read("SELECT id, site_id, payload FROM events ORDER BY number")
        return [Event(*row) for row in rows]

    async def answer_to(self, message_id: str) -> str | None:
        """See the port."""
        rows = await self._read("SELECT answer FROM answers WHERE message_id = ?", message_id)
        return str(rows[0][0]) if rows else None

    async def _read(self, sql: str, *values: str) -> list[sqlite3.Row]:
        with _translated():
            return list(await self._opened().execute_fetchall(sql, values))

    async def write(self, write: Write) -> None:
        """See the port."""
        async with self._transaction() as db:
            for gone in write.gone:
                await db.execute_fetchall("DELETE FROM timers WHERE id = ?", (gone,))
            rows = [(entry.id, entry.model_dump_json()) for entry in write.kept]
            await db.executemany("INSERT OR REPLACE INTO timers (id, entry) VALUES (?, ?)", rows)
            await db.executemany(
                "INSERT OR IGNORE INTO events (id, site_id, payload) VALUES (?, ?, ?)",
                [(event.id, event.site_id, event.payload) for event in write.events],
            )
            if write.answered is not None:
                sql = "INSERT INTO answers (message_id, answer) VALUES (?, ?)"
                await db.execute_fetchall(sql, write.answered)
            await _shorten(db, "answers", KEPT_ANSWERS)
            await _shorten(db, "events", KEPT_EVENTS)

    async def forget_events(self, ids: Iterable[str]) -> None:
        """See the port."""
        async with self._transaction() as db:
            sql = "DELETE FROM events WHERE id = ?"
            await db.executemany(sql, [(event_id,) for event_id in ids])

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        db = self._opened()
        async with self._writing:
            with _translated():
                try:
                    await db.execute_fetchall("BEGIN IMMEDIATE")
                    yield db
                    await db.commit()
                finally:
                    await db.rollback()  # does nothing after the commit

    def _opened(self) -> aiosqlite.Connection:
        if self._db is None:
            msg = "The store of timers is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        return self._db


async def _prepare(db: aiosqlite.Connection, path: Path) -> None:
    for pragma in _PRAGMAS:
        await db.execute_fetchall(pragma)
    ((sound,),) = await db.execute_fetchall("PRAGMA quick_check(1)")
    if sound != "ok":
        raise _DamagedError
    ((version,),) = await db.execute_fetchall("PRAGMA user_version")
    if version > _VERSION:
        msg = f"{path} is of a newer Antiphon; install that one, or choose another path"
        raise ConfigError(msg)
    if version < _VERSION:
        await db.executescript(_SCHEMA)


async def _shorten(db: aiosqlite.Connection, table: str, kept: int) -> None:
    sql = f"DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?"  # noqa: S608  (constants)
    await db.execute_fetchall(sql, (kept,))


def _make_private(path: Path) -> None:
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    # SQLite gives its -wal and -shm files the mode of the file itself.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside


@contextmanager
def _translated() -> Iterator[None]:
    """Turn SQLite's errors into EngineError with a sentence; no text of people is in it."""
    try:
        yield
    except sqlite3.Error as error:
        raise EngineError(_sentence(error), retryable=True) from error


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; 0 if there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


_SENTENCES = {
    sqlite3.SQLITE_FULL: "I cannot keep timers, because the disk is full; free some space.",
    sqlite3.SQLITE_BUSY: "Another program holds the file of timers; close that program.",
    sqlite3.SQLITE_LOCKED: "Another program holds the file of timers; close that program.",
    sqlite3.SQLITE_READONLY: "The file of timers may not be written; change its permissions.",
    sqlite3.SQLITE_PERM: "The file of timers may not be opened; change its permissions.",
    sqlite3.SQLITE_CANTOPEN: "The file of timers cannot be opened; check its path and permissions.",
    sqlite3.SQLITE_IOERR: "The disk failed under the file of timers; check the disk.",
    sqlite3.SQLITE_CORRUPT: "The file of timers is damaged; restart the timer worker.",
    sqlite3.SQLITE_NOTADB: "The file of timers is damaged; restart the timer worker.",
}


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The file of timers cannot be opened ({error.strerror}); check its path."
    known = _SENTENCES.get(_code(error))
    return known or f"The file of timers failed ({getattr(error, 'sqlite_errorname', 'unknown')})."
