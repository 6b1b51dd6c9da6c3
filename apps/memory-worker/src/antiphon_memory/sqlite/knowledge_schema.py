"""Tables of the documents' file."""

from __future__ import annotations

from antiphon_memory.sqlite.database import SEEN, Schema
from antiphon_memory.sqlite.jobs import JOBS
from antiphon_memory.sqlite.tables import LISTED, Tables, vectors_apart

_DOCUMENTS = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    source TEXT NOT NULL,
    scope TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    ts REAL NOT NULL,
    etag TEXT,
    last_modified TEXT,
    UNIQUE (scope, source)
);
CREATE INDEX documents_by_content ON documents (sha256);
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES documents (row),
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    heading TEXT NOT NULL,
    anchor TEXT NOT NULL,
    page INTEGER,
    digest BLOB NOT NULL,
    embedding BLOB
);
CREATE INDEX chunks_by_place ON chunks (document, ordinal);
CREATE INDEX chunks_unembedded ON chunks (document, row) WHERE embedding IS NULL;
CREATE VIRTUAL TABLE chunks_fts USING fts5 (
    text, heading, content = 'chunks', content_rowid = 'row',
    tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER chunks_inserted AFTER INSERT ON chunks BEGIN
    INSERT INTO chunks_fts (rowid, text, heading) VALUES (new.row, new.text, new.heading);
END;
CREATE TRIGGER chunks_deleted AFTER DELETE ON chunks BEGIN
    INSERT INTO chunks_fts (chunks_fts, rowid, text, heading)
        VALUES ('delete', old.row, old.text, old.heading);
END;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE VIEW passages AS
SELECT c.row, c.id, c.text, c.heading, c.anchor, c.page, c.ordinal,
    d.id AS document_id, d.title, d.source, d.scope, d.ts
FROM chunks c JOIN documents d ON d.row = c.document;
CREATE VIEW listed AS
SELECT d.row, d.id, d.title, d.source, d.scope, d.sha256, d.size_bytes, d.ts, d.etag,
    d.last_modified, (SELECT count(*) FROM chunks WHERE document = d.row),
    (SELECT count(*) FROM chunks WHERE document = d.row)
        - (SELECT count(*) FROM chunks WHERE document = d.row AND embedding IS NULL)
FROM documents d;
"""

# Vectors as memories have them. A document's time is its chunks' time.
_VECTORS = f"""
DROP VIEW listed;
DROP INDEX chunks_unembedded;
{vectors_apart("chunks")}
CREATE INDEX chunks_unembedded ON chunks (document, row) WHERE NOT embedded;
CREATE TRIGGER documents_described AFTER UPDATE OF ts, scope ON documents BEGIN
    INSERT INTO vector_changes (row) SELECT row FROM chunks WHERE document = new.row AND embedded;
END;
CREATE VIEW listed AS
SELECT d.row, d.id, d.title, d.source, d.scope, d.sha256, d.size_bytes, d.ts, d.etag,
    d.last_modified, (SELECT count(*) FROM chunks WHERE document = d.row),
    (SELECT count(*) FROM chunks WHERE document = d.row)
        - (SELECT count(*) FROM chunks WHERE document = d.row AND NOT embedded)
FROM documents d;
"""  # noqa: S608  (constants)

SCHEMA = Schema(
    (_DOCUMENTS + JOBS + SEEN, _VECTORS),
    checked=(
        "documents",
        "chunks",
        "chunks_fts_data",
        "chunks_fts_idx",
        "chunks_fts_docsize",
        "jobs",
        "seen",
    ),
)

TABLES = Tables(
    texts="chunks",
    words="chunks_fts",
    rows=("m.*", "passages m"),
    changed="SELECT c.row, d.scope, '', d.ts, v.embedding, c.seq, k.id, k.text"  # noqa: S608  (constants)
    f" FROM {LISTED} LEFT JOIN chunks k ON k.row = c.row"
    " LEFT JOIN documents d ON d.row = k.document LEFT JOIN vectors v ON v.row = c.row",
    every="SELECT v.row, d.scope, '', d.ts, v.embedding FROM vectors v"
    " JOIN chunks k ON k.row = v.row JOIN documents d ON d.row = k.document"
    " WHERE v.row > ? ORDER BY v.row LIMIT ?",
    behind=(
        "document_vectors",
        "My newest documents are found by words only; make room on the disk.",
    ),
)
