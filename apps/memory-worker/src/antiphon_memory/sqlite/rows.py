"""Memories as rows: tables, statements, and what stands in a row."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from antiphon_memory.service import Memory, Outcome
from antiphon_memory.sqlite.database import SEEN, Schema
from antiphon_memory.sqlite.tables import LISTED, Tables, store_vector, vectors_apart
from antiphon_memory.vectors import Vectors

Row = tuple[int, str, str, str, str, float]
"""Of `COLUMNS`. Tuples, because the garbage collector looks at them once, at objects each time."""

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""FTS5's, for the words of memories."""

MEMORIES = f"""
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
    tokenize = '{TOKENIZER}'
);
CREATE TRIGGER memories_inserted AFTER INSERT ON memories BEGIN
    INSERT INTO memories_fts (rowid, text) VALUES (new.row, new.text);
END;
CREATE TRIGGER memories_deleted AFTER DELETE ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.row, old.text);
END;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""  # noqa: S608  (a constant)

# What was replaced stands in a table of its own: no search looks there.
_SUPERSEDED = """
CREATE TABLE superseded (
    id TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    source TEXT NOT NULL,
    scope TEXT NOT NULL,
    ts REAL NOT NULL,
    superseded_by TEXT NOT NULL
);
CREATE INDEX superseded_by_id ON superseded (superseded_by);
"""
# Version 1 noted the words of what it wrote and deleted; ids say enough.
_SCRUB = """
UPDATE seen SET reply = json_remove(reply, '$.texts') WHERE json_valid(reply);
"""

_VECTORS = f"""
DROP INDEX memories_unembedded;
{vectors_apart("memories")}
CREATE INDEX memories_unembedded ON memories (row) WHERE NOT embedded;
CREATE TRIGGER memories_described AFTER UPDATE OF ts, scope, source ON memories BEGIN
    INSERT INTO vector_changes (row) VALUES (new.row);
END;
"""  # noqa: S608  (constants)

# So that the list says all that a copy of the memories needs (`AtHand`).
_ADDED = """
CREATE TRIGGER memories_added AFTER INSERT ON memories BEGIN
    INSERT INTO vector_changes (row) VALUES (new.row);
END;
"""

SCHEMA = Schema(
    (MEMORIES + SEEN, _SUPERSEDED + _SCRUB, _VECTORS, _ADDED),
    checked=(
        "memories",
        "superseded",
        "memories_fts_data",
        "memories_fts_idx",
        "memories_fts_docsize",
        "seen",
    ),
)

COLUMNS = "m.row, m.id, m.text, m.source, m.scope, m.ts"
TABLES = Tables(
    texts="memories",
    words="memories_fts",
    rows=(COLUMNS, "memories m"),
    changed="SELECT c.row, m.scope, m.source, m.ts, v.embedding, c.seq, m.id, m.text"  # noqa: S608  (constants)
    f" FROM {LISTED} LEFT JOIN memories m ON m.row = c.row LEFT JOIN vectors v ON v.row = c.row",
    every="SELECT m.row, m.scope, m.source, m.ts, v.embedding FROM vectors v"
    " JOIN memories m ON m.row = v.row WHERE v.row > ? ORDER BY v.row LIMIT ?",
    behind=("vectors", "My newest memories are found by words only; make room on the disk."),
)
ALL_ROWS = (
    "SELECT 0 AS row, id, text, source, scope, ts, NULL AS superseded_by FROM memories"
    " UNION ALL SELECT 0, id, text, source, scope, ts, superseded_by FROM superseded"
)
# A memory and, however long the chain, what it superseded.
CHAIN = (
    "WITH RECURSIVE chain(id) AS (SELECT value FROM json_each(?)"
    " UNION SELECT s.id FROM superseded s JOIN chain c ON s.superseded_by = c.id)"
)
MAX_NAMED = 100


def digest(text: str) -> bytes:
    """Return what two texts share that differ in case alone."""
    return hashlib.sha256(text.casefold().encode()).digest()


def insert(db: sqlite3.Connection, memory: Memory, vector: Vectors | None) -> None:
    """Insert a memory; no other has its id, or its text in its scope."""
    ((row,),) = db.execute(
        "INSERT INTO memories (id, text, source, scope, ts, digest)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING row",
        (memory.id, memory.text, memory.source, memory.scope, memory.ts, digest(memory.text)),
    ).fetchall()
    if vector is not None:
        store_vector(db, row, vector)


def confirm(db: sqlite3.Connection, memory: Memory, same: str | None) -> Outcome | None:
    """Give the memory that says the same the new time; None if there is none."""
    rows = db.execute(
        "UPDATE memories SET ts = max(ts, ?) WHERE (scope = ? AND digest = ?) OR id = ?"
        " RETURNING id, text",
        (memory.ts, memory.scope, digest(memory.text), same),
    ).fetchall()
    return Outcome((rows[0][0],), (rows[0][1],), count=1) if rows else None


def supersede(db: sqlite3.Connection, ids: Sequence[str], by: str) -> list[sqlite3.Row]:
    """Move memories to where no search looks; returns row, id and text of each."""
    named = json.dumps([one for one in ids if one != by])
    db.execute(
        "INSERT OR REPLACE INTO superseded (id, text, source, scope, ts, superseded_by)"
        " SELECT id, text, source, scope, ts, ? FROM memories"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (by, named),
    )
    return db.execute(
        "DELETE FROM memories WHERE id IN (SELECT value FROM json_each(?)) RETURNING row, id, text",
        (named,),
    ).fetchall()


def restore_row(db: sqlite3.Connection, memory: Memory) -> bool:
    """Insert a memory that is not there; returns whether it was not."""
    there = db.execute(
        f"SELECT 1 FROM ({ALL_ROWS}) m WHERE m.id = ?",  # noqa: S608  (a constant)
        (memory.id,),
    )
    if there.fetchone():
        return False
    values = (memory.id, memory.text, memory.source, memory.scope, memory.ts)
    if memory.superseded_by is not None:
        db.execute(
            "INSERT INTO superseded (id, text, source, scope, ts, superseded_by)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (*values, memory.superseded_by),
        )
        return True
    inserted = db.execute(
        "INSERT INTO memories (id, text, source, scope, ts, digest) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING RETURNING row",
        (*values, digest(memory.text)),
    )
    return bool(inserted.fetchall())


def memory_of(row: sqlite3.Row | Row) -> Memory:
    """Return the memory in a row of `COLUMNS`, or of `ALL_ROWS`."""
    _, *fields = row
    return Memory(*fields)


def outcome_of_rows(memories: Sequence[Memory]) -> Outcome:
    """Return the outcome of having written memories."""
    named = memories[:MAX_NAMED]
    return Outcome(
        tuple(one.id for one in named), tuple(one.text for one in named), count=len(memories)
    )


def reply_of(outcome: Outcome, replaced: Sequence[str] = ()) -> str:
    """Return what is noted of a write: ids alone, because words may be deleted later."""
    return json.dumps({"ids": outcome.ids, "replaced": replaced, "count": outcome.count})


def outcome_of_reply(done: dict[str, Any], texts: dict[str, str]) -> Outcome:
    """Return the outcome that was noted; `texts` are those that are still there, by id."""
    return Outcome(
        tuple(done["ids"]),
        tuple(texts[one] for one in done["ids"] if one in texts),
        tuple(texts[one] for one in done.get("replaced", ()) if one in texts),
        done.get("count", len(done["ids"])),
    )
