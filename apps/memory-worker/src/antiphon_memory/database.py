"""The SQLite file: opening, schema, damage, and what SQLite's errors mean to people."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite
import structlog
from antiphon_contracts import ConfigError, EngineError

from antiphon_memory.embedding import Notes

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE memories (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    source TEXT NOT NULL,
    scope TEXT NOT NULL,
    ts REAL NOT NULL,
    digest BLOB NOT NULL,
    embedding BLOB,
    UNIQUE (scope, digest)
);
CREATE INDEX memories_by_ts ON memories (ts);
CREATE INDEX memories_unembedded ON memories (row) WHERE embedding IS NULL;
CREATE VIRTUAL TABLE memories_fts USING fts5 (
    text, content = 'memories', content_rowid = 'row',
    tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER memories_inserted AFTER INSERT ON memories BEGIN
    INSERT INTO memories_fts (rowid, text) VALUES (new.row, new.text);
END;
CREATE TRIGGER memories_deleted AFTER DELETE ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.row, old.text);
END;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE history (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    interrupted INTEGER NOT NULL,
    ts REAL NOT NULL
);
CREATE INDEX history_by_session ON history (session_id, row);
CREATE TABLE seen (message_id TEXT PRIMARY KEY, reply TEXT NOT NULL, ts REAL NOT NULL);
"""

# Deleted words are overwritten; 2 s is what a writer waits for another process.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 2000",
    "PRAGMA secure_delete = ON",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Database:
    """An open file: one connection that writes, one that reads beside it."""

    writer: aiosqlite.Connection
    reader: aiosqlite.Connection


class _DamagedError(Exception):
    """The file is no sound database."""


@asynccontextmanager
async def open_database(path: Path, notes: Notes) -> AsyncIterator[Database]:
    """Open the file for the time of the block, making it and its folders where they are missing.

    The file is for its owner only (0600), and so are the folders made for it (0700). A damaged file
    is moved aside to `<name>.corrupt-<date>`, noted, and an empty one begun.

    Raises:
        ConfigError: it cannot be opened, belongs to a newer Antiphon, or SQLite lacks FTS5.
    """
    async with AsyncExitStack() as stack:
        try:
            await asyncio.to_thread(_make_private, path)
            try:
                writer = await _open_writer(path, stack)
            except _DamagedError:
                aside = await asyncio.to_thread(_set_aside, path)
                log.warning("memory.damaged", moved_to=str(aside))
                notes.note(
                    "damaged", f"My memory file was damaged; I began anew and kept it as {aside}."
                )
                await asyncio.to_thread(_make_private, path)
                writer = await _open_writer(path, stack)
            reader = await _connect(path, stack)
            await reader.execute_fetchall("PRAGMA query_only = ON")
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{_sentence(error)} It is {path}.") from error
        except _DamagedError as error:
            msg = f"a sound memory file could not be made at {path}; check the disk"
            raise ConfigError(msg) from error
        yield Database(writer, reader)


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into EngineError with a sentence; no text of people is in it."""
    try:
        yield
    except sqlite3.Error as error:
        raise EngineError(
            _sentence(error), retryable=_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        ) from error


async def _connect(path: Path, stack: AsyncExitStack) -> aiosqlite.Connection:
    connection = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
    for pragma in _PRAGMAS:
        await connection.execute_fetchall(pragma)
    return connection


async def _open_writer(path: Path, stack: AsyncExitStack) -> aiosqlite.Connection:
    async with AsyncExitStack() as attempt:
        try:
            writer = await _connect(path, attempt)
            checked = list(await writer.execute_fetchall("PRAGMA quick_check(1)"))
            if checked[0][0] != "ok":
                raise _DamagedError
            await _migrate(writer, path)
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                raise _DamagedError from error
            raise
        stack.push_async_exit(attempt.pop_all())
        return writer


async def _migrate(writer: aiosqlite.Connection, path: Path) -> None:
    modules = await writer.execute_fetchall("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
    if not list(modules):
        msg = "this Python's SQLite was built without FTS5; use another build of Python"
        raise ConfigError(msg)
    ((version,),) = await writer.execute_fetchall("PRAGMA user_version")
    if version > SCHEMA_VERSION:
        msg = f"{path} is of a newer Antiphon; install that one, or choose another memory path"
        raise ConfigError(msg)
    if version < SCHEMA_VERSION:
        await writer.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


def _make_private(path: Path) -> None:
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    # SQLite gives its -wal and -shm files the mode of the file itself.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def _set_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; 0 if there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_damage(error: Exception) -> bool:
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


_SENTENCES = {
    sqlite3.SQLITE_FULL: "I cannot store anything, because the disk is full; free some space.",
    sqlite3.SQLITE_BUSY: "Another program holds the memory file; close that program.",
    sqlite3.SQLITE_LOCKED: "Another program holds the memory file; close that program.",
    sqlite3.SQLITE_READONLY: "The memory file may not be written; change its permissions.",
    sqlite3.SQLITE_PERM: "The memory file may not be opened; change its permissions.",
    sqlite3.SQLITE_CANTOPEN: "The memory file cannot be opened; check its path and permissions.",
    sqlite3.SQLITE_IOERR: "The disk failed under the memory file; check the disk.",
    sqlite3.SQLITE_CORRUPT: "The memory file is damaged; restart memory to begin a new one.",
    sqlite3.SQLITE_NOTADB: "The memory file is damaged; restart memory to begin a new one.",
}


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The memory file cannot be opened ({error.strerror}); check its path."
    known = _SENTENCES.get(_code(error))
    return known or f"The memory file failed ({getattr(error, 'sqlite_errorname', 'unknown')})."
