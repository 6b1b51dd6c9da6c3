"""The vectors' files follow the database, whatever happened to either."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from antiphon_memory.service import EVERYWHERE, Memory, Where
from antiphon_memory.sqlite.database import SEEN
from antiphon_memory.sqlite.embeddings import FLUSH_EVERY
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.sqlite.rows import MEMORIES
from antiphon_memory.testing import NoteBook
from antiphon_memory.vectors import Vectors

pytestmark = pytest.mark.integration


def vector(text: str) -> Vectors:
    """Return a unit vector that is the first word's alone."""
    seed = crc32(text.split(maxsplit=1)[0].encode())
    drawn = np.random.default_rng(seed).standard_normal(64, dtype=np.float32)
    unit: Vectors = drawn / np.linalg.norm(drawn)
    return unit


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, NoteBook())
    async with asyncio.timeout(60), store.open():
        await store.adopt_model("words", 64)
        yield store


async def put(store: SqliteStore, number: int, *, scope: str = "household") -> None:
    text = f"thing{number} is somewhere"
    memory = Memory(f"{number}", text, "user", scope, float(number))
    await store.remember(f"m-{number}", memory, vector(text))


async def nearest(store: SqliteStore, number: int) -> str:
    (found,) = await store.similar(vector(f"thing{number}"), limit=1, where=EVERYWHERE)
    return found.memory.id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


def kept_aside(path: Path) -> dict[Path, bytes]:
    return {part: part.read_bytes() for part in path.parent.glob("memory.vectors*")}


def restored(parts: dict[Path, bytes]) -> None:
    for part, content in parts.items():
        part.write_bytes(content)


async def test_files_that_agree_are_not_made_anew(path: Path) -> None:
    async with opened(path) as store:
        for number in range(20):
            await put(store, number)
    with closing(sqlite3.connect(path)) as db:
        # Nobody reads the vectors where the files agree: then it is not seen that they are gone.
        db.execute("UPDATE vectors SET embedding = zeroblob(256)")
        db.execute("DELETE FROM vector_changes")
        db.execute("UPDATE sqlite_sequence SET seq = 40 WHERE name = 'vector_changes'")
        db.commit()
    async with opened(path) as store:
        assert await nearest(store, 7) == "7"


async def test_files_left_behind_catch_up(path: Path) -> None:
    async with opened(path) as store:
        for number in range(10):
            await put(store, number)
    old = kept_aside(path)
    async with opened(path) as store:
        await store.forget("f", ["3"])
        for number in range(10, 15):
            await put(store, number)
        await store.remember(
            "again", Memory("x", "thing5 is somewhere", "user", "household", 77.0), None
        )
        # As after a crash: what was since the last flush is in the database alone.
        store.embeddings.index = None
    restored(old)
    async with opened(path) as store:
        assert [await nearest(store, number) for number in (0, 12)] == ["0", "12"]
        assert await nearest(store, 3) != "3"
        late = await store.similar(vector("thing5"), limit=9, where=Where(since=70.0))
        assert [one.memory.id for one in late] == ["5"]


async def test_files_too_far_behind_are_made_anew(path: Path) -> None:
    async with opened(path) as store:
        await put(store, 1)
    old = kept_aside(path)
    async with opened(path) as store:
        await store.forget("f", ["1"])
        await put(store, 2)
    restored(old)
    async with opened(path) as store:
        assert await nearest(store, 1) == "2"


async def test_a_database_restored_from_an_older_copy_is_believed(path: Path) -> None:
    async with opened(path) as store:
        await put(store, 1)
    older = await asyncio.to_thread(path.read_bytes)
    async with opened(path) as store:
        await put(store, 2)
    await asyncio.to_thread(path.write_bytes, older)
    async with opened(path) as store:
        assert await nearest(store, 2) == "1"


async def test_a_write_cancelled_after_its_commit_is_made_up_for(path: Path) -> None:
    async with opened(path) as store:
        await put(store, 1)
        index = store.embeddings.index
        assert index is not None
        await store._file.write(lambda db: db.execute("DELETE FROM memories WHERE id = '1'"))
        assert len(index) == 1
        await put(store, 2)
        assert len(index) == 1
        assert await nearest(store, 1) == "2"


async def test_the_list_of_changes_does_not_grow_for_ever(path: Path) -> None:
    async with opened(path) as store:
        for number in range(FLUSH_EVERY // 2 + 5):
            await put(store, number)
        ((listed,),) = await store._file.read("SELECT count(*) FROM vector_changes")
        assert listed <= 10
    async with opened(path) as store:
        ((listed,),) = await store._file.read("SELECT count(*) FROM vector_changes")
        assert listed == 0
        assert await nearest(store, 1000) == "1000"


async def test_a_disk_that_takes_no_vectors_loses_no_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = NoteBook()
    store = SqliteStore(path, notes)
    async with asyncio.timeout(60), store.open():
        await store.adopt_model("words", 64)
        index = store.embeddings.index

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(index, "put", full)
            await put(store, 1)
        assert "room on the disk" in notes["vectors"]
        assert [one.id for one in await store.recent(limit=5, where=EVERYWHERE)] == ["1"]
        await put(store, 2)
        assert "vectors" not in notes
        assert await nearest(store, 1) == "1"


async def test_a_file_of_version_1_keeps_its_memories_and_vectors(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(MEMORIES + SEEN + "PRAGMA user_version = 1;")
        for number in range(3):
            text = f"thing{number} is somewhere"
            embedding = vector(text).astype("<f4").tobytes() if number else None
            db.execute(
                "INSERT INTO memories (id, text, source, scope, ts, digest, embedding)"
                " VALUES (?, ?, 'user', 'household', ?, ?, ?)",
                (f"{number}", text, float(number), bytes([number]), embedding),
            )
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("model", "words"), ("dimension", "64")])
        db.commit()
    async with opened(path) as store:
        assert [one.id for one in await store.unembedded(9)] == ["0"]
        assert [await nearest(store, number) for number in (1, 2)] == ["1", "2"]
        found = await store.matching(["thing0"], limit=5, where=EVERYWHERE, vector=vector("thing0"))
        assert [(one.memory.id, one.cosine) for one in found] == [("0", None)]
        await store.set_vectors(["0"], np.stack([vector("thing0")]))
        assert await nearest(store, 0) == "0"
        assert await store.count_unembedded() == 0


async def test_common_words_are_weighed_and_filtered(path: Path) -> None:
    async with opened(path) as store:
        for number in range(300):
            scope = "anna" if number % 3 == 0 else "household"
            text = f"lamp{number} {'kitchen' if number % 2 else 'cellar'} lamp"
            text += " broken" if number in {30, 33, 250} else ""
            known = vector(text) if number % 5 else None
            memory = Memory(f"{number}", text, "user", scope, float(number))
            await store.remember(f"m-{number}", memory, known)
        words = ["lamp", "kitchen", "broken"]
        found = await store.matching(words, limit=5, where=EVERYWHERE, vector=None)
        assert {"30", "33", "250"} <= {one.memory.id for one in found}
        assert found[0].memory.id == "33"
        of_anna = await store.matching(words, limit=100, where=Where(("anna",)), vector=None)
        assert {one.memory.scope for one in of_anna} == {"anna"}
        assert len(of_anna) == 100
        late = await store.matching(words, limit=5, vector=None, where=Where(since=200))
        assert late[0].memory.id == "250"
        assert all(one.memory.ts >= 200 for one in late)
