"""Memories in one SQLite file: rows, FTS5 for words, and a matrix in memory for meaning."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiosqlite
import numpy as np
from antiphon_contracts import EngineError
from antiphon_runtime.offload import ModelThread

from antiphon_memory.embedding import Notes
from antiphon_memory.service import Candidate, Memory, Outcome
from antiphon_memory.sqlite.database import SEEN, Schema
from antiphon_memory.sqlite.file import SqliteFile
from antiphon_memory.vectors import VectorIndex, Vectors

T = TypeVar("T")

LOAD_ROWS = 2048
VECTOR_QUEUE = 64

_MEMORIES = """
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
"""

_SCHEMA = Schema((_MEMORIES + SEEN,))


class SqliteStore:
    """See `antiphon_memory.service.MemoryStore` and `SqliteFile`.

    Args:
        path: the file; absolute.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, path: Path, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _SCHEMA, notes, now=now)
        self._index: VectorIndex | None = None
        self._thread: ModelThread | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        with ModelThread("memory-vectors", queue_limit=VECTOR_QUEUE) as thread:
            async with self._file.open():
                self._thread, self._index = thread, None
                try:
                    yield
                finally:
                    self._thread = self._index = None

    # Vectors

    async def adopt_model(self, name: str, dimension: int) -> None:
        """See the port. Reads all vectors into memory, 4 bytes times `dimension` each."""
        wanted = {"model": name, "dimension": str(dimension)}
        rows = await self._file.read(
            "SELECT key, value FROM meta WHERE key IN ('model', 'dimension')"
        )
        if {row[0]: row[1] for row in rows} != wanted:
            async with self._file.transaction() as db:
                await db.execute_fetchall(
                    "UPDATE memories SET embedding = NULL WHERE embedding IS NOT NULL"
                )
                for item in wanted.items():
                    await db.execute_fetchall("REPLACE INTO meta (key, value) VALUES (?, ?)", item)
        index = VectorIndex(dimension)
        last = 0
        while rows := await self._file.read(
            "SELECT row, scope, embedding FROM memories"
            " WHERE row > ? AND embedding IS NOT NULL ORDER BY row LIMIT ?",
            (last, LOAD_ROWS),
        ):
            last = rows[-1][0]
            await self._in_thread(_load, index, rows)
        self._index = index

    async def count_unembedded(self) -> int:
        """See the port."""
        ((count,),) = await self._file.read("SELECT count(*) FROM memories WHERE embedding IS NULL")
        return int(count)

    async def unembedded(self, limit: int) -> list[Memory]:
        """See the port."""
        rows = await self._file.read(
            "SELECT m.row, m.id, m.text, m.source, m.scope, m.ts FROM memories m"
            " WHERE embedding IS NULL ORDER BY row LIMIT ?",
            (limit,),
        )
        return [_memory(row) for row in rows]

    async def set_vectors(self, ids: Sequence[str], vectors: Vectors) -> None:
        """See the port."""
        stored: list[tuple[int, str, Vectors]] = []
        async with self._file.transaction() as db:
            for memory_id, vector in zip(ids, vectors, strict=True):
                rows = await db.execute_fetchall(
                    "UPDATE memories SET embedding = ? WHERE id = ? RETURNING row, scope",
                    (_blob(vector), memory_id),
                )
                stored += [(row, scope, vector) for row, scope in rows]
        await self._index_put(stored)

    async def _index_put(self, stored: Sequence[tuple[int, str, Vectors]]) -> None:
        if self._index is not None and stored:
            keys, scopes, vectors = zip(*stored, strict=True)
            await self._in_thread(self._index.put, keys, scopes, np.stack(vectors))

    # Writing

    async def outcome_of(self, message_id: str) -> Outcome | None:
        """See the port."""
        return _outcome(await self._file.reply_to(message_id))

    async def remember(self, message_id: str, memory: Memory, vector: Vectors | None) -> Outcome:
        """See the port."""
        stored: list[tuple[int, str, Vectors]] = []
        async with self._file.transaction() as db:
            known = _outcome(await self._file.reply_to(message_id, db))
            if known is not None:
                return known
            rows = list(
                await db.execute_fetchall(
                    "UPDATE memories SET ts = ? WHERE scope = ? AND digest = ? RETURNING id, text",
                    (memory.ts, memory.scope, _digest(memory.text)),
                )
            )
            outcome = Outcome((rows[0][0],), (rows[0][1],)) if rows else None
            if outcome is None:
                row = await self._insert(db, memory, vector)
                outcome = Outcome((memory.id,), (memory.text,))
                stored = [] if vector is None else [(row, memory.scope, vector)]
            await self._file.note_reply(db, message_id, _reply(outcome))
        await self._index_put(stored)
        return outcome

    async def _insert(
        self, db: aiosqlite.Connection, memory: Memory, vector: Vectors | None
    ) -> int:
        ((row,),) = await db.execute_fetchall(
            "INSERT INTO memories (id, text, source, scope, ts, digest, embedding)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING row",
            (
                memory.id,
                memory.text,
                memory.source,
                memory.scope,
                memory.ts,
                _digest(memory.text),
                None if vector is None else _blob(vector),
            ),
        )
        return int(row)

    async def forget(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """See the port."""
        async with self._file.transaction() as db:
            known = _outcome(await self._file.reply_to(message_id, db))
            if known is not None:
                return known
            rows = list(
                await db.execute_fetchall(
                    "DELETE FROM memories WHERE id IN (SELECT value FROM json_each(?))"
                    " RETURNING row, id, text",
                    (json.dumps(list(ids)),),
                )
            )
            outcome = Outcome(tuple(row[1] for row in rows), tuple(row[2] for row in rows))
            await self._file.note_reply(db, message_id, _reply(outcome))
        if self._index is not None:
            await self._in_thread(self._index.remove, [row[0] for row in rows])
        return outcome

    async def prune(self, *, outcomes_before: float) -> None:
        """See the port."""
        async with self._file.transaction() as db:
            await self._file.forget_replies(db, outcomes_before)

    # Reading

    async def similar(self, vector: Vectors, *, limit: int, scope: str | None) -> list[Candidate]:
        """See the port."""
        if self._index is None:
            return []
        found = dict(await self._in_thread(self._index.search, vector, limit, scope))
        rows = await self._file.read(
            "SELECT m.row, m.id, m.text, m.source, m.scope, m.ts FROM memories m"
            " WHERE row IN (SELECT value FROM json_each(?))",
            (json.dumps(list(found)),),
        )
        memories = {row[0]: _memory(row) for row in rows}
        return [
            Candidate(memories[key], cosine) for key, cosine in found.items() if key in memories
        ]

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        scope: str | None,
        vector: Vectors | None,
    ) -> list[Candidate]:
        """See the port."""
        if not words:
            return []
        rows = await self._file.read(
            "SELECT m.row, m.id, m.text, m.source, m.scope, m.ts"
            " FROM (SELECT rowid, bm25(memories_fts) AS score FROM memories_fts"
            " WHERE memories_fts MATCH ?"
            " AND (? IS NULL OR rowid IN (SELECT row FROM memories WHERE scope = ?))"
            " ORDER BY rank LIMIT ?) f JOIN memories m ON m.row = f.rowid ORDER BY f.score",
            (fts_query(words), scope, scope, limit),
        )
        cosines: dict[int, float] = {}
        if vector is not None and self._index is not None and rows:
            cosines = await self._in_thread(self._index.cosines, [row[0] for row in rows], vector)
        return [Candidate(_memory(row), cosines.get(row[0])) for row in rows]

    async def recent(self, *, limit: int, scope: str | None) -> list[Memory]:
        """See the port."""
        rows = await self._file.read(
            "SELECT m.row, m.id, m.text, m.source, m.scope, m.ts FROM memories m"
            " WHERE ? IS NULL OR m.scope = ?"
            " ORDER BY m.ts DESC, m.row DESC LIMIT ?",
            (scope, scope, limit),
        )
        return [_memory(row) for row in rows]

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        if self._thread is None:
            raise _closed()
        return await self._thread.call(function, *args)


