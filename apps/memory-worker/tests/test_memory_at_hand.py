"""What is at hand is what is in the database, and is ranked as FTS5 ranks it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from antiphon_memory import postings as postings_module
from antiphon_memory import turns as turns_module
from antiphon_memory.service import EVERYWHERE, Memory, Where
from antiphon_memory.sqlite import at_hand as at_hand_module
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.sqlite.stems import KEPT, Stems
from antiphon_memory.sqlite.words import fts_query
from antiphon_memory.testing import NoteBook, WordEmbedder
from antiphon_memory.turns import Turns

pytestmark = pytest.mark.unit

TIME_S = 60
WORDS = ["bicycle", "bicycles", "red", "blue", "garage", "keys", "key", "lamp", "lamps"]
WORDS += ["running", "runs", "ran", "café", "straße"]
SCOPES = ("household", "person:anna")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "memory.sqlite", NoteBook())
    async with asyncio.timeout(TIME_S), store.open():
        yield store


def memory(number: int, text: str, *, scope: str = "household", ts: float = 1.0) -> Memory:
    return Memory(f"id-{number}", text, "user", scope, ts)


async def by_fts5(store: SqliteStore, words: list[str], where: Where) -> list[str]:
    """Return ids as FTS5 ranks them; the first of equal ones is the oldest row."""
    rows = await store._file.read(
        "SELECT m.id FROM memories_fts f JOIN memories m ON m.row = f.rowid"
        " WHERE f.memories_fts MATCH ? AND (? IS NULL OR m.scope = ?) AND m.ts >= ?"
        " ORDER BY round(bm25(memories_fts), 10), m.row",
        (fts_query(words), *[next(iter(where.scopes), None)] * 2, where.since or 0.0),
    )
    return [row[0] for row in rows]


async def here(store: SqliteStore, words: list[str], where: Where) -> list[str]:
    found = store._matching_here(words, 1000, where, None)
    assert found is not None
    return [one.memory.id for one in found]


async def check(store: SqliteStore) -> None:
    for words in (["bicycle"], ["red", "key"], ["run", "lamp", "cafe"], ["strasse", "nothing"]):
        for where in (EVERYWHERE, Where(("person:anna",)), Where(since=5.0)):
            assert await here(store, words, where) == await by_fts5(store, words, where)


async def test_words_at_hand_are_ranked_as_fts5_ranks_them_whatever_was_done(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postings_module, "SPARSE_FROM", 60)
    dice = random.Random(5)  # noqa: S311  (no secret)
    there: list[str] = []
    for number in range(160):
        text = " ".join(dice.choices(WORDS, k=dice.randint(1, 9))) + f" n{number}"
        new = memory(number, text, scope=dice.choice(SCOPES), ts=float(number % 9))
        replaces = dice.sample(there, k=min(len(there), dice.choice((0, 0, 1))))
        await store.remember(f"m{number}", new, None, replaces=replaces)
        there = [*(one for one in there if one not in replaces), new.id]
        if dice.random() < 0.35:
            gone = dice.sample(there, k=min(len(there), 2))
            await store.forget(f"f{number}", gone)
            there = [one for one in there if one not in gone]
        if store.at_hand.rows and dice.random() < 0.1:  # said again: it only gets a new time
            said = store.at_hand.memory(next(iter(store.at_hand.rows)))
            again = Memory("again", said.text, "user", said.scope, 99.0)
            await store.remember(f"again-{number}", again, None)
        if number % 10 == 9:
            await check(store)
    await store.forget("most", there[4:])
    await check(store)
    assert len(store.at_hand.rows) == 4


async def test_a_copy_taken_at_the_start_is_the_one_that_followed(
    store: SqliteStore, tmp_path: Path
) -> None:
    many = [memory(n, f"{WORDS[n % len(WORDS)]} {WORDS[n % 5]} n{n}") for n in range(200)]
    await store.restore("restore", many)
    await store.forget("gone", [f"id-{number}" for number in range(0, 200, 3)])
    await check(store)
    followed = dict(store.at_hand.rows)
    assert len(followed) == 133
    again = SqliteStore(tmp_path / "memory.sqlite", NoteBook())
    async with again.open():
        assert again.at_hand.rows == followed
        assert again.at_hand.change == store.at_hand.change
        await check(again)


async def test_a_row_number_that_is_used_again_is_another_memory(store: SqliteStore) -> None:
    await store.remember("a", memory(1, "the red bicycle"), None)
    (row,) = store.at_hand.rows
    assert store.at_hand.memory(row).text == "the red bicycle"
    await store.forget("b", ["id-1"])
    await store.remember("c", memory(2, "the blue lamp"), None)
    assert list(store.at_hand.rows) == [row]
    assert store.at_hand.memory(row).text == "the blue lamp"
    assert await here(store, ["bicycle"], EVERYWHERE) == []
    assert await here(store, ["lamp"], EVERYWHERE) == ["id-2"]


async def test_a_word_of_which_fts5_makes_several_is_looked_for_in_the_file(
    store: SqliteStore,
) -> None:
    await store.remember("a", memory(1, "dinner is at seven o'clock"), None)
    await store.remember("b", memory(2, "the clock is broken, o dear"), None)
    assert store._matching_here(["o'clock"], 9, EVERYWHERE, None) is None
    found = await store.matching(["o'clock"], limit=9, where=EVERYWHERE, vector=None)
    assert [one.memory.id for one in found] == ["id-1"]


async def test_more_objects_than_are_kept_are_made_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_hand_module, "MADE", 3)
    await store.restore("restore", [memory(n, f"lamp n{n}") for n in range(9)])
    for _ in range(2):
        assert len(await here(store, ["lamp"], EVERYWHERE)) == 9


async def test_vectors_of_a_store_without_a_copy_are_followed_all_the_same(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_hand_module, "MEMORIES", 0)
    await store.at_hand.read_anew()
    embedder = WordEmbedder()
    await store.adopt_model(embedder.name, embedder.dimension)
    vector = embedder.embed(["red lamp"])[0]
    await store.remember("a", memory(1, "red lamp"), vector)
    (found,) = await store.similar(vector, limit=2, where=EVERYWHERE)
    assert found.memory.id == "id-1"


def test_stems_are_those_of_fts5_and_bounded() -> None:
    stems = Stems()
    assert [stems.stem(word) for word in ("bicycles", "Café", "o'clock", "…")] == [
        "bicycl",
        "cafe",
        None,
        None,
    ]
    assert stems.terms([]) == []
    assert [sorted(one) for one in stems.terms(["a lamp, a key", ""])] == [
        ["a", "a", "kei", "lamp"],
        [],
    ]
    for number in range(KEPT + 10):
        stems.stem(f"w{number}")
    assert len(stems._known) == KEPT
    stems.close()


async def test_much_work_on_the_loop_is_spread_over_its_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "ROUND_S", 0.0)
    turns = Turns()
    done: list[int] = []
    seen: list[int] = []

    async def watch() -> None:
        while len(done) < 50:
            seen.append(len(done))
            await asyncio.sleep(0)

    async with asyncio.timeout(TIME_S), asyncio.TaskGroup() as group:
        group.create_task(watch(), name="watch")
        for number in range(50):
            group.create_task(turns.take(done.append, number), name=f"{number}")
    assert done == list(range(50))
    assert max(b - a for a, b in pairwise(seen)) <= 2


async def test_work_that_fails_lets_the_next_one_have_its_turn() -> None:
    turns = Turns()
    async with asyncio.timeout(TIME_S):
        with pytest.raises(ZeroDivisionError):
            await turns.take(divmod, 1, 0)
        assert await turns.take(divmod, 7, 2) == (3, 1)


@pytest.mark.parametrize("cancelled_at", ["commit", "follow"])
async def test_what_was_forgotten_does_not_come_back_when_the_caller_was_cancelled(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, cancelled_at: str
) -> None:
    """The write is done in its thread, also when nobody waits for it any more."""
    await store.remember("m1", memory(1, "the red bicycle"), None)
    begun = asyncio.Event()

    async def held(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        if cancelled_at == "follow":
            patch.setattr(store.at_hand, "follow", held)
        else:
            write = store._file.write

            async def committed(*args: Any, **kwargs: Any) -> None:
                await write(*args, **kwargs)
                await held()

            patch.setattr(store._file, "write", committed)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(store.forget("m2", ["id-1"]), name="forget")
            await begun.wait()
            task.cancel()
    found = await store.matching(["bicycle"], limit=5, where=EVERYWHERE, vector=None)
    assert found == []
    await store.remember("m3", memory(2, "a blue bicycle"), None)
    found = await store.matching(["bicycle"], limit=5, where=EVERYWHERE, vector=None)
    assert [one.memory.id for one in found] == ["id-2"]
