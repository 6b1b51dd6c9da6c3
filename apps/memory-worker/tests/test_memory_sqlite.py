from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_memory.service import EVERYWHERE, Memory, Outcome, Where
from antiphon_memory.sqlite.database import SEEN
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.sqlite.rows import MEMORIES
from antiphon_memory.sqlite.words import fts_query
from antiphon_memory.testing import NoteBook, WordEmbedder
from antiphon_memory.utterances import content_words
from antiphon_memory.vectors import Vectors

pytestmark = pytest.mark.integration

EMBEDDER = WordEmbedder()


def vector(text: str) -> Vectors:
    unit: Vectors = EMBEDDER.embed([text])[0]
    return unit


def memory(name: str, text: str, *, scope: str = "household", ts: float = 1.0) -> Memory:
    return Memory(name, text, "user", scope, ts)


async def put(store: SqliteStore, name: str, text: str, *, scope: str = "household") -> Outcome:
    return await store.remember(f"m-{name}", memory(name, text, scope=scope), vector(text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "memory.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        await store.adopt_model("words", 512)
        yield store


async def test_a_repeated_message_is_executed_once_also_after_a_restart(path: Path) -> None:
    first = SqliteStore(path, NoteBook())
    async with first.open():
        outcome = await first.remember("id-1", memory("a", "my bicycle is red"), None)
        gone = await first.forget("id-2", ["a"])
    second = SqliteStore(path, NoteBook())
    async with second.open():
        repeated = await second.remember("id-1", memory("b", "my bicycle is red"), None)
        assert repeated.ids == outcome.ids
        assert await second.recent(limit=5, where=EVERYWHERE) == []
        again = await second.forget("id-2", ["a", "b"])
        assert gone.texts == outcome.texts == ("my bicycle is red",)
        assert again == Outcome(("a",), count=1)  # deleted words are kept nowhere
        assert await second.outcome_of("id-1") == again
        assert await second.outcome_of("id-9") is None


async def test_the_same_text_again_only_gets_the_new_time(store: SqliteStore) -> None:
    await put(store, "a", "my bicycle is red")
    again = memory("b", "My BICYCLE is red", ts=7.0)
    assert (await store.remember("m-b", again, None)).ids == ("a",)
    assert [(m.id, m.ts) for m in await store.recent(limit=5, where=EVERYWHERE)] == [("a", 7.0)]
    other = await put(store, "c", "my bicycle is red", scope="anna")
    assert other.ids == ("c",)


async def test_vectors_are_there_again_after_a_restart(path: Path) -> None:
    for _ in range(2):
        store = SqliteStore(path, NoteBook())
        async with store.open():
            await store.adopt_model("words", 512)
            await put(store, "a", "my bicycle is red")
            await put(store, "b", "the tent is in the attic", scope="anna")
            found = await store.similar(vector("bicycle"), limit=1, where=EVERYWHERE)
            assert found[0].memory.id == "a"
            assert found[0].cosine == pytest.approx(2**-0.5, abs=1e-6)
            only = await store.similar(vector("bicycle"), limit=5, where=Where(("anna",)))
            assert [one.memory.id for one in only] == ["b"]


async def test_another_model_drops_the_vectors_and_keeps_the_texts(path: Path) -> None:
    store = SqliteStore(path, NoteBook())
    async with store.open():
        await store.adopt_model("words", 512)
        await put(store, "a", "my bicycle is red")
        await store.adopt_model("other", 8)
        assert await store.count_unembedded() == 1
        assert [m.id for m in await store.unembedded(5)] == ["a"]
        eight = np.eye(8, dtype=np.float32)
        await store.set_vectors(["a", "deleted meanwhile"], eight[:2])
        assert await store.count_unembedded() == 0
        assert (await store.similar(eight[0], limit=1, where=EVERYWHERE))[0].cosine == 1.0


async def test_forgotten_is_gone_from_words_and_vectors(store: SqliteStore, path: Path) -> None:
    await put(store, "a", "my bicycle is chartreuse")
    gone = Outcome(("a",), ("my bicycle is chartreuse",), count=1)
    assert await store.forget("f", ["a", "zz"]) == gone
    words = vector("chartreuse bicycle")
    assert await store.similar(words, limit=5, where=EVERYWHERE) == []
    assert await store.matching(["chartreuse"], limit=5, where=EVERYWHERE, vector=words) == []


async def test_words_match_by_stem_scope_and_bm25(store: SqliteStore) -> None:
    await put(store, "a", "the bicycles are in the shed")
    await put(store, "b", "a shed, a shed, and a shed")
    await put(store, "c", "my bicycle is red", scope="anna")
    found = await store.matching(
        ["bicycle", "shed"], limit=5, where=Where(("household",)), vector=None
    )
    assert [one.memory.id for one in found] == ["a", "b"]
    assert all(one.cosine is None for one in found)
    both = await store.matching(["bicycle"], limit=5, where=EVERYWHERE, vector=vector("my bicycle"))
    assert {one.memory.id: one.cosine is not None for one in both} == {"a": True, "c": True}


@pytest.mark.parametrize("asked", ["Größe", "CAFÉ", "cafe", "O'Brien", "O’Brien's", "4711"])
async def test_words_of_other_alphabets_are_found(store: SqliteStore, asked: str) -> None:
    await put(store, "a", "die größe, das Café, O'Brien und 4711")
    found = await store.matching(content_words(asked), limit=5, where=EVERYWHERE, vector=None)
    assert [one.memory.id for one in found] == ["a"]


@pytest.mark.parametrize("words", [['"'], ["a*"], ["NEAR"], ["x OR y)"], ["-"], ["'"], ["col:x"]])
async def test_no_word_breaks_the_query_language(store: SqliteStore, words: list[str]) -> None:
    await put(store, "a", "something")
    assert await store.matching(words, limit=5, where=EVERYWHERE, vector=None) == []


def test_quotes_are_doubled() -> None:
    assert fts_query(['a"b', "c"]) == '"a""b" OR "c"'


async def test_old_outcomes_are_pruned(path: Path) -> None:
    store = SqliteStore(path, NoteBook(), now=lambda: 100.0)
    async with store.open():
        await store.remember("id-1", memory("a", "my bicycle is red"), None)
        await store.prune(outcomes_before=100.0)
        assert await store.outcome_of("id-1") is not None
        await store.prune(outcomes_before=100.1)
        assert await store.outcome_of("id-1") is None


async def test_only_the_owner_may_read_it(store: SqliteStore, path: Path) -> None:
    await put(store, "a", "my bicycle is red")
    modes = {
        item.name: stat.S_IMODE(item.stat().st_mode)
        for item in (path.parent, *path.parent.iterdir())
    }
    assert modes["folder"] == stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    assert {modes[name] for name in modes if name.startswith("memory.sqlite")} == {0o600}
    assert len(modes) >= 3  # with the -wal


def damage(path: Path, wreck: bytes | None) -> None:
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(wreck or whole[:4096] + b"\xff" * middle + whole[4096 + middle :])


@pytest.mark.parametrize("wreck", [b"no database at all, but long enough" * 50, None])
async def test_a_damaged_file_is_kept_aside_and_noted(path: Path, wreck: bytes | None) -> None:
    store = SqliteStore(path, NoteBook())
    async with store.open():
        for number in range(200):
            await store.remember(f"{number}", memory(f"{number}", f"fact {number} " * 20), None)
    damage(path, wreck)
    notes = NoteBook()
    store = SqliteStore(path, notes)
    async with store.open():
        assert await store.recent(limit=1, where=EVERYWHERE) == []
        await store.remember("again", memory("x", "my bicycle is red"), None)
    (aside,) = path.parent.glob("memory.sqlite.corrupt-*")
    assert str(aside) in notes["damaged"]
    assert aside.stat().st_size > 1000
    quiet = NoteBook()
    async with SqliteStore(path, quiet).open():
        assert not quiet


async def test_a_newer_file_is_left_alone(path: Path) -> None:
    async with SqliteStore(path, NoteBook()).open():
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="newer Antiphon"):
        async with SqliteStore(path, NoteBook()).open():
            pass
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)


