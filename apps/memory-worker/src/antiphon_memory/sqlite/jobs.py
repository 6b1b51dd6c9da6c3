"""Work on documents, kept in the file of the documents until it is done."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

from antiphon_memory.knowledge_store import Job, Order, State, Tally
from antiphon_memory.sqlite.file import SqliteFile

JOBS = """
CREATE TABLE jobs (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    ordered TEXT NOT NULL,
    tally TEXT NOT NULL,
    document_id TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    ts REAL NOT NULL
);
CREATE TABLE parts (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (job_id, number)
);
"""
"""Tables of the work; part of the schema of the documents' file."""

_SELECT = (
    "SELECT id, state, ordered, tally, document_id, attempts,"
    " (SELECT count(*) FROM parts WHERE job_id = jobs.id) FROM jobs"
)


class SqliteJobs:
    """See `antiphon_memory.knowledge_store.JobStore`.

    Args:
        file: where they are kept.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, file: SqliteFile, *, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now

    async def find(self, job_id: str) -> Job | None:
        """See the port."""
        rows = await self._file.read(f"{_SELECT} WHERE id = ?", (job_id,))
        return _job(rows[0]) if rows else None

    async def all(self) -> list[Job]:
        """See the port."""
        return [_job(row) for row in await self._file.read(f"{_SELECT} ORDER BY row")]

    async def begin(self, order: Order, state: State) -> None:
        """See the port."""
        await self._file.write(
            _execute,
            "INSERT OR IGNORE INTO jobs (id, state, ordered, tally, ts) VALUES (?, ?, ?, ?, ?)",
            (order.job_id, state, _json(order), _json(Tally()), self._now()),
        )

    async def put_part(self, job_id: str, number: int, body: bytes) -> int:
        """See the port."""
        return await self._file.write(_put_part, job_id, number, body, self._now())

    async def body(self, job_id: str) -> bytes:
        """See the port."""
        rows = await self._file.read(
            "SELECT body FROM parts WHERE job_id = ? ORDER BY number", (job_id,)
        )
        return b"".join(row[0] for row in rows)

    async def queue(self, job_id: str) -> None:
        """See the port."""
        await self._file.write(
            _execute,
            "UPDATE jobs SET state = 'queued', ts = ? WHERE id = ? AND state = 'receiving'",
            (self._now(), job_id),
        )

    async def next(self) -> Job | None:
        """See the port."""
        return await self._file.write(_next)

    async def end(self, job_id: str, state: State, tally: Tally) -> None:
        """See the port."""
        await self._file.write(_end, job_id, state, tally, self._now())

    async def drop(self, *, unfinished_before: float, ended_before: float) -> None:
        """See the port."""
        await self._file.write(_drop, unfinished_before, ended_before)


def note_stored(db: sqlite3.Connection, job: Job, document_id: str, tally: Tally) -> None:
    """Note in the transaction that stores it which document an upload became.

    From then on it counts as begun anew: what is left to do has brought nobody down yet.
    """
    db.execute(
        "UPDATE jobs SET document_id = ?, tally = ?, attempts = 0 WHERE id = ?",
        (document_id, _json(tally), job.order.job_id),
    )


def _execute(db: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> None:
    db.execute(sql, values)


def _put_part(db: sqlite3.Connection, job_id: str, number: int, body: bytes, now: float) -> int:
    db.execute(
        "INSERT OR IGNORE INTO parts (job_id, number, body) VALUES (?, ?, ?)",
        (job_id, number, body),
    )
    db.execute("UPDATE jobs SET ts = ? WHERE id = ?", (now, job_id))
    ((count,),) = db.execute("SELECT count(*) FROM parts WHERE job_id = ?", (job_id,))
    return int(count)


def _next(db: sqlite3.Connection) -> Job | None:
    ids = db.execute(
        "UPDATE jobs SET attempts = attempts + 1"
        " WHERE row = (SELECT min(row) FROM jobs WHERE state = 'queued') RETURNING id"
    ).fetchall()
    return _job(db.execute(f"{_SELECT} WHERE id = ?", ids[0]).fetchone()) if ids else None


def _end(db: sqlite3.Connection, job_id: str, state: State, tally: Tally, now: float) -> None:
    db.execute(
        "UPDATE jobs SET state = ?, tally = ?, ts = ?"
        " WHERE id = ? AND state IN ('receiving', 'queued')",
        (state, _json(tally), now, job_id),
    )
    db.execute("DELETE FROM parts WHERE job_id = ?", (job_id,))


def _drop(db: sqlite3.Connection, unfinished_before: float, ended_before: float) -> None:
    dropped = db.execute(
        "DELETE FROM jobs WHERE (state = 'receiving' AND ts < ?)"
        " OR (state NOT IN ('receiving', 'queued') AND ts < ?) RETURNING id",
        (unfinished_before, ended_before),
    ).fetchall()
    db.executemany("DELETE FROM parts WHERE job_id = ?", dropped)


def _json(value: Order | Tally) -> str:
    return orjson.dumps(asdict(value)).decode()


def _job(row: sqlite3.Row) -> Job:
    order: dict[str, Any] = orjson.loads(row[2])
    return Job(
        Order(**{**order, "ids": tuple(order["ids"])}),
        state=row[1],
        received=row[6],
        attempts=row[5],
        document_id=row[4],
        tally=Tally(**orjson.loads(row[3])),
    )
