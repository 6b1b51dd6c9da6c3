"""Moving conversations from where they were kept before, without sessions, once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import aiosqlite
import structlog
from antiphon_contracts import EngineError

from antiphon_memory.conversations import first_words_of, new_session_id
from antiphon_memory.embedding import Notes
from antiphon_memory.sqlite.file import SqliteFile

INSERT_SESSION = (
    "INSERT INTO sessions (id, conversation, site_id, begun, ended, count, first_words)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
INSERT_TURN = (
    "INSERT INTO history (id, session, number, role, text, interrupted, ts)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)

_SELECT_ARRIVALS = (
    "SELECT id, session_id, role, text, interrupted, ts FROM {table} ORDER BY session_id, row"
)

IDLE_S = 1800.0
"""A longer silence than this parts the sessions of what arrives."""

LONGEST_S = 12 * 3600.0

log = structlog.get_logger(__name__)


class Arrival(NamedTuple):
    """A message as it was kept before."""

    id: str
    conversation: str
    role: str
    text: str
    interrupted: int
    ts: float


async def take_arrivals(file: SqliteFile, notes: Notes) -> None:
    """Cut into sessions what an older version kept in the same file; see `take_over`."""
    try:
        if await file.read("SELECT 1 FROM arrived LIMIT 1"):
            await file.write(_take)
            await file.checkpoint()
    except EngineError as error:
        _note_failure(error, notes)


async def take_over(old_path: Path, file: SqliteFile, notes: Notes) -> None:
    """Move the conversations that are in a memory file into `file`; a second time does nothing.

    They are deleted there when they are safe here. Whatever goes wrong leaves them where they are,
    is noted, and is tried again at the next start.
    """
    if not await asyncio.to_thread(old_path.is_file):
        return
    try:
        async with aiosqlite.connect(
            f"{old_path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=2.0
        ) as old:
            await _move(old, file)
    except (sqlite3.Error, EngineError) as error:
        _note_failure(error, notes)


async def _move(old: aiosqlite.Connection, file: SqliteFile) -> None:
    tables = await old.execute_fetchall(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'history'"
    )
    if not list(tables):
        return
    arrivals = _arrivals(await old.execute_fetchall(_SELECT_ARRIVALS.format(table="history")))
    if not arrivals:
        return
    await file.write(_store, arrivals)
    await file.checkpoint()  # it is on the disk before it is deleted there
    await old.execute_fetchall("PRAGMA secure_delete = ON")
    await old.execute_fetchall("DELETE FROM history")
    await old.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    log.info("memory.conversations_moved", messages=len(arrivals))


def _note_failure(error: Exception, notes: Notes) -> None:
    log.warning("memory.conversations_not_moved", error=type(error).__name__)
    notes.note(
        "old_conversations",
        "Older conversations could not be moved to their new place; restart memory to try again.",
    )


def _take(db: sqlite3.Connection) -> None:
    _store(db, _arrivals(db.execute(_SELECT_ARRIVALS.format(table="arrived"))))
    db.execute("DELETE FROM arrived")


def _arrivals(rows: Iterable[sqlite3.Row]) -> list[Arrival]:
    return [Arrival(*row) for row in rows]


def _store(db: sqlite3.Connection, arrivals: Sequence[Arrival]) -> None:
    """Store what is not there yet; it is in order of conversation and time."""
    ids = json.dumps([one.id for one in arrivals])
    rows = db.execute("SELECT id FROM history WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    there = {row[0] for row in rows}
    for session in sessions_of(one for one in arrivals if one.id not in there):
        first = session[0]
        times = [one.ts for one in session]
        ((row,),) = db.execute(
            INSERT_SESSION + " RETURNING row",
            (
                new_session_id(),
                first.conversation,
                first.conversation,
                min(times),
                max(times),
                len(session),
                first_words_of(first.text),
            ),
        )
        db.executemany(
            INSERT_TURN,
            [
                (one.id, row, number, one.role, one.text, one.interrupted, one.ts)
                for number, one in enumerate(session)
            ],
        )


def sessions_of(arrivals: Iterable[Arrival]) -> list[list[Arrival]]:
    """Return messages, in order of conversation and time, cut where a session ended."""
    ordered = list(arrivals)
    if not ordered:
        return []
    sessions = [[ordered[0]]]
    for before, one in pairwise(ordered):
        begun = sessions[-1][0]
        if (
            one.conversation == before.conversation
            and one.ts - before.ts <= IDLE_S
            and one.ts - begun.ts <= LONGEST_S
        ):
            sessions[-1].append(one)
        else:
            sessions.append([one])
    return sessions