async def test_a_path_that_cannot_be_opened_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="check its path"):
        async with SqliteStore(tmp_path / "file" / "memory.sqlite", NoteBook()).open():
            pass


async def test_a_locked_file_fails_the_write_and_nothing_else(
    store: SqliteStore, path: Path
) -> None:
    database = store._file._opened()
    await database.writer.execute_fetchall("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineError, match="Another program holds") as raised:
            await put(store, "a", "my bicycle is red")
        assert raised.value.retryable
        assert await store.recent(limit=1, where=EVERYWHERE) == []
    assert (await put(store, "a", "my bicycle is red")).ids == ("a",)


async def test_a_full_disk_fails_the_write_and_nothing_else(store: SqliteStore) -> None:
    database = store._file._opened()
    ((pages,),) = await database.writer.execute_fetchall("PRAGMA page_count")
    await database.writer.execute_fetchall(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(EngineError, match="disk is full"):
        await put(store, "big", "x y " * 4000)
    await database.writer.execute_fetchall("PRAGMA max_page_count = 100000")
    assert await store.outcome_of("m-big") is None
    assert (await put(store, "big", "x y " * 4000)).ids == ("big",)


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path, NoteBook())
    async with store.open():
        pass
    with pytest.raises(EngineError, match="closed"):
        await store.recent(limit=1, where=EVERYWHERE)


async def test_a_cancelled_write_leaves_no_open_transaction(store: SqliteStore) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(put(store, str(n), f"fact {n}")) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    assert (await put(store, "after", "my bicycle is red")).ids == ("after",)
    stored = {one.id for one in await store.recent(limit=50, where=EVERYWHERE)}
    assert {str(n) for n in range(1, 20, 2)} <= stored


async def test_what_was_replaced_is_kept_for_lists_alone(store: SqliteStore) -> None:
    await put(store, "a", "my bicycle is red")
    new = memory("b", "my bicycle is blue", ts=2.0)
    outcome = await store.remember("m-b", new, vector(new.text), replaces=["a", "unknown"])
    assert outcome == Outcome(("b",), (new.text,), ("my bicycle is red",), 1)
    assert await store.remember("m-b", new, None, replaces=["b"]) == outcome
    words = vector("my bicycle is red")
    for found in (
        await store.similar(words, limit=5, where=EVERYWHERE),
        await store.matching(["bicycle", "red"], limit=5, where=EVERYWHERE, vector=words),
    ):
        assert [one.memory.id for one in found] == ["b"]
    assert await store.count_unembedded() == 0
    rows = await store.rows(after="", limit=9, where=EVERYWHERE, superseded=True)
    assert [(one.id, one.superseded_by) for one in rows] == [("a", "b"), ("b", None)]
    holding = await store.rows(after="", limit=9, where=EVERYWHERE, superseded=False)
    assert [one.id for one in holding] == ["b"]
    await put(store, "c", "my bicycle is red")  # once more: a memory of its own
    assert [m.id for m in await store.recent(limit=9, where=EVERYWHERE)] == ["b", "c"]


async def test_a_memory_takes_what_it_replaced_along(store: SqliteStore) -> None:
    await put(store, "a", "red")
    await store.remember("2", memory("b", "green"), None, replaces=["a"])
    await store.remember("3", memory("c", "blue"), None, replaces=["b"])
    gone = await store.forget("f", ["c"])
    assert (gone.ids[0], set(gone.ids), gone.count) == ("c", {"a", "b", "c"}, 3)
    assert await store.count(EVERYWHERE) == 0


async def test_the_bytes_of_what_was_forgotten_are_gone(path: Path) -> None:
    store = SqliteStore(path, NoteBook())
    async with store.open():
        await store.adopt_model("words", 512)
        for number in range(300):
            await put(store, str(number), f"box {number} holds nails")
        await put(store, "x", "the xylophone is zeppelinous")
        new = memory("y", "the xylophone is quagmired")
        await store.remember("m-y", new, vector(new.text), replaces=["x"])
        await put(store, "z", "the xylophone stays here")
        secrets = (b"zeppelinous", b"quagmired", b"eppelin", b"uagmir")

        def on_disk() -> list[bytes]:
            files = b"".join(item.read_bytes() for item in path.parent.iterdir())
            return [secret for secret in secrets if secret in files]

        await store._file.checkpoint()
        assert b"zeppelinous" in on_disk()
        await store.forget("f", ["y"])
        assert on_disk() == []
        await store.forget("f", ["y"])
        assert on_disk() == []
        assert [m.id for m in await store.recent(limit=1, where=Where(sources=("user",)))]
    assert on_disk() == []


async def test_scopes_are_deleted_whole(store: SqliteStore) -> None:
    for number in range(150):
        await put(store, f"h{number}", f"box {number}")
    await put(store, "k", "the kettle", scope="site:kitchen")
    kitchen = Where(("site:kitchen",))
    assert await store.count(kitchen) == 1
    assert (await store.forget_all("1", kitchen)).texts == ("the kettle",)
    done = await store.forget_all("2", EVERYWHERE)
    assert (done.count, len(done.ids)) == (150, 100)
    await put(store, "later", "box 1")
    assert (await store.forget_all("2", EVERYWHERE)).count == 150  # the same message again
    assert await store.count(EVERYWHERE) == 1


def holds(path: Path, words: bytes) -> bool:
    return words in path.read_bytes()


async def test_version_one_files_are_read_and_their_words_scrubbed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(MEMORIES + SEEN + "PRAGMA user_version = 1;")
        db.execute(
            "INSERT INTO memories (id, text, source, scope, ts, digest)"
            " VALUES ('a', 'my bicycle is red', 'user', 'household', 1.0, x'00')"
        )
        reply = json.dumps({"ids": ["a", "b"], "texts": ["my bicycle is red", "zeppelinous"]})
        db.execute("INSERT INTO seen VALUES ('m', ?, 1.0)", (reply,))
        db.commit()
    store = SqliteStore(path, NoteBook())
    async with store.open():
        assert [m.id for m in await store.recent(limit=5, where=EVERYWHERE)] == ["a"]
        assert await store.outcome_of("m") == Outcome(("a", "b"), ("my bicycle is red",), (), 2)
        await store._file.checkpoint()
        assert not holds(path, b"zeppelinous")
