"""Memories in one SQLite file: rows, FTS5 for words, and a matrix in memory for meaning."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import aiosqlite
import numpy as np
from antiphon_contracts import EngineError
from antiphon_runtime.offload import ModelThread

from antiphon_memory.embedding import Notes
from antiphon_memory.service import EVERYWHERE, Candidate, Memory, Outcome, Where
from antiphon_memory.sqlite.file import SqliteFile
from antiphon_memory.sqlite.rows import (
    ALL_ROWS,
    CHAIN,
    COLUMNS,
    MATCHES,
    MAX_NAMED,
    SCHEMA,
    blob,
    digest,
    fts_query,
    memory_of,
    outcome_of_reply,
    outcome_of_rows,
    reply_of,
    restore_row,
    supersede,
    values_of,
)
from antiphon_memory.vectors import VectorIndex, Vectors

T = TypeVar("T")

LOAD_ROWS = 2048
VECTOR_QUEUE = 64


class SqliteStore:
    """See `antiphon_memory.service.MemoryStore` and `SqliteFile`.

    Args:
        path: the file; absolute.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, path: Path, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, SCHEMA, notes, now=now)
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
        return [memory_of(row) for row in rows]

    async def set_vectors(self, ids: Sequence[str], vectors: Vectors) -> None:
        """See the port."""
        stored: list[tuple[int, str, Vectors]] = []
        async with self._file.transaction() as db:
            for memory_id, vector in zip(ids, vectors, strict=True):
                rows = await db.execute_fetchall(
                    "UPDATE memories SET embedding = ? WHERE id = ? RETURNING row, scope",
                    (blob(vector), memory_id),
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
        reply = await self._file.reply_to(message_id)
        if reply is None:
            return None
        done = json.loads(reply)
        ids = json.dumps([*done["ids"], *done.get("replaced", ())])
        found = await self._file.read(
            f"SELECT id, text FROM ({ALL_ROWS}) WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608  (a constant)
            (ids,),
        )
        return outcome_of_reply(done, {row[0]: row[1] for row in found})

    async def remember(
        self,
        message_id: str,
        memory: Memory,
        vector: Vectors | None,
        *,
        same: str | None = None,
        replaces: Sequence[str] = (),
    ) -> Outcome:
        """See the port."""
        stored: list[tuple[int, str, Vectors]] = []
        async with self._file.transaction() as db:
            if await self._file.reply_to(message_id, db) is not None:
                return await self._known(message_id)
            outcome = await self._confirm(db, memory, same)
            if outcome is None:
                row = await self._insert(db, memory, vector)
                outcome = Outcome((memory.id,), (memory.text,), count=1)
                stored = [] if vector is None else [(row, memory.scope, vector)]
            gone = await supersede(db, replaces, outcome.ids[0])
            outcome = replace(outcome, replaced=tuple(row[2] for row in gone))
            reply = reply_of(outcome, [row[1] for row in gone])
            await self._file.note_reply(db, message_id, reply)
        await self._index_put(stored)
        await self._index_remove(gone)
        return outcome

    async def _known(self, message_id: str) -> Outcome:
        return await self.outcome_of(message_id) or Outcome()

    async def _confirm(
        self, db: aiosqlite.Connection, memory: Memory, same: str | None
    ) -> Outcome | None:
        """Give the memory that says the same the new time; None if there is none."""
        rows = list(
            await db.execute_fetchall(
                "UPDATE memories SET ts = max(ts, ?) WHERE (scope = ? AND digest = ?) OR id = ?"
                " RETURNING id, text",
                (memory.ts, memory.scope, digest(memory.text), same),
            )
        )
        return Outcome((rows[0][0],), (rows[0][1],), count=1) if rows else None

    async def restore(self, message_id: str, memories: Sequence[Memory]) -> Outcome:
        """See the port."""
        async with self._file.transaction() as db:
            if await self._file.reply_to(message_id, db) is not None:
                return await self._known(message_id)
            outcome = outcome_of_rows([one for one in memories if await restore_row(db, one)])
            await self._file.note_reply(db, message_id, reply_of(outcome))
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
                digest(memory.text),
                None if vector is None else blob(vector),
            ),
        )
        return int(row)

    async def forget(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """See the port."""
        return await self._delete(
            message_id, CHAIN, "id IN (SELECT id FROM chain)", json.dumps(list(ids))
        )

    async def forget_all(self, message_id: str, where: Where) -> Outcome:
        """See the port."""
        condition = "json_array_length(?1) = 0 OR scope IN (SELECT value FROM json_each(?1))"
        return await self._delete(message_id, "", condition, json.dumps(where.scopes))

    async def _delete(self, message_id: str, before: str, condition: str, value: str) -> Outcome:
        """Delete what fulfils a condition, and overwrite the words wherever they stood."""
        async with self._file.transaction() as db:
            if await self._file.reply_to(message_id, db) is not None:
                return await self._known(message_id)
            rows, old = [
                list(
                    await db.execute_fetchall(
                        f"{before} DELETE FROM {table} WHERE {condition} RETURNING rowid, id, text",  # noqa: S608  (constants)
                        (value,),
                    )
                )
                for table in ("memories", "superseded")
            ]
            named = (rows + old)[:MAX_NAMED]
            outcome = Outcome(
                tuple(row[1] for row in named),
                tuple(row[2] for row in named),
                count=len(rows) + len(old),
            )
            # The index keeps the words of a deleted row until its segments are merged.
            await db.execute_fetchall("INSERT INTO memories_fts (memories_fts) VALUES ('optimize')")
            await self._file.note_reply(db, message_id, reply_of(outcome))
        await self._index_remove(rows)
        if outcome.count:
            await self._file.checkpoint()
        return outcome

    async def _index_remove(self, rows: Sequence[sqlite3.Row]) -> None:
        if self._index is not None and rows:
            await self._in_thread(self._index.remove, [row[0] for row in rows])

    async def prune(self, *, outcomes_before: float) -> None:
        """See the port."""
        async with self._file.transaction() as db:
            await self._file.forget_replies(db, outcomes_before)

    # Reading

    async def rows(self, *, after: str, limit: int, where: Where, superseded: bool) -> list[Memory]:
        """See the port."""
        rows = await self._file.read(
            f"SELECT * FROM ({ALL_ROWS}) m WHERE m.id > :after AND {MATCHES}"  # noqa: S608  (constants)
            " AND (:superseded OR m.superseded_by IS NULL) ORDER BY m.id LIMIT :limit",
            values_of(Where(where.scopes), after=after, limit=limit, superseded=superseded),
        )
        return [memory_of(row) for row in rows]

    async def count(self, where: Where) -> int:
        """See the port."""
        ((count,),) = await self._file.read(
            f"SELECT count(*) FROM ({ALL_ROWS}) m WHERE {MATCHES}",  # noqa: S608  (constants)
            values_of(Where(where.scopes)),
        )
        return int(count)

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        """See the port."""
        if self._index is None:
            return []
        wanted = limit
        while True:
            found = await self._nearest(vector, wanted, where.scopes)
            rows = await self._file.read(
                f"SELECT {COLUMNS} FROM memories m"  # noqa: S608  (constants)
                f" WHERE row IN (SELECT value FROM json_each(:rows)) AND {MATCHES}",
                values_of(where, rows=json.dumps(list(found))),
            )
            if len(rows) >= limit or len(found) < wanted:
                break
            wanted *= 8  # the index knows scopes only; sources and times leave fewer
        memories = {row[0]: memory_of(row) for row in rows}
        return [
            Candidate(memories[key], cosine) for key, cosine in found.items() if key in memories
        ][:limit]

    async def _nearest(
        self, vector: Vectors, limit: int, scopes: Sequence[str]
    ) -> dict[int, float]:
        """Return keys and cosines, best first."""
        if self._index is None:
            raise _closed()
        found: list[tuple[int, float]] = []
        for scope in scopes or (None,):
            found += await self._in_thread(self._index.search, vector, limit, scope)
        found.sort(key=lambda one: -one[1])
        return dict(found[:limit])

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: Vectors | None,
    ) -> list[Candidate]:
        """See the port."""
        if not words:
            return []
        rows = await self._file.read(
            f"SELECT {COLUMNS}"  # noqa: S608  (constants)
            " FROM (SELECT rowid, bm25(memories_fts) AS score FROM memories_fts"
            " WHERE memories_fts MATCH :words"
            f" AND (:all OR rowid IN (SELECT row FROM memories m WHERE {MATCHES}))"
            " ORDER BY rank LIMIT :limit) f JOIN memories m ON m.row = f.rowid ORDER BY f.score",
            values_of(where, words=fts_query(words), limit=limit, all=where == EVERYWHERE),
        )
        cosines: dict[int, float] = {}
        if vector is not None and self._index is not None and rows:
            cosines = await self._in_thread(self._index.cosines, [row[0] for row in rows], vector)
        return [Candidate(memory_of(row), cosines.get(row[0])) for row in rows]

    async def recent(self, *, limit: int, where: Where) -> list[Memory]:
        """See the port."""
        rows = await self._file.read(
            f"SELECT {COLUMNS} FROM memories m WHERE {MATCHES}"  # noqa: S608  (constants)
            " ORDER BY m.ts DESC, m.row DESC LIMIT :limit",
            values_of(where, limit=limit),
        )
        return [memory_of(row) for row in rows]

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        if self._thread is None:
            raise _closed()
        return await self._thread.call(function, *args)


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
