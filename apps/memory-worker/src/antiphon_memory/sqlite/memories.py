"""Memories in one SQLite file: rows, FTS5 for words, and a matrix beside it for meaning."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from antiphon_memory.embedding import Notes
from antiphon_memory.service import Candidate, Memory, Outcome, Where
from antiphon_memory.sqlite.at_hand import AtHand
from antiphon_memory.sqlite.changes import Changes
from antiphon_memory.sqlite.embeddings import Embeddings
from antiphon_memory.sqlite.file import SqliteFile, noted_reply
from antiphon_memory.sqlite.rows import (
    ALL_ROWS,
    CHAIN,
    COLUMNS,
    MAX_NAMED,
    SCHEMA,
    TABLES,
    confirm,
    insert,
    memory_of,
    outcome_of_reply,
    outcome_of_rows,
    reply_of,
    restore_row,
    supersede,
)
from antiphon_memory.sqlite.tables import MATCHES, drop_vectors, store_vector, values_of
from antiphon_memory.sqlite.words import MAX_WORDS, WordSearch
from antiphon_memory.turns import Turns
from antiphon_memory.vectors import Vectors

READERS = 3
SEARCHES_AT_ONCE = 4
"""The rest wait: a hundred at once are no faster, and writers and the loop would wait for all."""


class SqliteStore:
    """See `antiphon_memory.service.MemoryStore` and `SqliteFile`.

    Args:
        path: the file; absolute.
        notes: is told if it was damaged.
        now: the clock, in seconds since the epoch.

    Attributes:
        embeddings: the vectors beside the file.
        at_hand: the memories themselves, if they are not many.
    """

    def __init__(self, path: Path, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, SCHEMA, notes, now=now, readers=READERS)
        self.embeddings = Embeddings(self._file, path.with_suffix(".vectors"), TABLES, notes)
        self._words = WordSearch(self._file, TABLES, self.embeddings.passing)
        self.at_hand = AtHand(self._file)
        self._turns = Turns()
        self._searching = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._changes = Changes(self._file, TABLES, self.at_hand, self.embeddings)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        async with self._file.open(), self.at_hand.open(), self.embeddings.open():
            yield

    # Vectors

    async def adopt_model(self, name: str, dimension: int) -> None:
        """See the port. Makes the vectors' files anew where they are not in step."""
        wanted = {"model": name, "dimension": str(dimension)}
        rows = await self._file.read(
            "SELECT key, value FROM meta WHERE key IN ('model', 'dimension')"
        )
        if {row[0]: row[1] for row in rows} != wanted:
            await self._changes.write(drop_vectors, TABLES.texts, wanted)
        await self.embeddings.adopt(name, dimension)

    async def model(self) -> tuple[str, int] | None:
        """See the port."""
        meta = {row[0]: row[1] for row in await self._file.read("SELECT key, value FROM meta")}
        return (meta["model"], int(meta["dimension"])) if "model" in meta else None

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """See the port."""
        rows = await self._file.read(
            "SELECT m.id, v.embedding FROM memories m JOIN vectors v ON v.row = m.row"
            " WHERE m.id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )
        return {row[0]: np.frombuffer(row[1], dtype="<f4").astype(np.float32) for row in rows}

    async def count_unembedded(self) -> int:
        """See the port."""
        ((count,),) = await self._file.read("SELECT count(*) FROM memories WHERE NOT embedded")
        return int(count)

    async def unembedded(self, limit: int) -> list[Memory]:
        """See the port."""
        rows = await self._file.read(
            "SELECT m.row, m.id, m.text, m.source, m.scope, m.ts FROM memories m"
            " WHERE NOT embedded ORDER BY row LIMIT ?",
            (limit,),
        )
        return [memory_of(row) for row in rows]

    async def set_vectors(self, ids: Sequence[str], vectors: Vectors) -> None:
        """See the port."""
        await self._changes.write(_store_vectors, ids, vectors)

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
        outcome = await self._changes.write(
            self._remember, message_id, memory, vector, same, tuple(replaces)
        )
        return outcome or await self._known(message_id)

    def _remember(
        self,
        db: sqlite3.Connection,
        message_id: str,
        memory: Memory,
        vector: Vectors | None,
        same: str | None,
        replaces: Sequence[str],
    ) -> Outcome | None:
        """Return what it did; None if the message was carried out before."""
        if noted_reply(db, message_id) is not None:
            return None
        outcome = confirm(db, memory, same)
        if outcome is None:
            insert(db, memory, vector)
            outcome = Outcome((memory.id,), (memory.text,), count=1)
        gone = supersede(db, replaces, outcome.ids[0])
        outcome = replace(outcome, replaced=tuple(row[2] for row in gone))
        self._file.note_reply(db, message_id, reply_of(outcome, [row[1] for row in gone]))
        return outcome

    async def _known(self, message_id: str) -> Outcome:
        return await self.outcome_of(message_id) or Outcome()

    async def restore(self, message_id: str, memories: Sequence[Memory]) -> Outcome:
        """See the port."""
        outcome = await self._changes.write(self._restore, message_id, memories)
        return outcome or await self._known(message_id)

    def _restore(
        self, db: sqlite3.Connection, message_id: str, memories: Sequence[Memory]
    ) -> Outcome | None:
        if noted_reply(db, message_id) is not None:
            return None
        outcome = outcome_of_rows([one for one in memories if restore_row(db, one)])
        self._file.note_reply(db, message_id, reply_of(outcome))
        return outcome

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
        outcome = await self._changes.write(self._overwrite, message_id, before, condition, value)
        if outcome is None:
            return await self._known(message_id)
        if outcome.count:
            await self._file.checkpoint()
        return outcome

    def _overwrite(
        self, db: sqlite3.Connection, message_id: str, before: str, condition: str, value: str
    ) -> Outcome | None:
        if noted_reply(db, message_id) is not None:
            return None
        rows, old = [
            db.execute(
                f"{before} DELETE FROM {table} WHERE {condition} RETURNING rowid, id, text",  # noqa: S608  (constants)
                (value,),
            ).fetchall()
            for table in ("memories", "superseded")
        ]
        named = (rows + old)[:MAX_NAMED]
        outcome = Outcome(
            tuple(row[1] for row in named),
            tuple(row[2] for row in named),
            count=len(rows) + len(old),
        )
        # The index keeps the words of a deleted row until its segments are merged.
        db.execute("INSERT INTO memories_fts (memories_fts) VALUES ('optimize')")
        self._file.note_reply(db, message_id, reply_of(outcome))
        return outcome

    async def prune(self, *, outcomes_before: float) -> None:
        """See the port."""
        await self._file.forget_replies(outcomes_before)

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
        await self._changes.make_up()
        here = await self._turns.take(self._similar_here, vector, limit, where)
        if here is not None:
            return here
        async with self._searching:
            found = await self.embeddings.search(vector, limit, where)
            memories = await self._memories([row for row, _ in found])
        return [Candidate(memories[row], cosine) for row, cosine in found if row in memories]

    def _similar_here(self, vector: Vectors, limit: int, where: Where) -> list[Candidate] | None:
        """Return it if that needs no thread."""
        at_hand = self.at_hand
        if at_hand.change is None:
            return None
        found = self.embeddings.search_here(vector, limit, where)
        if found is None:
            return None
        return [
            Candidate(at_hand.memory(row), cosine) for row, cosine in found if row in at_hand.rows
        ]

    async def _memories(self, rows: Sequence[int]) -> dict[int, Memory]:
        read = await self._file.read(
            f"SELECT {COLUMNS} FROM memories m"  # noqa: S608  (a constant)
            " WHERE row IN (SELECT value FROM json_each(?))",
            (json.dumps(rows),),
        )
        return {row[0]: memory_of(row) for row in read}

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: Vectors | None,
    ) -> list[Candidate]:
        """See the port, and `antiphon_memory.sqlite.words`."""
        words = words[:MAX_WORDS]
        if not words:
            return []
        await self._changes.make_up()
        here = await self._turns.take(self._matching_here, words, limit, where, vector)
        if here is not None:
            return here
        async with self._searching:
            rows = await self._words.rows(words, limit=limit, where=where)
            cosines = await self.embeddings.cosines([row[0] for row in rows], vector)
        return [Candidate(memory_of(row), cosines.get(row[0])) for row in rows]

    def _matching_here(
        self, words: Sequence[str], limit: int, where: Where, vector: Vectors | None
    ) -> list[Candidate] | None:
        """Return it if that needs no thread."""
        found = self.at_hand.matching(words, limit, where)
        if found is None:
            return None
        cosines = self.embeddings.cosines_here(found, vector)
        if cosines is None:
            return None
        return [Candidate(self.at_hand.memory(row), cosines.get(row)) for row in found]

    async def recent(self, *, limit: int, where: Where) -> list[Memory]:
        """See the port."""
        rows = await self._file.read(
            f"SELECT {COLUMNS} FROM memories m WHERE {MATCHES}"  # noqa: S608  (constants)
            " ORDER BY m.ts DESC, m.row DESC LIMIT :limit",
            values_of(where, limit=limit),
        )
        return [memory_of(row) for row in rows]


def _store_vectors(db: sqlite3.Connection, ids: Sequence[str], vectors: Vectors) -> None:
    for memory_id, vector in zip(ids, vectors, strict=True):
        row = db.execute("SELECT row FROM memories WHERE id = ?", (memory_id,)).fetchone()
        if row is not None:
            store_vector(db, row[0], vector)
