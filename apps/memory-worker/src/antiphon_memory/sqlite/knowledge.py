"""Documents in one SQLite file: chunks, FTS5 for words, and a matrix beside it for meaning."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from antiphon_contracts import new_id

from antiphon_memory.embedding import Notes
from antiphon_memory.knowledge_store import Changes as ChunkChanges
from antiphon_memory.knowledge_store import Job, KnownDocument, Piece, Unembedded
from antiphon_memory.passages import Place, citation
from antiphon_memory.searching import Passage
from antiphon_memory.service import Candidate, Outcome, Where
from antiphon_memory.sqlite.changes import Changes
from antiphon_memory.sqlite.embeddings import Embeddings
from antiphon_memory.sqlite.file import SqliteFile, noted_reply
from antiphon_memory.sqlite.jobs import SqliteJobs, note_stored
from antiphon_memory.sqlite.knowledge_schema import SCHEMA, TABLES
from antiphon_memory.sqlite.tables import drop_vectors, store_vector
from antiphon_memory.sqlite.words import WordSearch
from antiphon_memory.turns import Turns
from antiphon_memory.vectors import Vectors

READERS = 2
SEARCHES_AT_ONCE = 4
"""The rest wait; see `antiphon_memory.sqlite.memories`."""

BETWEEN_HEADINGS = " > "


@dataclass(frozen=True, slots=True)
class _Plan:
    """What has to be written for a document's chunks."""

    new: list[tuple[int, Piece, bytes]]
    moved: list[tuple[int, str, int | None, int]]
    gone: list[int]
    kept: int


