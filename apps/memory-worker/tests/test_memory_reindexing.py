from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from antiphon_contracts import (
    HistoryAppend,
    MemoryImport,
    MemoryQuery,
    MemoryRecord,
    MemoryRemember,
    Message,
    new_id,
)
from antiphon_memory.embedder import Kind, TextRefused, Vectors
from antiphon_memory.embedding import Embedding
from antiphon_memory.exporting import Exporter
from antiphon_memory.ranking import Floors
from antiphon_memory.reindexing import BATCH, NOTE, Reindexer
from antiphon_memory.remembering import Remembering
from antiphon_memory.searching import Search
from antiphon_memory.service import EVERYWHERE, Memory, MemoryService
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook, WordEmbedder

pytestmark = pytest.mark.unit


class Picky(WordEmbedder):
    """Refuses some texts, and tells queries from documents."""

    def __init__(self, name: str = "picky") -> None:
        super().__init__(name)
        self.refuses: set[str] = set()
        self.calls: list[tuple[Kind, str]] = []

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> Vectors:
        self.calls += [(kind, text) for text in texts]
        if self.refuses & set(texts):
            msg = "a text is refused"
            raise TextRefused(msg)
        return super().embed(texts, kind)


class Desk:
    """A store, an embedder, and what works with both."""

    def __init__(self, store: SqliteStore, engine: Picky, embedding: Embedding) -> None:
        self.store = store
        self.engine = engine
        self.embedding = embedding
        self.notes = NoteBook()
        self.reindexer = Reindexer(store, embedding, self.notes)

    async def restore(self, *texts: str) -> None:
        memories = [Memory(new_id(), text, "user", "household", 1.0) for text in texts]
        await self.store.restore(new_id(), memories)

    async def unembedded(self) -> list[str]:
        return [memory.text for memory in await self.store.unembedded(1000)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store, engine = SqliteStore(tmp_path / "memory.sqlite", NoteBook()), Picky()
    embedding = Embedding(engine, NoteBook())

    async def adopt() -> None:
        await store.adopt_model(engine.name, engine.dimension)

    async with asyncio.timeout(30), store.open(), embedding.open(adopt):
        yield Desk(store, engine, embedding)


async def test_a_text_that_is_refused_does_not_keep_the_others_from_their_vectors(
    desk: Desk,
) -> None:
    desk.engine.refuses = {f"bad {number}" for number in range(2 * BATCH)}
    good = [f"good {number}" for number in range(2 * BATCH)]
    await desk.restore(*sorted(desk.engine.refuses)[:BATCH], *good)
    await desk.restore(*sorted(desk.engine.refuses)[BATCH:], "the last")
    await desk.reindexer.catch_up()
    assert await desk.unembedded() == sorted(desk.engine.refuses)
    assert desk.notes[NOTE].startswith(f"{2 * BATCH} of my memories are found by words only")
    vector = (await desk.embedding.embed(["the last"], "document"))[0]
    best, *_ = await desk.store.similar(vector, limit=1, where=EVERYWHERE)
    assert best.memory.text == "the last"


async def test_a_refused_text_is_not_asked_again_and_forgetting_it_ends_the_note(
    desk: Desk,
) -> None:
    desk.engine.refuses = {"bad"}
    await desk.restore("bad", "good")
    await desk.reindexer.catch_up()
    asked = len(desk.engine.calls)
    await desk.restore("one more")
    await desk.reindexer.catch_up()
    assert desk.engine.calls[asked:] == [("document", "one more")]
    (bad,) = await desk.store.unembedded(10)
    await desk.store.forget(new_id(), [bad.id])
    await desk.reindexer.catch_up()
    assert NOTE not in desk.notes


async def test_another_model_is_asked_for_what_the_first_refused(desk: Desk) -> None:
    desk.engine.refuses = {"bad"}
    await desk.restore("bad")
    await desk.reindexer.catch_up()
    assert await desk.unembedded() == ["bad"]
    desk.engine.refuses, desk.engine.name = set(), "another"
    await desk.store.adopt_model("another", desk.engine.dimension)
    await desk.reindexer.catch_up()
    assert await desk.unembedded() == []
    assert NOTE not in desk.notes


async def test_what_is_kept_is_embedded_as_a_document_and_what_is_asked_as_a_query(
    desk: Desk,
) -> None:
    remembering = Remembering(desk.store, desk.embedding, on_unembedded=desk.reindexer.wake)
    exporter = Exporter(desk.store, on_unembedded=desk.reindexer.wake)
    search = Search([desk.store], desk.embedding, Floors())
    service = MemoryService(desk.store, memories=search, everything=search, floors=Floors())
    told = MemoryRemember(text="my bicycle is red")
    await remembering.on_remember(Message(told, "x/1"))
    said = HistoryAppend(role="user", text="I like strong coffee.")
    await remembering.consider(Message(said, "x/1"))
    record = MemoryRecord(
        id=new_id(), text="the key is under the mat", source="user", scope="household", ts=1.0
    )
    await exporter.on_import(Message(MemoryImport(records=(record,)), "x/1"))
    await desk.reindexer.catch_up()
    stored = list(desk.engine.calls)
    await service.on_query(Message(MemoryQuery(text="where is the key"), "x/1"))
    assert stored == [
        ("document", "my bicycle is red"),
        ("document", "I like strong coffee."),
        ("document", "the key is under the mat"),
    ]
    assert desk.engine.calls[len(stored) :] == [("query", "where is the key")]
