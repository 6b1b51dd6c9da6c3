"""SQLite files: opening, schema, damage, and what SQLite's errors mean to people."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

import aiosqlite
import structlog
from antiphon_contracts import ConfigError, EngineError

from antiphon_memory.embedding import Notes

# Deleted words are overwritten; 2 s is what a writer waits for another process.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 2000",
    "PRAGMA secure_delete = ON",
)

P = ParamSpec("P")
T = TypeVar("T")

CHECKED_WHOLE_BYTES = 32 * 2**20
MAPPED_BYTES = 256 * 2**20
"""So much of the file a reader sees without copying; takes addresses, not memory."""

log = structlog.get_logger(__name__)


SEEN = """
CREATE TABLE seen (message_id TEXT PRIMARY KEY, reply TEXT NOT NULL, ts REAL NOT NULL);
"""
"""Table of what messages did; part of every schema."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What is in a file.

    Attributes:
        steps: SQL that makes version 1 of an empty file, version 2 of version 1, and so on.
        checked: the tables that are checked for damage at the start when the file is a large one;
            none is all.
    """

    steps: tuple[str, ...]
    checked: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """The newest."""
        return len(self.steps)


class Connection(aiosqlite.Connection):
    """A connection in a thread of its own, which takes several statements in one go.

    Each trip to the thread and back takes 0.1 to 0.5 ms, and many times that on a busy loop.
    """

    async def run(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what `function` returns, called in the thread with the connection itself.

        A caller that is cancelled does not wait for it; it runs to its end.
        """
        call = partial(function, self._conn, *args, **kwargs)
        return cast("T", await self._execute(call))  # type: ignore[no-untyped-call]  # without types there


@dataclass(frozen=True, slots=True)
class Database:
    """An open file: one connection that writes, others that read beside it."""

    writer: Connection
    readers: tuple[Connection, ...]


class _DamagedError(Exception):
    """The file is no sound database."""


@asynccontextmanager
async def open_database(
    path: Path, schema: Schema, notes: Notes, *, readers: int = 1
) -> AsyncIterator[Database]:
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
                writer = await _open_writer(path, schema, stack)
            except _DamagedError:
                aside = await asyncio.to_thread(_set_aside, path)
                log.warning("memory.damaged", moved_to=str(aside))
                notes.note(
                    "damaged", f"My memory file was damaged; I began anew and kept it as {aside}."
                )
                await asyncio.to_thread(_make_private, path)
                writer = await _open_writer(path, schema, stack)
            reading = tuple([await _open_reader(path, stack) for _ in range(readers)])
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{_sentence(error)} It is {path}.") from error
        except _DamagedError as error:
            msg = f"a sound memory file could not be made at {path}; check the disk"
            raise ConfigError(msg) from error
        yield Database(writer, reading)


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into EngineError with a sentence; no text of people is in it."""
    try:
        yield
    except sqlite3.Error as error:
        raise EngineError(
            _sentence(error), retryable=_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        ) from error


async def _connect(path: Path, stack: AsyncExitStack) -> Connection:
    connector = partial(sqlite3.connect, path, isolation_level=None)
    connection = Connection(connector, iter_chunk_size=64)
    await stack.enter_async_context(connection)
    for pragma in _PRAGMAS:
        await connection.execute_fetchall(pragma)
    return connection


async def _open_reader(path: Path, stack: AsyncExitStack) -> Connection:
    reader = await _connect(path, stack)
    await reader.execute_fetchall("PRAGMA query_only = ON")
    await reader.execute_fetchall(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    return reader


async def _open_writer(path: Path, schema: Schema, stack: AsyncExitStack) -> Connection:
    async with AsyncExitStack() as attempt:
        try:
            writer = await _connect(path, attempt)
            await _check(writer, schema)
            await _migrate(writer, path, schema)
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                raise _DamagedError from error
            raise
        stack.push_async_exit(attempt.pop_all())
        return writer


async def _check(writer: Connection, schema: Schema) -> None:
    """Look for damage; in a large file only where it says, because all is read (1 s per GB)."""
    ((size,),) = await writer.execute_fetchall(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    ((version,),) = await writer.execute_fetchall("PRAGMA user_version")
    parts: tuple[str, ...] = ("1",)
    if size > CHECKED_WHOLE_BYTES and version == schema.version:
        parts = schema.checked or parts
    for part in parts:
        checked = list(await writer.execute_fetchall(f"PRAGMA quick_check({part})"))
        if checked[0][0] != "ok":
            raise _DamagedError


async def _migrate(writer: Connection, path: Path, schema: Schema) -> None:
    modules = await writer.execute_fetchall("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
    if not list(modules):
        msg = "this Python's SQLite was built without FTS5; use another build of Python"
        raise ConfigError(msg)
    ((version,),) = await writer.execute_fetchall("PRAGMA user_version")
    if version > schema.version:
        msg = f"{path} is of a newer Antiphon; install that one, or choose another memory path"
        raise ConfigError(msg)
    for number, step in enumerate(schema.steps[version:], start=version + 1):
        await writer.executescript(
            f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;"
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