def fts_query(words: Iterable[str]) -> str:
    """Return an FTS5 query that matches any of `words`, whatever characters are in them."""
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in words)


def _closed() -> EngineError:
    return EngineError("The memory store is closed; ask again when it has started.", retryable=True)


def _load(index: VectorIndex, rows: Sequence[sqlite3.Row]) -> None:
    """Put rows of (row, scope, embedding) into the index; a blob of another length is left out."""
    fit = [row for row in rows if len(row[2]) == 4 * index.dimension]
    vectors = np.frombuffer(b"".join(row[2] for row in fit), dtype="<f4")
    index.put(
        [row[0] for row in fit],
        [row[1] for row in fit],
        vectors.reshape(len(fit), index.dimension).astype(np.float32, copy=False),
    )


def _blob(vector: Vectors) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.casefold().encode()).digest()


def _memory(row: sqlite3.Row) -> Memory:
    return Memory(id=row[1], text=row[2], source=row[3], scope=row[4], ts=row[5])


def _reply(outcome: Outcome) -> str:
    return json.dumps({"ids": outcome.ids, "texts": outcome.texts})


def _outcome(reply: str | None) -> Outcome | None:
    if reply is None:
        return None
    stored = json.loads(reply)
    return Outcome(tuple(stored["ids"]), tuple(stored["texts"]))
