"""Memories as rows: statements, and what stands in a row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import asyncpg
import numpy as np

from antiphon_memory.postgres.matrix import Vectors, from_bytes
from antiphon_memory.postgres.server import Connection
from antiphon_memory.service import Memory, Outcome, Where

MAX_NAMED = 100
"""How many ids and texts an outcome names."""


COLUMNS = "m.id, m.text, m.source, m.scope, m.ts, m.superseded_by"
IN_SCOPES = "(cardinality($1::text[]) = 0 OR m.scope = ANY($1::text[]))"
# Four values: scopes, sources, since, until.
MATCHES = (
    f"m.superseded_by IS NULL AND {IN_SCOPES}"
    " AND (cardinality($2::text[]) = 0 OR m.source = ANY($2::text[]))"
    " AND ($3::float8 IS NULL OR m.ts >= $3) AND ($4::float8 IS NULL OR m.ts < $4)"
)
WITHOUT_VECTOR = "embedding IS NULL AND superseded_by IS NULL"
CHANGE = "nextval('antiphon.changes')"

# Each word's rank, which grows ever more slowly with its frequency, times its inverse document
# frequency as in BM25. The planner's estimate of the number of rows will do for that.
MATCHING = f"""
WITH asked AS (
    SELECT q, (SELECT count(*) FROM antiphon.memories WHERE words @@ q) AS n
    FROM (SELECT plainto_tsquery($5::regconfig, antiphon.fold(word)) AS q
          FROM unnest($6::text[]) AS word) AS words
    WHERE numnode(q) > 0
), total AS (
    SELECT greatest(100, 2 * (SELECT max(n) FROM asked), reltuples) AS n
    FROM pg_class WHERE oid = 'antiphon.memories'::regclass
)
SELECT {COLUMNS}, m.embedding{{embedding}} AS embedding,
    sum(ln(1 + (total.n - asked.n + 0.5) / (asked.n + 0.5)) * ts_rank(m.words, q, 1)) AS score
FROM asked JOIN antiphon.memories m ON m.words @@ asked.q, total
WHERE {MATCHES}
GROUP BY m.number ORDER BY score DESC, m.number LIMIT $7
"""  # noqa: S608  (constants only)
CHAIN = (
    'WITH RECURSIVE chain(id) AS (SELECT unnest($1::text[]) COLLATE "C"'
    " UNION SELECT m.id FROM antiphon.memories m JOIN chain c ON m.superseded_by = c.id)"
    " SELECT id FROM chain"
)


async def noted_outcome(db: Connection, message_id: str) -> Outcome | None:
    """Return what was noted of a message; texts are those still stored."""
    seen = await db.fetchrow("SELECT * FROM antiphon.seen WHERE message_id = $1", message_id)
    if seen is None:
        return None
    rows = await db.fetch(
        "SELECT id, text FROM antiphon.memories WHERE id = ANY($1::text[])",
        [*seen["ids"], *seen["replaced"]],
    )
    texts = {row["id"]: row["text"] for row in rows}
    return Outcome(
        tuple(seen["ids"]),
        tuple(texts[one] for one in seen["ids"] if one in texts),
        tuple(texts[one] for one in seen["replaced"] if one in texts),
        seen["count"],
    )


def outcome_naming(done: Sequence[tuple[str, str]]) -> Outcome:
    """Return the outcome for rows of id and text."""
    named = done[:MAX_NAMED]
    return Outcome(
        tuple(one for one, _ in named), tuple(text for _, text in named), count=len(done)
    )


def values_of(where: Where) -> tuple[list[str], list[str], float | None, float | None]:
    """Return the values of `MATCHES`."""
    return list(where.scopes), list(where.sources), where.since, where.until


def memory_of(row: asyncpg.Record) -> Memory:
    """Return the memory in a row of `COLUMNS`."""
    return Memory(
        row["id"], row["text"], row["source"], row["scope"], row["ts"], row["superseded_by"]
    )


def vector_of(stored: bytes | list[float]) -> Vectors:
    """Return a vector out of either kind of column."""
    if isinstance(stored, bytes):
        return from_bytes(stored)
    return np.asarray(stored, dtype=np.float32)


def cosine_of(stored: bytes | list[float] | None, vector: Vectors | None) -> float | None:
    """Return the cosine of two unit vectors; None where one is missing."""
    if stored is None or vector is None:
        return None
    other = vector_of(stored)
    return float(other @ vector) if other.shape == vector.shape else None


def digest(text: str) -> bytes:
    """Return what two texts share that differ in case alone."""
    return hashlib.sha256(text.casefold().encode()).digest()
