"""Conversations in one SQLite file: sessions, their messages, and FTS5 for words."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from antiphon_contracts import new_id

from antiphon_memory.conversations import (
    Found,
    Recent,
    Session,
    Turn,
    first_words_of,
    new_session_id,
)
from antiphon_memory.embedding import Notes
from antiphon_memory.sqlite.arrivals import INSERT_SESSION, INSERT_TURN, take_arrivals, take_over
from antiphon_memory.sqlite.database import SEEN, Schema
from antiphon_memory.sqlite.file import SqliteFile, forget_replies, noted_reply

_WITHOUT_SESSIONS = """
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
# `arrived` is emptied by `take_arrivals`: cutting it into sessions is not for SQL.
_SESSIONS = """
ALTER TABLE history RENAME TO arrived;
DROP INDEX history_by_session;
CREATE TABLE sessions (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    conversation TEXT NOT NULL,
    site_id TEXT NOT NULL,
    begun REAL NOT NULL,
    ended REAL NOT NULL,
    count INTEGER NOT NULL,
    first_words TEXT NOT NULL,
    summary TEXT NOT NULL DEFAULT '',
    covered INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX sessions_by_conversation ON sessions (conversation, ended);
CREATE INDEX sessions_by_end ON sessions (ended);
CREATE TABLE history (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    session INTEGER NOT NULL REFERENCES sessions (row),
    number INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    interrupted INTEGER NOT NULL,
    ts REAL NOT NULL,
    UNIQUE (session, number)
);
CREATE VIRTUAL TABLE history_fts USING fts5 (
    text, content = 'history', content_rowid = 'row',
    tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER history_inserted AFTER INSERT ON history BEGIN
    INSERT INTO history_fts (rowid, text) VALUES (new.row, new.text);
END;
CREATE TRIGGER history_deleted AFTER DELETE ON history BEGIN
    INSERT INTO history_fts (history_fts, rowid, text) VALUES ('delete', old.row, old.text);
END;
"""
_SCHEMA = Schema((_WITHOUT_SESSIONS + SEEN, _SESSIONS))

_SESSION = (
    "s.id, s.conversation, s.site_id, s.begun, s.ended, s.count, s.first_words, s.summary,"
    " s.covered"
)
_TURN = "h.role, h.text, h.interrupted, h.ts"

SELECT_RECENT = (
    f"SELECT {_SESSION}, {_TURN} FROM"  # noqa: S608  (constants)
    " (SELECT * FROM sessions WHERE conversation = ? AND ended >= ?"
    " ORDER BY ended DESC, row DESC LIMIT 1) s"
    " LEFT JOIN history h ON h.session = s.row AND h.number >= max(s.covered, s.count - ?)"
    " ORDER BY h.number DESC"
)
"""What is read on every turn; values: conversation, since, limit.

Messages are numbered without a gap, so that the limit is a range of the index.
"""


