"""Memories in a PostgreSQL database: rows, its full-text search, and pgvector or a matrix."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from antiphon_runtime.offload import ModelThread

from antiphon_memory.embedding import Notes
from antiphon_memory.postgres.matrix import MirroredVectors, Vectors, to_bytes
from antiphon_memory.postgres.rows import (
    CHAIN,
    CHANGE,
    COLUMNS,
    IN_SCOPES,
    MATCHES,
    MATCHING,
    WITHOUT_VECTOR,
    cosine_of,
    digest,
    memory_of,
    noted_outcome,
    outcome_naming,
    values_of,
    vector_of,
)
from antiphon_memory.postgres.schema import adopt, prepare, read_meta
from antiphon_memory.postgres.server import Connection, PostgresServer
from antiphon_memory.service import Candidate, Memory, Outcome, Where

VECTOR_QUEUE = 64
NOTE = "pgvector"
WIDER = 8
"""How many times more are looked up when filters leave too few."""


class PostgresMemories:
    """See `antiphon_memory.service.MemoryStore`.

    Several processes may use one database: writes wait for each other there.

    Args:
        url: of the database.
        notes: is told if pgvector is missing.
        language: the server's text search configuration, e.g. `english` or `simple`.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        notes: Notes,
        *,
        language: str = "english",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._server = PostgresServer(url)
        self._notes = notes
        self._language = language
        self._now = now
        self._thread: ModelThread | None = None
        self._has_pgvector = False
        self._dimension: int | None = None
        self._mirror: MirroredVectors | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port. Makes the tables, in the schema `antiphon`, where they are missing."""
        with ModelThread("memory-vectors", queue_limit=VECTOR_QUEUE) as thread:
            async with self._server.open():
                self._has_pgvector = await prepare(self._server, self._language)
                if not self._has_pgvector:
                    self._notes.note(
                        NOTE, "PostgreSQL has no pgvector, so I keep a copy of all vectors here."
                    )
                self._thread = thread
                try:
                    yield
                finally:
                    self._thread = self._dimension = self._mirror = None

    # Vectors

    async def adopt_model(self, name: str, dimension: int) -> None:
        """See the port. Without pgvector it reads all vectors, 4 bytes times `dimension` each."""
        async with self._server.transaction() as db:
            await adopt(db, name, dimension)
        self._dimension = dimension
        if not self._has_pgvector and self._thread is not None:
            self._mirror = MirroredVectors(dimension, self._thread)
            async with self._server.connection() as db:
                await self._mirror.follow(db)

    async def model(self) -> tuple[str, int] | None:
        """See the port."""
        async with self._server.connection() as db:
            meta = await read_meta(db)
        return (meta["model"], int(meta["dimension"])) if "model" in meta else None

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """See the port."""
        async with self._server.connection() as db:
            rows = await db.fetch(
                f"SELECT id, embedding{self._readable} AS embedding FROM antiphon.memories"  # noqa: S608  (constants only)
                " WHERE id = ANY($1::text[]) AND embedding IS NOT NULL",
                list(ids),
            )
        return {row["id"]: vector_of(row["embedding"]) for row in rows}

    @property
    def _readable(self) -> str:
        return "::real[]" if self._has_pgvector else ""

    async def count_unembedded(self) -> int:
        """See the port."""
        async with self._server.connection() as db:
            return int(
                await db.fetchval(
                    f"SELECT count(*) FROM antiphon.memories WHERE {WITHOUT_VECTOR}"  # noqa: S608
                )
            )

    async def unembedded(self, limit: int) -> list[Memory]:
        """See the port."""
        return await self._memories(f"WHERE {WITHOUT_VECTOR} ORDER BY number LIMIT $1", limit)

    async def set_vectors(self, ids: Sequence[str], vectors: Vectors) -> None:
        """See the port."""
        async with self._server.transaction() as db:
            await db.executemany(
                f"UPDATE antiphon.memories SET embedding = {self._parameter(2)},"  # noqa: S608  (constants only)
                f" change = {CHANGE} WHERE id = $1 AND superseded_by IS NULL",
                [
                    (memory_id, self._stored(vector))
                    for memory_id, vector in zip(ids, vectors, strict=True)
                ],
            )

    def _parameter(self, number: int) -> str:
        return f"${number}::real[]::vector" if self._has_pgvector else f"${number}::bytea"

    def _stored(self, vector: Vectors | None) -> list[float] | bytes | None:
        if vector is None:
            return None
        return vector.tolist() if self._has_pgvector else to_bytes(vector)

    # Writing

    async def outcome_of(self, message_id: str) -> Outcome | None:
        """See the port."""
        async with self._server.connection() as db:
            return await noted_outcome(db, message_id)

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
        async with self._server.transaction() as db:
            known = await noted_outcome(db, message_id)
            if known is not None:
                return known
            row = await db.fetchrow(
                "UPDATE antiphon.memories SET ts = greatest(ts, $1) WHERE superseded_by IS NULL"
                " AND ((scope = $2 AND digest = $3) OR id = $4) RETURNING id, text",
                *(memory.ts, memory.scope, digest(memory.text), same),
            )
            if row is None:
                await self._insert(db, memory, vector)
            kept, text = (row["id"], row["text"]) if row else (memory.id, memory.text)
            old = await db.fetch(
                "UPDATE antiphon.memories SET superseded_by = $1, embedding = NULL"
                " WHERE id = ANY($2::text[]) AND superseded_by IS NULL RETURNING id, text",
                *(kept, [one for one in replaces if one != kept]),
            )
            outcome = Outcome((kept,), (text,), tuple(one["text"] for one in old), count=1)
            await self._note(db, message_id, outcome, replaced=[one["id"] for one in old])
        return outcome

    async def _insert(self, db: Connection, memory: Memory, vector: Vectors | None) -> bool:
        done = await db.execute(
            "INSERT INTO antiphon.memories"  # noqa: S608
            " (id, text, source, scope, ts, superseded_by, digest, embedding, change)"
            f" VALUES ($1, $2, $3, $4, $5, $6, $7, {self._parameter(8)}, {CHANGE})"
            " ON CONFLICT DO NOTHING",
            *(memory.id, memory.text, memory.source, memory.scope, memory.ts),
            *(memory.superseded_by, digest(memory.text), self._stored(vector)),
        )
        return not done.endswith(" 0")

    async def restore(self, message_id: str, memories: Sequence[Memory]) -> Outcome:
        """See the port."""
        async with self._server.transaction() as db:
            known = await noted_outcome(db, message_id)
            if known is not None:
                return known
            new = [one for one in memories if await self._insert(db, one, None)]
            outcome = outcome_naming([(one.id, one.text) for one in new])
            await self._note(db, message_id, outcome)
        return outcome

    async def forget(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """See the port."""
        return await self._delete(message_id, f"m.id IN ({CHAIN})", list(ids))

    async def forget_all(self, message_id: str, where: Where) -> Outcome:
        """See the port."""
        return await self._delete(message_id, IN_SCOPES, list(where.scopes))

    async def _delete(self, message_id: str, condition: str, value: list[str]) -> Outcome:
        async with self._server.transaction() as db:
            known = await noted_outcome(db, message_id)
            if known is not None:
                return known
            rows = await db.fetch(
                f"DELETE FROM antiphon.memories m WHERE {condition}"  # noqa: S608
                " RETURNING id, text, superseded_by",
                value,
            )
            rows.sort(key=lambda row: row["superseded_by"] is not None)
            outcome = outcome_naming([(row["id"], row["text"]) for row in rows])
            await self._note(db, message_id, outcome)
        return outcome

    async def _note(
        self, db: Connection, message_id: str, outcome: Outcome, *, replaced: Sequence[str] = ()
    ) -> None:
        """Note ids alone: words may be deleted later."""
        await db.execute(
            "INSERT INTO antiphon.seen (message_id, ids, replaced, count, ts)"
            " VALUES ($1, $2, $3, $4, $5)",
            *(message_id, list(outcome.ids), list(replaced), outcome.count, self._now()),
        )

    async def prune(self, *, outcomes_before: float) -> None:
        """See the port."""
        async with self._server.transaction() as db:
            await db.execute("DELETE FROM antiphon.seen WHERE ts < $1", outcomes_before)

    # Reading

    async def rows(self, *, after: str, limit: int, where: Where, superseded: bool) -> list[Memory]:
        """See the port."""
        return await self._memories(
            f"WHERE {IN_SCOPES} AND m.id > $2 AND ($3 OR m.superseded_by IS NULL)"
            " ORDER BY m.id LIMIT $4",
            *(list(where.scopes), after, superseded, limit),
        )

    async def count(self, where: Where) -> int:
        """See the port."""
        async with self._server.connection() as db:
            return int(
                await db.fetchval(
                    f"SELECT count(*) FROM antiphon.memories m WHERE {IN_SCOPES}",  # noqa: S608
                    list(where.scopes),
                )
            )

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        """See the port. Exact: every vector is compared."""
        if self._dimension is None:
            return []
        if self._mirror is not None:
            return await self._similar_here(self._mirror, vector, limit=limit, where=where)
        async with self._server.connection() as db:
            rows = await db.fetch(
                f"SELECT {COLUMNS}, -(m.embedding <#> $5::real[]::vector) AS cosine"  # noqa: S608
                f" FROM antiphon.memories m WHERE m.embedding IS NOT NULL AND {MATCHES}"
                " ORDER BY m.embedding <#> $5::real[]::vector, m.number LIMIT $6",
                *(*values_of(where), vector.tolist(), limit),
            )
        return [Candidate(memory_of(row), row["cosine"]) for row in rows]

    async def _similar_here(
        self, mirror: MirroredVectors, vector: Vectors, *, limit: int, where: Where
    ) -> list[Candidate]:
        wanted = limit
        async with self._server.connection() as db:
            while True:
                found = await mirror.nearest(db, vector, limit=wanted, scopes=where.scopes)
                rows = await db.fetch(
                    f"SELECT m.number, {COLUMNS} FROM antiphon.memories m"  # noqa: S608
                    f" WHERE number = ANY($5::bigint[]) AND {MATCHES}",
                    *(*values_of(where), list(found)),
                )
                if len(rows) >= limit or len(found) < wanted:
                    break
                wanted *= WIDER  # the matrix knows scopes only; sources and times leave fewer
        memories = {row["number"]: memory_of(row) for row in rows}
        return [
            Candidate(memories[key], cosine) for key, cosine in found.items() if key in memories
        ][:limit]

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: Vectors | None,
    ) -> list[Candidate]:
        """See the port; instead of BM25 it is PostgreSQL's rank times BM25's weight of a word."""
        if not words:
            return []
        query = MATCHING.format(embedding=self._readable)
        async with self._server.connection() as db:
            rows = await db.fetch(query, *values_of(where), self._language, list(words), limit)
        return [Candidate(memory_of(row), cosine_of(row["embedding"], vector)) for row in rows]

    async def recent(self, *, limit: int, where: Where) -> list[Memory]:
        """See the port."""
        return await self._memories(
            f"WHERE {MATCHES} ORDER BY ts DESC, number DESC LIMIT $5", *values_of(where), limit
        )

    async def _memories(self, rest: str, *values: object) -> list[Memory]:
        async with self._server.connection() as db:
            rows = await db.fetch(f"SELECT {COLUMNS} FROM antiphon.memories m {rest}", *values)  # noqa: S608
        return [memory_of(row) for row in rows]
