from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from antiphon_contracts import EngineError
from antiphon_memory.embedder import Kind, TextRefused, Vectors
from antiphon_memory.embedding import MAX_CHARS, Embedding
from antiphon_memory.testing import NoteBook, WordEmbedder

pytestmark = pytest.mark.unit

TIME_S = 10


class Prefixing(WordEmbedder):
    """Tells queries from documents, and remembers its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Kind, list[str]]] = []
        self.loads = 0
        self.loop = asyncio.get_running_loop()
        self.tried_thrice = asyncio.Event()
        self.closed = 0
        self.load_error: Exception | None = None
        self.shape: tuple[int, int] | None = None

    def load(self) -> None:
        self.loads += 1
        if self.loads == 3:
            self.loop.call_soon_threadsafe(self.tried_thrice.set)
        if self.load_error is not None:
            raise self.load_error

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> Vectors:
        self.calls.append((kind, list(texts)))
        if "refused" in texts:
            msg = "refused"
            raise TextRefused(msg)
        if self.shape is not None:
            return np.ones(self.shape, dtype=np.float32)
        vectors = super().embed(texts, kind)
        return vectors if kind == "document" else -vectors

    def close(self) -> None:
        self.closed += 1


async def test_what_was_embedded_before_is_not_computed_again() -> None:
    engine = Prefixing()
    embedding = Embedding(engine, NoteBook())
    async with asyncio.timeout(TIME_S), embedding.open():
        query = await embedding.embed_or_none("red bicycle")
        again = await embedding.embed_or_none("red bicycle")
        document = await embedding.embed_or_none("red bicycle", "document")
        three = await embedding.embed(["blue", "red bicycle", "green"])
        none = await embedding.embed([])
    assert query is not None
    assert again is not None
    assert document is not None
    assert (query == again).all()
    assert (query == -document).all()
    assert (three == WordEmbedder().embed(["blue", "red bicycle", "green"])).all()
    assert none.shape == (0, 512)
    assert engine.calls == [
        ("query", ["red bicycle"]),
        ("document", ["red bicycle"]),
        ("document", ["blue", "green"]),
    ]
    assert engine.closed == 1


async def test_many_documents_go_in_small_batches_and_long_ones_are_cut() -> None:
    engine = Prefixing()
    embedding = Embedding(engine, NoteBook())
    texts = [f"document {number}" for number in range(600)]
    async with asyncio.timeout(TIME_S), embedding.open():
        vectors = await embedding.embed([*texts, "long " * MAX_CHARS])
    assert (vectors[:600] == WordEmbedder().embed(texts)).all()
    assert max(len(texts) for _, texts in engine.calls) == 8
    assert max(len(text) for _, texts in engine.calls for text in texts) == MAX_CHARS
    assert len(engine.calls[-1][1]) == 1


async def test_one_that_does_not_load_is_noted_and_adopted_when_it_does() -> None:
    engine, notes = Prefixing(), NoteBook()
    engine.load_error = EngineError("The server is away.", retryable=True)
    embedding = Embedding(engine, notes, retry_s=0)
    adopted = asyncio.Event()
    ready_when_adopted: list[bool] = []

    async def adopt() -> None:
        ready_when_adopted.append(embedding.ready)
        if len(ready_when_adopted) == 1:
            msg = "the disk is full"
            raise EngineError(msg)
        adopted.set()

    async with asyncio.timeout(TIME_S), embedding.open(adopt):
        assert "The server is away." in notes["embedder"]
        assert await embedding.embed_or_none("red") is None
        with pytest.raises(EngineError, match="no embedding model"):
            await embedding.embed(["red"])
        await engine.tried_thrice.wait()
        engine.load_error = None
        await adopted.wait()
        assert embedding.description == "words, 512 dimensions"
        assert await embedding.embed_or_none("red") is not None
        assert not notes
    assert ready_when_adopted == [False, False]


async def test_one_that_fails_later_is_noted_until_it_works_again() -> None:
    engine, notes = Prefixing(), NoteBook()
    embedding = Embedding(engine, notes)
    async with asyncio.timeout(TIME_S), embedding.open():
        engine.failing = True
        assert await embedding.embed_or_none("red") is None
        assert "on purpose" in notes["embedder"]
        engine.failing = False
        assert await embedding.embed_or_none("red") is not None
        assert not notes
        with pytest.raises(TextRefused):
            await embedding.embed(["refused"])
        assert not notes


@pytest.mark.parametrize("shape", [(2, 512), (1, 7), (0, 512)])
async def test_a_foreign_engine_that_gives_something_else_is_an_error(
    shape: tuple[int, int],
) -> None:
    engine = Prefixing()
    embedding = Embedding(engine, NoteBook())
    async with asyncio.timeout(TIME_S), embedding.open():
        engine.shape = shape
        with pytest.raises(EngineError, match="shape"):
            await embedding.embed(["red"])
        engine.shape = None
        assert (await embedding.embed(["red"])).shape == (1, 512)


async def test_many_at_once_are_computed_together() -> None:
    engine = Prefixing()
    embedding = Embedding(engine, NoteBook())
    texts = [f"question {number}" for number in range(40)]
    async with asyncio.timeout(TIME_S), embedding.open(), asyncio.TaskGroup() as group:
        asked = [
            group.create_task(embedding.embed_or_none(text, "document"), name=text)
            for text in texts
        ]
    expected = WordEmbedder().embed(texts)
    for caller, vector in zip(asked, expected, strict=True):
        found = caller.result()
        assert found is not None
        assert (found == vector).all()
    assert [len(texts) for _, texts in engine.calls] == [8, 8, 8, 8, 8]
