from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import EngineError
from antiphon_memory.knowledge_store import Changes, Job, KnownDocument, Order, Piece, Tally
from antiphon_memory.service import EVERYWHERE, Where
from antiphon_memory.sqlite.knowledge import SqliteKnowledge
from antiphon_memory.sqlite.knowledge_schema import SCHEMA
from antiphon_memory.testing import NoteBook, WordEmbedder

pytestmark = pytest.mark.integration

EMBEDDER = WordEmbedder()


def document(name: str = "manual") -> KnownDocument:
    return KnownDocument(name, name.title(), f"/{name}", "household", f"sha-{name}", 9, 1.0)


def pieces(*texts: str, heading: str = "Cleaning") -> list[Piece]:
    return [Piece(text, ("Manual", heading), f"#{heading.lower()}", None) for text in texts]


async def embed_all(store: SqliteKnowledge) -> list[str]:
    seen = []
    while batch := await store.unembedded(2):
        seen += [one.text for one in batch]
        vectors = EMBEDDER.embed([one.text for one in batch])
        await store.set_vectors([one.id for one in batch], vectors)
    return seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "knowledge.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteKnowledge]:
    store = SqliteKnowledge(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        await store.adopt_model("words", 512)
        yield store


async def ids_of(store: SqliteKnowledge, word: str) -> list[str]:
    found = await store.matching([word], limit=50, where=EVERYWHERE, vector=None)
    return [one.memory.id for one in found]


async def test_only_what_changed_is_new(store: SqliteKnowledge) -> None:
    first = await store.put(document(), pieces("filter one", "filter two", "filter three"))
    assert first == Changes("manual", 3, 0, 0)
    before = set(await ids_of(store, "filter"))
    assert len(await embed_all(store)) == 3
    again = await store.put(
        replace(document(), id="other", sha256="sha-2"),
        pieces("filter three", "filter four", "filter one"),
    )
    assert again == Changes("manual", added=1, kept=2, removed=1)
    after = set(await ids_of(store, "filter"))
    assert (len(after & before), len(after)) == (2, 3)
    assert await embed_all(store) == ["Manual > Cleaning\nfilter four"]
    texts = await store.texts_at({("manual", 0), ("manual", 1), ("manual", 2), ("manual", 9)})
    assert [texts["manual", n] for n in range(3)] == ["filter three", "filter four", "filter one"]
    near = await store.similar(EMBEDDER.embed(["filter two"])[0], limit=9, where=EVERYWHERE)
    assert {one.memory.id for one in near} == after


async def test_the_same_words_under_another_heading_are_another_chunk(
    store: SqliteKnowledge,
) -> None:
    await store.put(document(), pieces("filter", "filter"))
    moved = await store.put(document(), pieces("filter", heading="Repair"))
    assert moved == Changes("manual", added=1, kept=0, removed=2)
    assert len(await ids_of(store, "repair")) == 1
    assert await ids_of(store, "cleaning") == []


async def test_passages_say_where_they_are_from(store: SqliteKnowledge) -> None:
    await store.put(document(), pieces("filter"))
    ((one),) = await store.matching(["filter"], limit=5, where=Where(("household",)), vector=None)
    assert one.memory.source == "Manual, Cleaning"
    assert await store.matching(["filter"], limit=5, where=Where(("anna",)), vector=None) == []


async def test_removed_is_gone_from_words_and_vectors_once(store: SqliteKnowledge) -> None:
    await store.put(document(), pieces("filter"))
    await store.put(document("book"), pieces("whale"))
    await embed_all(store)
    gone = await store.remove("m1", ["manual", "nothing"])
    assert (gone.ids, gone.texts) == (("manual",), ("Manual",))
    await store.put(document(), pieces("filter"))
    assert await store.remove("m1", ["manual"]) == gone
    assert [known.id for known in await store.documents(limit=9, after=None)] == ["book", "manual"]
    assert [known.id for known in await store.documents(limit=9, after="book")] == ["manual"]


async def test_vectors_outlive_a_restart_and_a_model_does_not(path: Path) -> None:
    for model, unembedded in (("words", 1), ("words", 0), ("other", 1)):
        store = SqliteKnowledge(path, NoteBook())
        async with store.open():
            await store.put(document(), pieces("filter"))
            await store.adopt_model(model, 512)
            assert await store.count_unembedded() == unembedded
            await embed_all(store)
            near = await store.similar(EMBEDDER.embed(["filter"])[0], limit=1, where=EVERYWHERE)
            assert near[0].cosine is not None


async def near(store: SqliteKnowledge, word: str, where: Where = EVERYWHERE) -> list[str]:
    found = await store.similar(EMBEDDER.embed([word])[0], limit=9, where=where)
    return [one.memory.text for one in found if one.cosine and one.cosine > 0.1]


async def test_the_files_of_vectors_follow_what_is_done_to_documents(path: Path) -> None:
    store = SqliteKnowledge(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        await store.adopt_model("words", 512)
        await store.put(document(), pieces("filter", "pump"))
        await store.put(replace(document("book"), ts=5.0, scope="person:anna"), pieces("whale"))
        await embed_all(store)
        assert await near(store, "pump") == ["pump"]
        assert await near(store, "whale", Where(("household",))) == []
        assert await near(store, "whale", Where(since=4.0)) == ["whale"]
        assert await near(store, "pump", Where(since=4.0)) == []
        await store.put(replace(document(), ts=9.0), pieces("pump", "hose"))
        assert await near(store, "pump", Where(since=4.0)) == ["pump"]
        assert await near(store, "filter") == []
        await store.remove("gone", ["book"])
        assert await near(store, "whale") == []
        assert store.embeddings.index is not None
        assert len(store.embeddings.index) == 1


async def test_a_start_takes_the_files_as_they_are_and_a_lost_one_is_made_anew(path: Path) -> None:
    store = SqliteKnowledge(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        await store.adopt_model("words", 512)
        await store.put(document(), pieces("filter", "pump"))
        await embed_all(store)
    with closing(sqlite3.connect(path)) as db:  # unlisted: only who reads all vectors sees it
        db.execute("DROP TRIGGER vectors_replaced")
        db.execute("UPDATE vectors SET embedding = ?", (EMBEDDER.embed(["filter"])[0].tobytes(),))
        db.commit()
    for lost, found in ((False, ["pump"]), (True, [])):
        if lost:
            await asyncio.to_thread(path.with_suffix(".vectors").unlink)
        store = SqliteKnowledge(path, NoteBook())
        async with asyncio.timeout(30), store.open():
            await store.adopt_model("words", 512)
            assert await near(store, "pump") == found


async def test_a_file_of_version_1_keeps_its_documents_and_vectors(path: Path) -> None:
    vector = EMBEDDER.embed(["filter"])[0]
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA.steps[0] + "PRAGMA user_version = 1")
        db.execute(
            "INSERT INTO documents (row, id, title, source, scope, sha256, size_bytes, ts)"
            " VALUES (1, 'manual', 'Manual', '/manual', 'household', 'sha', 9, 1.0)"
        )
        db.executemany(
            "INSERT INTO chunks (id, document, ordinal, text, heading, anchor, digest, embedding)"
            " VALUES (?, 1, ?, ?, '', '', x'00', ?)",
            [("a", 0, "filter", vector.tobytes()), ("b", 1, "pump", None)],
        )
        db.execute("INSERT INTO meta VALUES ('model', 'words'), ('dimension', '512')")
        db.commit()
    store = SqliteKnowledge(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        await store.adopt_model("words", 512)
        assert await near(store, "filter") == ["filter"]
        (known,) = await store.documents(limit=9, after=None)
        assert (known.chunks, known.embedded) == (2, 1)
        assert await embed_all(store) == ["pump"]
        assert await near(store, "pump") == ["pump"]


async def test_a_word_of_many_chunks_is_looked_for_in_those_that_pass(
    store: SqliteKnowledge,
) -> None:
    await store.put(document(), pieces(*[f"the filter number {n}" for n in range(150)]))
    await store.put(replace(document("b"), scope="person:anna"), pieces("the filter of anna"))
    await embed_all(store)
    for where, expected in ((EVERYWHERE, 20), (Where(("person:anna",)), 1), (Where(since=9.0), 0)):
        found = await store.matching(["filter"], limit=20, where=where, vector=None)
        assert len(found) == expected


async def test_a_document_and_its_job_are_stored_together_or_not_at_all(
    store: SqliteKnowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order("job", "upload", source="/manual")
    await store.jobs.begin(order, "queued")
    job = await store.jobs.next()
    assert job is not None
    broken = [*pieces("filter"), Piece(None, (), "", None)]  # type: ignore[arg-type]
    with pytest.raises((EngineError, TypeError)):
        await store.put(document(), broken, job)
    assert await store.documents(limit=9, after=None) == []
    await store.put(document(), pieces("filter"), job)
    stored = await store.jobs.find("job")
    assert stored is not None
    assert (stored.document_id, stored.attempts, stored.tally.added) == ("manual", 0, 1)


async def test_jobs_come_in_order_and_end_once(store: SqliteKnowledge) -> None:
    jobs = store.jobs
    for name in ("a", "b"):
        await jobs.begin(Order(name, "page", source="http://x"), "queued")
        await jobs.begin(Order(name, "upload"), "receiving")
    first = await jobs.next()
    assert first is not None
    assert (first.order.job_id, first.order.kind, first.attempts) == ("a", "page", 1)
    await jobs.end("a", "cancelled", Tally())
    await jobs.end("a", "done", Tally(documents=1))
    known = await jobs.find("a")
    assert isinstance(known, Job)
    assert (known.state, known.tally.documents) == ("cancelled", 0)
    second = await jobs.next()
    assert second is not None
    assert second.order.job_id == "b"


async def test_half_sent_uploads_are_dropped_after_a_time(path: Path) -> None:
    now = 1000.0
    store = SqliteKnowledge(path, NoteBook(), now=lambda: now)
    async with store.open():
        await store.jobs.begin(Order("a", "upload", parts=2), "receiving")
        assert await store.jobs.put_part("a", 1, b"two") == 1
        assert await store.jobs.put_part("a", 1, b"two") == 1
        await store.jobs.drop(unfinished_before=999.0, ended_before=999.0)
        assert await store.jobs.put_part("a", 0, b"one") == 2
        assert await store.jobs.body("a") == b"onetwo"
        now = 2000.0
        await store.jobs.drop(unfinished_before=1500.0, ended_before=0.0)
        assert await store.jobs.all() == []
        assert await store.jobs.body("a") == b""


async def test_a_vector_of_a_deleted_chunk_is_passed_over(store: SqliteKnowledge) -> None:
    await store.set_vectors(["nobody"], np.ones((1, 512), dtype=np.float32))
    assert await store.count_unembedded() == 0