class SqliteConversations:
    """See `antiphon_memory.conversations.ConversationStore` and `SqliteFile`.

    Args:
        path: the file; absolute.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.
        old_path: memory file in which conversations were kept until now; its rows are moved here
            when this one is opened.
    """

    def __init__(
        self,
        path: Path,
        notes: Notes,
        *,
        now: Callable[[], float] = time.time,
        old_path: Path | None = None,
    ) -> None:
        self._file = SqliteFile(path, _SCHEMA, notes, now=now)
        self._notes = notes
        self._old_path = old_path

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        async with self._file.open():
            await take_arrivals(self._file, self._notes)
            if self._old_path is not None:
                await take_over(self._old_path, self._file, self._notes)
            yield

    # Writing

    async def append(
        self, message_id: str, turn: Turn, *, ended_before: float, begun_before: float
    ) -> None:
        """See the port."""
        await self._file.write(self._append, message_id, turn, ended_before, begun_before)

    def _append(
        self,
        db: sqlite3.Connection,
        message_id: str,
        turn: Turn,
        ended_before: float,
        begun_before: float,
    ) -> None:
        if noted_reply(db, message_id) is not None:
            return
        row, number = _place_for(db, turn, ended_before, begun_before)
        db.execute(
            INSERT_TURN, (new_id(), row, number, turn.role, turn.text, turn.interrupted, turn.ts)
        )
        self._file.note_reply(db, message_id, "")

    async def summarise(self, session_id: str, summary: str, *, covered: int) -> bool:
        """See the port."""
        return await self._file.write(_summarise, session_id, summary, covered)

    async def delete(self, message_id: str, session_ids: Sequence[str]) -> list[str]:
        """See the port."""
        deleted = await self._file.write(self._delete, message_id, session_ids)
        await self._file.checkpoint()
        return deleted

    def _delete(
        self, db: sqlite3.Connection, message_id: str, session_ids: Sequence[str]
    ) -> list[str]:
        known = noted_reply(db, message_id)
        if known is not None:
            return [str(name) for name in json.loads(known)]
        deleted = _delete_where(
            db, "id IN (SELECT value FROM json_each(?))", json.dumps(list(session_ids))
        )
        self._file.note_reply(db, message_id, json.dumps(deleted))
        return deleted

    async def prune(self, *, before: float, replies_before: float) -> None:
        """See the port."""
        if await self._file.write(_prune, before, replies_before):
            await self._file.checkpoint()

    # Reading

    async def recent(self, conversation: str, *, since: float, limit: int) -> Recent | None:
        """See the port."""
        rows = await self._file.read(SELECT_RECENT, (conversation, since, limit))
        if not rows:
            return None
        session = Session(*rows[0][:9])
        turns = [_turn(session, *row[9:]) for row in rows if row[9] is not None]
        return Recent(session, turns)

    async def sessions(self, *, conversation: str | None, skip: int, limit: int) -> list[Session]:
        """See the port."""
        where = "" if conversation is None else "WHERE s.conversation = ?"
        whose = () if conversation is None else (conversation,)
        rows = await self._file.read(
            f"SELECT {_SESSION} FROM sessions s {where}"  # noqa: S608  (constants)
            " ORDER BY s.ended DESC, s.row DESC LIMIT ? OFFSET ?",
            (*whose, limit, skip),
        )
        return [Session(*row) for row in rows]

    async def session(self, session_id: str) -> Session | None:
        """See the port."""
        rows = await self._file.read(
            f"SELECT {_SESSION} FROM sessions s WHERE s.id = ?",  # noqa: S608  (constants)
            (session_id,),
        )
        return Session(*rows[0]) if rows else None

    async def turns(self, session_id: str, *, skip: int, limit: int) -> list[Turn]:
        """See the port."""
        rows = await self._file.read(
            f"SELECT {_SESSION}, {_TURN} FROM sessions s"  # noqa: S608  (constants)
            " JOIN history h ON h.session = s.row"
            " WHERE s.id = ? AND h.number >= ? ORDER BY h.number LIMIT ?",
            (session_id, skip, limit),
        )
        return [_turn(Session(*row[:9]), *row[9:]) for row in rows]

    async def search(
        self, words: Sequence[str], *, conversation: str | None, skip: int, limit: int
    ) -> list[Found]:
        """See the port."""
        quoted = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        rows = await self._file.read(
            f"SELECT {_SESSION}, {_TURN} FROM history_fts f"  # noqa: S608  (constants)
            " JOIN history h ON h.row = f.rowid JOIN sessions s ON s.row = h.session"
            " WHERE history_fts MATCH ? AND (? IS NULL OR s.conversation = ?)"
            " ORDER BY h.ts DESC, h.row DESC LIMIT ? OFFSET ?",
            (quoted, conversation, conversation, limit, skip),
        )
        return [Found(row[0], _turn(Session(*row[:9]), *row[9:])) for row in rows]


def _place_for(
    db: sqlite3.Connection, turn: Turn, ended_before: float, begun_before: float
) -> tuple[int, int]:
    """Return the row of the session that a turn joins, begun if need be, and its number there."""
    newest = db.execute(
        "SELECT row, begun, ended, count FROM sessions WHERE conversation = ?"
        " ORDER BY ended DESC, row DESC LIMIT 1",
        (turn.conversation,),
    ).fetchall()
    if newest and newest[0][2] >= ended_before and newest[0][1] >= begun_before:
        row, _, ended, count = newest[0]
        db.execute(
            "UPDATE sessions SET ended = ?, count = count + 1 WHERE row = ?",
            (max(ended, turn.ts), row),
        )
        return row, count
    ((row,),) = db.execute(
        INSERT_SESSION + " RETURNING row",
        (
            new_session_id(),
            turn.conversation,
            turn.site_id,
            turn.ts,
            turn.ts,
            1,
            first_words_of(turn.text),
        ),
    )
    return int(row), 0


def _summarise(db: sqlite3.Connection, session_id: str, summary: str, covered: int) -> bool:
    changed = db.execute(
        "UPDATE sessions SET summary = ?, covered = ?"
        " WHERE id = ? AND covered < ? AND count >= ? RETURNING row",
        (summary, covered, session_id, covered, covered),
    )
    return bool(changed.fetchall())


def _prune(db: sqlite3.Connection, before: float, replies_before: float) -> list[str]:
    forget_replies(db, replies_before)
    return _delete_where(db, "ended < ?", before)


def _delete_where(db: sqlite3.Connection, condition: str, value: object) -> list[str]:
    """Delete sessions and their messages, words and all; return the ids."""
    db.execute(
        f"DELETE FROM history WHERE session IN (SELECT row FROM sessions WHERE {condition})",  # noqa: S608  (constants)
        (value,),
    )
    rows = db.execute(
        f"DELETE FROM sessions WHERE {condition} RETURNING id",  # noqa: S608  (constants)
        (value,),
    )
    deleted = [str(row[0]) for row in rows]
    if deleted:
        # Until its parts are merged, FTS5 keeps deleted words beside a mark that they are deleted.
        db.execute("INSERT INTO history_fts (history_fts) VALUES ('optimize')")
    return deleted


def _turn(
    session: Session, role: Literal["user", "assistant"], text: str, interrupted: int, ts: float
) -> Turn:
    return Turn(session.conversation, role, text, bool(interrupted), ts, session.site_id)
