"""Lists and notes in one SQLite file, by aiosqlite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from antiphon_contracts import EngineError
from antiphon_runtime.extras import install_command
from pydantic import JsonValue

from antiphon_tools.builtin.shelf import Item, Note

if TYPE_CHECKING:
    from aiosqlite import Connection

ANSWERS_KEPT_S = 86_400.0
"""A call is never repeated after a day."""

# FULL: a note that was confirmed is still there after a power cut.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 2000",
    "PRAGMA secure_delete = ON",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY, list TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL,
    UNIQUE (list, key)
);
CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, ts REAL NOT NULL, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    call_id TEXT PRIMARY KEY, ts REAL NOT NULL, answer BLOB NOT NULL
);
"""


class ListsFile:
    """See `antiphon_tools.builtin.shelf.ShelfKeeper`; the file is opened at the first use.

    Args:
        path: the file; made with its folder, for its owner only.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None

    async def close(self) -> None:
        """Close the file; the next use opens it again."""
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    @asynccontextmanager
    async def opened(self, call_id: str) -> AsyncIterator[FileShelf]:
        """See the port."""
        async with self._turn:
            with self._translated():
                connection = await self._connected()
                await connection.rollback()  # of a call that was cancelled as it began
                await connection.execute_fetchall("BEGIN IMMEDIATE")
                shelf = FileShelf(connection, self._now(), await _answer(connection, call_id))
            try:
                yield shelf
                with self._translated():
                    await shelf.keep_answer(call_id)
                    await connection.commit()
            finally:
                await connection.rollback()

    async def _connected(self) -> Connection:
        if self._connection is None:
            try:
                import aiosqlite
            except ImportError as error:
                msg = f"I cannot keep lists without aiosqlite: {install_command('tools')}"
                raise EngineError(msg) from error
            await asyncio.to_thread(_make_private, self._path)
            connection = await aiosqlite.connect(self._path, isolation_level=None)
            try:
                for pragma in _PRAGMAS:
                    await connection.execute_fetchall(pragma)
                await connection.executescript(_SCHEMA)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            name = getattr(error, "sqlite_errorname", None) or type(error).__name__
            msg = f"My lists cannot be read or written ({name}); they are in {self._path}."
            raise EngineError(msg) from error


class FileShelf:
    """See `antiphon_tools.builtin.shelf.Shelf`; one transaction.

    Attributes:
        answer: what the call was answered before, or is to be answered now.
    """

    def __init__(self, connection: Connection, now_s: float, answer: JsonValue) -> None:
        self._connection = connection
        self._now_s = now_s
        self._known = answer
        self.answer: JsonValue = answer

    async def names(self) -> Sequence[str]:
        """See the port."""
        return [row[0] for row in await self._rows("SELECT DISTINCT list FROM items ORDER BY list")]

    async def items(self, name: str) -> Sequence[Item]:
        """See the port."""
        rows = await self._rows("SELECT key, text FROM items WHERE list = ? ORDER BY id", name)
        return [Item(*row) for row in rows]

    async def add(self, name: str, item: Item) -> None:
        """See the port."""
        await self._rows(
            "INSERT OR IGNORE INTO items (list, key, text) VALUES (?, ?, ?)",
            *(name, item.key, item.text),
        )

    async def remove(self, name: str, keys: Collection[str]) -> None:
        """See the port."""
        for key in keys:
            await self._rows("DELETE FROM items WHERE list = ? AND key = ?", name, key)

    async def notes(self, limit: int) -> Sequence[Note]:
        """See the port."""
        rows = await self._rows("SELECT ts, text FROM notes ORDER BY id DESC LIMIT ?", limit)
        return [Note(*row) for row in rows]

    async def count_notes(self) -> int:
        """See the port."""
        ((count,),) = await self._rows("SELECT count(*) FROM notes")
        return int(count)

    async def note(self, text: str) -> None:
        """See the port."""
        await self._rows("INSERT INTO notes (ts, text) VALUES (?, ?)", self._now_s, text)

    async def keep_answer(self, call_id: str) -> None:
        """Keep the answer of a call for the day, and drop older ones."""
        if not call_id or self.answer is self._known:
            return
        await self._rows("DELETE FROM answers WHERE ts < ?", self._now_s - ANSWERS_KEPT_S)
        await self._rows(
            "INSERT OR REPLACE INTO answers (call_id, ts, answer) VALUES (?, ?, ?)",
            *(call_id, self._now_s, orjson.dumps(self.answer)),
        )

    async def _rows(self, sql: str, *values: object) -> list[Any]:
        return list(await self._connection.execute_fetchall(sql, values))


async def _answer(connection: Connection, call_id: str) -> JsonValue:
    sql = "SELECT answer FROM answers WHERE call_id = ?"
    rows = list(await connection.execute_fetchall(sql, (call_id,)))
    answer: JsonValue = orjson.loads(rows[0][0]) if call_id and rows else None
    return answer


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