class SqliteKnowledge:
    """See `antiphon_memory.knowledge_store.KnowledgeStore` and `SqliteFile`.

    Args:
        path: the file; absolute.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.

    Attributes:
        embeddings: the vectors beside the file.
    """

    def __init__(self, path: Path, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, SCHEMA, notes, now=now, readers=READERS)
        self.embeddings = Embeddings(self._file, path.with_suffix(".vectors"), TABLES, notes)
        self._changes = Changes(self._file, TABLES, self.embeddings)
        self._words = WordSearch(self._file, TABLES, self.embeddings.passing)
        self._turns = Turns()
        self._searching = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._jobs = SqliteJobs(self._file, now=now)

    @property
    def jobs(self) -> SqliteJobs:
        """See the port."""
        return self._jobs

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        async with self._file.open(), self.embeddings.open():
            yield

    # Vectors

    async def adopt_model(self, name: str, dimension: int) -> None:
        """See the port. Makes the vectors' files anew where they are not in step."""
        wanted = {"model": name, "dimension": str(dimension)}
        known = await self._file.read(
            "SELECT key, value FROM meta WHERE key IN ('model', 'dimension')"
        )
        if {row[0]: row[1] for row in known} != wanted:
            await self._changes.write(drop_vectors, TABLES.texts, wanted)
        await self.embeddings.adopt(name, dimension)

    async def count_unembedded(self, document_id: str | None = None) -> int:
        """See the port."""
        ((count,),) = await self._file.read(
            "SELECT count(*) FROM chunks WHERE NOT embedded"
            " AND (? IS NULL OR document = (SELECT row FROM documents WHERE id = ?))",
            (document_id, document_id),
        )
        return int(count)

    async def unembedded(self, limit: int, document_id: str | None = None) -> list[Unembedded]:
        """See the port."""
        rows = await self._file.read(
            "SELECT id, heading, text FROM chunks WHERE NOT embedded"
            " AND (? IS NULL OR document = (SELECT row FROM documents WHERE id = ?))"
            " ORDER BY document, row LIMIT ?",
            (document_id, document_id, limit),
        )
        return [Unembedded(row[0], f"{row[1]}\n{row[2]}" if row[1] else row[2]) for row in rows]

    async def set_vectors(self, ids: Sequence[str], vectors: Vectors) -> None:
        """See the port."""
        await self._changes.write(_store_vectors, ids, vectors)

    # Writing

    async def put(
        self, document: KnownDocument, pieces: Sequence[Piece], job: Job | None = None
    ) -> ChunkChanges:
        """See the port."""
        return await self._changes.write(_put, document, pieces, job)

    async def touch(
        self, document_id: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> None:
        """See the port."""
        await self._file.write(_touch, document_id, etag, last_modified)

    async def remove(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """See the port."""
        return await self._changes.write(self._remove, message_id, ids)

    def _remove(self, db: sqlite3.Connection, message_id: str, ids: Sequence[str]) -> Outcome:
        known = noted_reply(db, message_id)
        if known is not None:
            stored = json.loads(known)
            return Outcome(tuple(stored["ids"]), tuple(stored["titles"]))
        wanted = json.dumps(list(ids))
        db.execute(
            "DELETE FROM chunks WHERE document IN (SELECT row FROM documents"
            " WHERE id IN (SELECT value FROM json_each(?)))",
            (wanted,),
        )
        rows = db.execute(
            "DELETE FROM documents WHERE id IN (SELECT value FROM json_each(?))"
            " RETURNING id, title",
            (wanted,),
        ).fetchall()
        outcome = Outcome(tuple(row[0] for row in rows), tuple(row[1] for row in rows))
        reply = json.dumps({"ids": outcome.ids, "titles": outcome.texts})
        self._file.note_reply(db, message_id, reply)
        return outcome

    async def prune(self, *, outcomes_before: float) -> None:
        """See the port."""
        await self._file.forget_replies(outcomes_before)

    # Reading

    async def find(self, document_id: str) -> KnownDocument | None:
        """See the port."""
        return _first(await self._file.read("SELECT * FROM listed WHERE id = ?", (document_id,)))

    async def find_source(self, source: str, scope: str) -> KnownDocument | None:
        """See the port."""
        return _first(
            await self._file.read(
                "SELECT * FROM listed WHERE source = ? AND scope = ?", (source, scope)
            )
        )

    async def find_content(self, sha256: str, scope: str) -> KnownDocument | None:
        """See the port."""
        return _first(
            await self._file.read(
                "SELECT * FROM listed WHERE sha256 = ? AND scope = ? LIMIT 1", (sha256, scope)
            )
        )

    async def documents(self, *, limit: int, after: str | None) -> list[KnownDocument]:
        """See the port."""
        rows = await self._file.read(
            "SELECT * FROM listed"
            " WHERE row > coalesce((SELECT row FROM documents WHERE id = ?), 0)"
            " ORDER BY row LIMIT ?",
            (after, limit),
        )
        return [KnownDocument(*row[1:]) for row in rows]

    async def with_address(self) -> list[str]:
        """See the port."""
        rows = await self._file.read(
            "SELECT id FROM documents WHERE source LIKE 'http://%' OR source LIKE 'https://%'"
            " ORDER BY row"
        )
        return [row[0] for row in rows]

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        """See the port."""
        if where.sources:  # they are sources of memories
            return []
        await self._changes.make_up()
        found = await self._turns.take(self.embeddings.search_here, vector, limit, where)
        async with self._searching:
            if found is None:
                found = await self.embeddings.search(vector, limit, where)
            if not found:
                return []
            rows = await self._file.read(
                "SELECT * FROM passages WHERE row IN (SELECT value FROM json_each(?))",
                (json.dumps([row for row, _ in found]),),
            )
        passages = {row[0]: _passage(row) for row in rows}
        return [Candidate(passages[row], cosine) for row, cosine in found if row in passages]

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: Vectors | None,
    ) -> list[Candidate]:
        """See the port, and `antiphon_memory.sqlite.words`."""
        if not words or where.sources:
            return []
        async with self._searching:
            rows = await self._words.rows(words, limit=limit, where=where)
        asked = [row[0] for row in rows]
        cosines = self.embeddings.cosines_here(asked, vector)
        if cosines is None:
            cosines = await self.embeddings.cosines(asked, vector)
        return [Candidate(_passage(row), cosines.get(row[0])) for row in rows]

    async def texts_at(self, places: Collection[Place]) -> dict[Place, str]:
        """See the port."""
        rows = await self._file.read(
            "SELECT d.id, c.ordinal, c.text FROM json_each(?) wanted"
            " JOIN documents d ON d.id = json_extract(wanted.value, '$[0]')"
            " JOIN chunks c ON c.document = d.row"
            " AND c.ordinal = json_extract(wanted.value, '$[1]')",
            (json.dumps(sorted(places)),),
        )
        return {(row[0], row[1]): row[2] for row in rows}


def _store_vectors(db: sqlite3.Connection, ids: Sequence[str], vectors: Vectors) -> None:
    for chunk_id, vector in zip(ids, vectors, strict=True):
        row = db.execute("SELECT row FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
        if row is not None:
            store_vector(db, row[0], vector)


def _put(
    db: sqlite3.Connection, document: KnownDocument, pieces: Sequence[Piece], job: Job | None
) -> ChunkChanges:
    row, document_id = _put_document(db, document)
    known = db.execute(
        "SELECT row, digest FROM chunks WHERE document = ? ORDER BY ordinal", (row,)
    ).fetchall()
    plan = _planned(pieces, [(chunk[0], chunk[1]) for chunk in known])
    _write(db, row, plan)
    changes = ChunkChanges(document_id, len(plan.new), plan.kept, len(plan.gone))
    if job is not None:
        tally = replace(
            job.tally,
            title=document.title,
            documents=1,
            added=changes.added,
            kept=changes.kept,
            removed=changes.removed,
        )
        note_stored(db, job, document_id, tally)
    return changes


def _touch(
    db: sqlite3.Connection, document_id: str, etag: str | None, last_modified: str | None
) -> None:
    db.execute(
        "UPDATE documents SET etag = ?, last_modified = ? WHERE id = ?",
        (etag, last_modified, document_id),
    )


def _put_document(db: sqlite3.Connection, document: KnownDocument) -> tuple[int, str]:
    """Insert a document, or change the one with its scope and source; return row and id."""
    ((row, document_id),) = db.execute(
        "INSERT INTO documents"
        " (id, title, source, scope, sha256, size_bytes, ts, etag, last_modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, source) DO UPDATE SET"
        " title = excluded.title, sha256 = excluded.sha256, size_bytes = excluded.size_bytes,"
        " ts = excluded.ts, etag = excluded.etag, last_modified = excluded.last_modified"
        " RETURNING row, id",
        (
            document.id,
            document.title,
            document.source,
            document.scope,
            document.sha256,
            document.size_bytes,
            document.ts,
            document.etag,
            document.last_modified,
        ),
    )
    return int(row), str(document_id)


def _planned(pieces: Sequence[Piece], known: Sequence[tuple[int, bytes]]) -> _Plan:
    """Return what differs: the same words under the same headings stay the same chunk."""
    free: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in reversed(known):
        free[digest].append(row)
    new: list[tuple[int, Piece, bytes]] = []
    moved: list[tuple[int, str, int | None, int]] = []
    for ordinal, piece in enumerate(pieces):
        digest = _digest(piece)
        if free[digest]:
            moved.append((ordinal, piece.anchor, piece.page, free[digest].pop()))
        else:
            new.append((ordinal, piece, digest))
    gone = [row for rows in free.values() for row in rows]
    return _Plan(new, moved, gone, len(moved))


def _write(db: sqlite3.Connection, document: int, plan: _Plan) -> None:
    db.execute(
        "DELETE FROM chunks WHERE row IN (SELECT value FROM json_each(?))", (json.dumps(plan.gone),)
    )
    db.executemany("UPDATE chunks SET ordinal = ?, anchor = ?, page = ? WHERE row = ?", plan.moved)
    db.executemany(
        "INSERT INTO chunks (id, document, ordinal, text, heading, anchor, page, digest)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                new_id(),
                document,
                ordinal,
                piece.text,
                BETWEEN_HEADINGS.join(piece.heading),
                piece.anchor,
                piece.page,
                digest,
            )
            for ordinal, piece, digest in plan.new
        ],
    )


def _digest(piece: Piece) -> bytes:
    return hashlib.sha256("\0".join((*piece.heading, piece.text)).encode()).digest()


def _first(rows: Sequence[sqlite3.Row]) -> KnownDocument | None:
    return KnownDocument(*rows[0][1:]) if rows else None


def _passage(row: sqlite3.Row) -> Passage:
    heading = [part for part in row[3].split(BETWEEN_HEADINGS) if part]
    return Passage(
        id=row[1],
        text=row[2],
        source=citation(row[8], heading, row[5]),
        scope=row[10],
        ts=row[11],
        document_id=row[7],
        ordinal=row[6],
        title=row[8],
        address=row[9],
        anchor=row[4],
    )
