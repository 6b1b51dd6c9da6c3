"""Texts in a database with their words and vectors, and the list of what changed: SQL for each.

Memories and chunks of documents are kept alike: texts in one table, vectors in another, because
rows of 1.5 kB would make every look at a text a page of its own; words in an FTS5 table; and every
change of what is beside the database numbered in `vector_changes`, which `Changes` reads.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

import numpy as np

from antiphon_memory.service import Where
from antiphon_memory.vectors import Vectors

MATCHES = (
    "(json_array_length(:scopes) = 0 OR m.scope IN (SELECT value FROM json_each(:scopes)))"
    " AND (json_array_length(:sources) = 0 OR m.source IN (SELECT value FROM json_each(:sources)))"
    " AND (:since IS NULL OR m.ts >= :since) AND (:until IS NULL OR m.ts < :until)"
)
"""What `values_of` gives the values of."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The SQL of one kind of text.

    Attributes:
        texts: table of the texts, with `row` and `embedded`.
        words: table of their words.
        rows: columns and source of what is found, as `m`; `m` has row, scope, source and ts.
        changed: what is there now of the rows that were changed since: row, scope, source, ts,
            embedding, number of the change, id, text; what is gone has no id.
        every: row, scope, source, ts and embedding of all that has a vector, some at a time.
        behind: name and text of the note while the disk takes no vectors.
    """

    texts: str
    words: str
    rows: tuple[str, str]
    changed: str
    every: str
    behind: tuple[str, str]

    @property
    def state(self) -> str:
        """The database's name, its last change, the first that is listed, and how many vectors."""
        count = f"SELECT count(*) FROM {self.texts}"  # noqa: S608  (a constant)
        named = "SELECT value FROM meta WHERE key = 'database'"
        last = "SELECT seq FROM sqlite_sequence WHERE name = 'vector_changes'"
        first = "SELECT min(seq) FROM vector_changes"
        have = f"({count}) - ({count} WHERE NOT embedded)"
        return f"SELECT ({named}), ifnull(({last}), 0), ({first}), {have}"


LISTED = "(SELECT row, max(seq) AS seq FROM vector_changes WHERE seq > ? GROUP BY row) c"
"""The rows that were changed since."""


def vectors_apart(texts: str) -> str:
    """Return SQL that moves a table's vectors to one of their own, and lists changes from then on.

    No index and no view speaks of the column `embedding`.
    """
    return f"""
ALTER TABLE {texts} ADD COLUMN embedded INTEGER NOT NULL DEFAULT 0;
CREATE TABLE vectors (row INTEGER PRIMARY KEY, embedding BLOB NOT NULL);
INSERT INTO vectors (row, embedding)
    SELECT row, embedding FROM {texts} WHERE embedding IS NOT NULL;
UPDATE {texts} SET embedded = 1 WHERE embedding IS NOT NULL;
ALTER TABLE {texts} DROP COLUMN embedding;
CREATE TABLE vector_changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL);
CREATE TRIGGER vectors_inserted AFTER INSERT ON vectors BEGIN
    UPDATE {texts} SET embedded = 1 WHERE row = new.row;
    INSERT INTO vector_changes (row) VALUES (new.row);
END;
CREATE TRIGGER vectors_replaced AFTER UPDATE ON vectors BEGIN
    INSERT INTO vector_changes (row) VALUES (new.row);
END;
CREATE TRIGGER {texts}_removed AFTER DELETE ON {texts} BEGIN
    DELETE FROM vectors WHERE row = old.row;
    INSERT INTO vector_changes (row) VALUES (old.row);
END;
"""  # noqa: S608  (constants)


def values_of(where: Where, **more: object) -> dict[str, object]:
    """Return the values of a statement with `MATCHES` in it."""
    return {
        "scopes": json.dumps(where.scopes),
        "sources": json.dumps(where.sources),
        "since": where.since,
        "until": where.until,
        **more,
    }


def blob(vector: Vectors) -> bytes:
    """Return a vector as it is stored: little-endian float32."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def store_vector(db: sqlite3.Connection, row: int, vector: Vectors) -> None:
    """Give a text its vector, in place of the one that it may have."""
    db.execute(
        "INSERT INTO vectors (row, embedding) VALUES (?, ?)"
        " ON CONFLICT (row) DO UPDATE SET embedding = excluded.embedding",
        (row, blob(vector)),
    )


def drop_vectors(db: sqlite3.Connection, texts: str, model: dict[str, str]) -> None:
    """Drop all vectors; from now on they are of another model."""
    db.execute("DELETE FROM vectors")
    db.execute(f"UPDATE {texts} SET embedded = 0 WHERE embedded")  # noqa: S608  (a constant)
    db.executemany("REPLACE INTO meta (key, value) VALUES (?, ?)", model.items())
