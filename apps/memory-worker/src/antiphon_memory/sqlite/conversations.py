"""Conversations in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from antiphon_contracts import new_id

from antiphon_memory.conversations import Turn
from antiphon_memory.embedding import Notes
from antiphon_memory.sqlite.database import SEEN, Schema
from antiphon_memory.sqlite.file import SqliteFile

_HISTORY = """
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
"""
_SCHEMA = Schema((_HISTORY + SEEN,))


class SqliteConversations:
    """See `antiphon_memory.conversations.ConversationStore` and `SqliteFile`.

    Args:
        path: the file; absolute.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, path: Path, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _SCHEMA, notes, now=now)

    def open(self) -> AbstractAsyncContextManager[None]:
        """See the port."""
        return self._file.open()

    async def append(self, message_id: str, turn: Turn) -> None:
        """See the port."""
        async with self._file.transaction() as db:
            if await self._file.reply_to(message_id, db) is not None:
                return
            await db.execute_fetchall(
                "INSERT INTO history (id, session_id, role, text, interrupted, ts)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (new_id(), turn.session_id, turn.role, turn.text, turn.interrupted, turn.ts),
            )
            await self._file.note_reply(db, message_id, "")

    async def newest(self, session_id: str, *, limit: int, since: float) -> list[Turn]:
        """See the port."""
        rows = await self._file.read(
            "SELECT session_id, role, text, interrupted, ts FROM history"
            " WHERE session_id = ? AND ts >= ? ORDER BY row DESC LIMIT ?",
            (session_id, since, limit),
        )
        return [Turn(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]

    async def prune(self, *, before: float, replies_before: float) -> None:
        """See the port."""
        async with self._file.transaction() as db:
            await db.execute_fetchall("DELETE FROM history WHERE ts < ?", (before,))
            await self._file.forget_replies(db, replies_before)
