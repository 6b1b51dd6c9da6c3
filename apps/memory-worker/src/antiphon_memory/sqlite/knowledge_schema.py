"""Tables of the documents' file."""

from __future__ import annotations

from antiphon_memory.sqlite.database import SEEN, Schema
from antiphon_memory.sqlite.jobs import JOBS

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

SCHEMA = Schema((_DOCUMENTS + JOBS + SEEN,))
