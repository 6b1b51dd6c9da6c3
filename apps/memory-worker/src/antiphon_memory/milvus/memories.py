"""Memories on a Milvus server: rows with BM25 over their words and the vectors of their meaning."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from antiphon_contracts import ConfigError, EngineError

from antiphon_memory.milvus import schema
from antiphon_memory.milvus.rows import (
    HOLDS,
    MAX_NAMED,
    OF_MEMORY,
    WHOLE,
    Fields,
    Note,
    Vectors,
    among,
    confirmed,
    cosine_of,
    digest,
    fitting,
    folded,
    in_parts,
    memory_of,
    outcome_naming,
    quoted,
    row_of,
    telling_the_same,
    vector_in,
    with_vector,
    within,
)
from antiphon_memory.milvus.server import MOST_AT_ONCE, ROWS_AT_ONCE, MilvusServer
from antiphon_memory.milvus.writing import Work, Writing
from antiphon_memory.service import Candidate, Memory, Outcome, Where

BISECTIONS = 64
FEW = 1024
"""So many times are looked through at once for the newest memories."""

DAY_S = 86_400.0
WITHOUT_VECTOR = f"is_embedded == false and {HOLDS}"


class MilvusMemories:
    """See `antiphon_memory.service.MemoryStore`.

    One process at a time may write: two that hear the same text in the same moment would both
    keep it.

    Args:
        url: of the server, with the name of a database as its path, or a path that ends in `.db`
            for Milvus Lite.
        token: `user:password` or an API key; empty is none.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, url: str, *, token: str = "", now: Callable[[], float] = time.time) -> None:
        self._server = MilvusServer(url, token=token)
        self._now = now
        self._writing = Writing(self._server, now)
        self._shelf = schema.Shelf(schema.MEMORIES)
        self._is_adopted = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port. Makes database and collections where they are missing."""
        async with self._server.open():
            try:
                self._use(await self._server.with_schema(schema.opened))
                await self._writing.finish_all()
            except EngineError as error:
                raise ConfigError(str(error)) from error
            try:
                yield
            finally:
                self._is_adopted = False

    def _use(self, shelf: schema.Shelf) -> None:
        self._shelf = shelf
        self._writing.collection = shelf.collection

    # Vectors

    async def adopt_model(self, name: str, dimension: int) -> None:
        """See the port. For another model, all memories are written into a new collection."""
        async with self._writing.turn():
            if (self._shelf.model, self._shelf.dimension) != (name, dimension):
                await self._move(name, dimension)
            self._is_adopted = True

    async def _move(self, name: str, dimension: int) -> None:
        shelf = await self._server.with_schema(
            lambda client: schema.another(client, name, dimension)
        )
        last = ""
        while rows := await self._server.query(
            self._shelf.collection, f"id > {quoted(last)}", WHOLE, limit=4 * ROWS_AT_ONCE
        ):
            last = str(rows[-1]["id"])
            await self._server.put(
                shelf.collection, [with_vector(row, None, dimension) for row in rows]
            )
        await self._server.put(schema.SEEN, [schema.note_of(shelf)])
        self._use(shelf)
        await self._server.with_schema(lambda client: schema.drop_others(client, shelf))

    async def model(self) -> tuple[str, int] | None:
        """See the port."""
        return (self._shelf.model, self._shelf.dimension) if self._shelf.dimension else None

    async def vectors_of(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """See the port."""
        if not (ids and self._shelf.dimension):
            return {}
        fields = ["id", "is_embedded", "by_meaning"]
        found: dict[str, Vectors] = {}
        for part in in_parts(ids, ROWS_AT_ONCE):
            for row in await self._rows(among("id", part), fields, limit=len(part)):
                vector = vector_in(row)
                if vector is not None:
                    found[str(row["id"])] = vector
        return found

    async def count_unembedded(self) -> int:
        """See the port."""
        return await self._count(WITHOUT_VECTOR)

    async def unembedded(self, limit: int) -> list[Memory]:
        """See the port."""
        return [memory_of(row) for row in await self._rows(WITHOUT_VECTOR, limit=limit)]

    async def set_vectors(self, ids: Sequence[str], vectors: Vectors) -> None:
        """See the port."""
        by_id = dict(zip(ids, vectors, strict=True))
        async with self._writing.turn():
            for part in in_parts(list(by_id), 4 * ROWS_AT_ONCE):
                where = f"{HOLDS} and {among('id', part)}"
                rows = await self._rows(where, WHOLE, limit=len(part))
                await self._server.put(
                    self._shelf.collection,
                    [self._with_vector(row, by_id[str(row["id"])]) for row in rows],
                )

    # Writing

    async def outcome_of(self, message_id: str) -> Outcome | None:
        """See the port."""
        return await self._writing.outcome(await self._writing.done(message_id))

    async def _known(self, message_id: str) -> Outcome | None:
        return await self._writing.outcome(await self._writing.settled(message_id))

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
        new = self._with_vector(row_of(memory, message_id), vector)
        async with self._writing.turn():
            known = await self._known(message_id)
            if known is not None:
                return known
            named = {memory.id, *([] if same is None else [same]), *replaces}
            rows = await self._whole(f"digest == {quoted(digest(memory))} or {among('id', named)}")
            holding = [row for row in rows if not row["superseded_by"]]
            kept = telling_the_same(holding, new, same)
            changed = [confirmed(kept, memory.ts, message_id)] if kept else [new]
            if kept is None and any(row["id"] == memory.id for row in rows):
                changed = []  # it was written long ago
            kept = kept or new
            old = [row for row in holding if row["id"] in replaces and row["id"] != kept["id"]]
            changed += [self._superseded(row, str(kept["id"]), message_id) for row in old]
            outcome = Outcome(
                (str(kept["id"]),),
                (str(kept["text"]),),
                tuple(str(row["text"]) for row in old),
                count=1,
            )
            replaced = tuple(str(row["id"]) for row in old)
            note = Note(outcome.ids, replaced, 1, changed=len(changed))
            await self._writing.do(Work(message_id, note, changed))
        return outcome

    def _superseded(self, row: Fields, by: str, message_id: str) -> Fields:
        changed = {**row, "superseded_by": by, "message_id": message_id}
        return self._with_vector(changed, None)

    def _with_vector(self, row: Fields, vector: Vectors | None) -> Fields:
        return with_vector(row, vector, self._shelf.dimension)

    async def restore(self, message_id: str, memories: Sequence[Memory]) -> Outcome:
        """See the port."""
        rows = [row_of(memory, message_id) for memory in memories]
        async with self._writing.turn():
            known = await self._known(message_id)
            if known is not None:
                return known
            new: list[Fields] = []
            for part in in_parts(rows, ROWS_AT_ONCE):
                new += await self._not_there(part, message_id, new)
            outcome = outcome_naming(new, len(new))
            note = Note(outcome.ids, (), len(new), changed=len(new))
            whole = [self._with_vector(row, None) for row in new]
            await self._writing.do(Work(message_id, note, whole))
        return outcome

    async def _not_there(
        self, rows: Sequence[Fields], message_id: str, new: Sequence[Fields]
    ) -> list[Fields]:
        """Return the rows that are neither stored, but by this message, nor in `new`."""
        digests = among("digest", [str(row["digest"]) for row in rows])
        ids = among("id", [str(row["id"]) for row in rows])
        stored = await self._rows(
            f"(({HOLDS} and {digests}) or {ids}) and message_id != {quoted(message_id)}",
            ["id", "digest", "superseded_by"],
            limit=2 * len(rows),
        )
        there = [*stored, *new]
        known_ids = {row["id"] for row in there}
        known_texts = {row["digest"] for row in there if not row["superseded_by"]}
        found: list[Fields] = []
        for row in rows:
            is_known = row["id"] in known_ids
            if is_known or (not row["superseded_by"] and row["digest"] in known_texts):
                continue
            found.append(row)
            known_ids.add(row["id"])
            if not row["superseded_by"]:
                known_texts.add(row["digest"])
        return found

    async def forget(self, message_id: str, ids: Sequence[str]) -> Outcome:
        """See the port."""
        async with self._writing.turn():
            known = await self._known(message_id)
            if known is not None:
                return known
            rows = await self._chain(ids)
            rows.sort(key=lambda row: bool(row["superseded_by"]))
            where = among("id", [str(row["id"]) for row in rows]) if rows else ""
            outcome = outcome_naming(rows, len(rows))
            note = Note(outcome.ids, (), outcome.count, delete=where)
            await self._writing.do(Work(message_id, note))
        return outcome

    async def _chain(self, ids: Collection[str]) -> list[Fields]:
        """Return what is there of `ids`, and what that superseded."""
        found: dict[str, Fields] = {}
        field, wanted = "id", list(ids)
        while wanted:
            rows: list[Fields] = []
            for part in in_parts(wanted, ROWS_AT_ONCE):
                rows += await self._rows(among(field, part), ["id", "text", "superseded_by"])
            new = {str(row["id"]): row for row in rows if row["id"] not in found}
            found.update(new)
            field, wanted = "superseded_by", list(new)
        return list(found.values())

    async def forget_all(self, message_id: str, where: Where) -> Outcome:
        """See the port."""
        everything = within(where.scopes)
        async with self._writing.turn():
            known = await self._known(message_id)
            if known is not None:
                return known
            count = await self._count(everything)
            rows = await self._rows(f"{everything} and {HOLDS}", ["id", "text"], limit=MAX_NAMED)
            if len(rows) < min(MAX_NAMED, count):
                gone = f'{everything} and superseded_by != ""'
                rows += await self._rows(gone, ["id", "text"], limit=MAX_NAMED)
            outcome = outcome_naming(rows, count)
            note = Note(outcome.ids, (), count, delete=everything if count else "")
            await self._writing.do(Work(message_id, note))
        return outcome

    async def prune(self, *, outcomes_before: float) -> None:
        """See the port."""
        await self._writing.prune(before=outcomes_before)

    # Reading

    async def rows(self, *, after: str, limit: int, where: Where, superseded: bool) -> list[Memory]:
        """See the port."""
        wanted = [within(where.scopes), f"id > {quoted(after)}", *([] if superseded else [HOLDS])]
        return [memory_of(row) for row in await self._rows(" and ".join(wanted), limit=limit)]

    async def count(self, where: Where) -> int:
        """See the port."""
        return await self._count(within(where.scopes))

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        """See the port; how exact it is, is the server's choice (AUTOINDEX)."""
        if not self._is_adopted:
            return []
        hits = await self._server.search(
            self._shelf.collection,
            "by_meaning",
            vector.tolist(),
            metric="IP",
            where=fitting(where, "is_embedded == true"),
            fields=OF_MEMORY,
            limit=limit,
        )
        return [Candidate(memory_of(row), score) for row, score in hits]

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: Vectors | None,
    ) -> list[Candidate]:
        """See the port; words count as they are written, but for accents and capitals."""
        asked = folded(" ".join(words))
        if not asked:
            return []
        has_cosines = vector is not None and bool(self._shelf.dimension)
        hits = await self._server.search(
            self._shelf.collection,
            "by_words",
            asked,
            metric="BM25",
            where=fitting(where),
            fields=(*OF_MEMORY, "is_embedded", *(["by_meaning"] if has_cosines else [])),
            limit=limit,
        )
        return [
            Candidate(memory_of(row), cosine_of(row, vector) if has_cosines else None)
            for row, _ in hits
        ]

    async def recent(self, *, limit: int, where: Where) -> list[Memory]:
        """See the port. Milvus does not sort: it looks for a time since when there are enough."""
        wanted = await self._since_when(limit, where)
        found = await self._rows(wanted, ["id", "ts"])
        found.sort(key=lambda row: (row["ts"], row["id"]), reverse=True)
        ids = [str(row["id"]) for row in found[:limit]]
        memories = {str(row["id"]): memory_of(row) for row in await self._of(ids)}
        return [memories[name] for name in ids if name in memories]

    async def _since_when(self, limit: int, where: Where) -> str:
        few = max(limit, FEW)
        if await self._count(fitting(where)) <= few:
            return fitting(where)
        late, early, window_s = self._now(), -math.inf, DAY_S
        for _ in range(BISECTIONS):
            middle = late - window_s if early == -math.inf else (early + late) / 2
            since = fitting(where, f"ts >= {middle!r}")
            count = await self._count(since)
            if limit <= count <= few:
                return since
            if count > few:
                early = middle
            else:
                late, window_s = middle, window_s * 8
        return fitting(where, f"ts >= {early!r}") if early > -math.inf else fitting(where)

    # The collection that counts

    async def _of(self, ids: Sequence[str]) -> list[Fields]:
        return await self._rows(among("id", ids), limit=len(ids)) if ids else []

    async def _rows(
        self, where: str, fields: Sequence[str] = OF_MEMORY, *, limit: int = MOST_AT_ONCE
    ) -> list[Fields]:
        return await self._server.query(self._shelf.collection, where, fields, limit=limit)

    async def _whole(self, where: str) -> list[Fields]:
        """Return rows as they can be written again."""
        more = ["by_meaning"] if self._shelf.dimension else []
        return await self._rows(where, [*WHOLE, *more])

    async def _count(self, where: str) -> int:
        return await self._server.count(self._shelf.collection, where)
