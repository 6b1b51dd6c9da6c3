"""What is done otherwise while a store is small must find the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from antiphon_contracts import EngineError
from antiphon_memory.service import EVERYWHERE, Memory, Where
from antiphon_memory.sqlite import at_hand as at_hand_module
from antiphon_memory.sqlite import embeddings as embeddings_module
from antiphon_memory.sqlite.memories import SEARCHES_AT_ONCE, SqliteStore
from antiphon_memory.testing import NoteBook, WordEmbedder

pytestmark = pytest.mark.unit

TIME_S = 30
TEXTS = [
    "the red bicycle is in the garage",
    "the blue bicycle belongs to anna",
    "red wine is in the cellar",
    "coffee is bought on monday",
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    embedder = WordEmbedder()
    store = SqliteStore(tmp_path / "memory.sqlite", NoteBook())
    async with asyncio.timeout(TIME_S), store.open():
        await store.adopt_model(embedder.name, embedder.dimension)
        vectors = embedder.embed(TEXTS)
        for number, text in enumerate(TEXTS):
            scope = "household" if number % 2 else "person:anna"
            await store.remember(f"m{number}", Memory(f"{number}", text, "user", scope, 1.0), None)
        await store.set_vectors([str(number) for number in range(len(TEXTS))], vectors)
        yield store


async def everything(store: SqliteStore) -> list[list[tuple[str, float]]]:
    vector = WordEmbedder().embed(["red bicycle"])[0]
    found = []
    for where in (EVERYWHERE, Where(("household",)), Where(sources=("elsewhere",))):
        near = await store.similar(vector, limit=3, where=where)
        matching = await store.matching(["red", "bicycle"], limit=3, where=where, vector=vector)
        found += [
            [(one.memory.id, round(one.cosine or 0.0, 5)) for one in ranking]
            for ranking in (near, matching)
        ]
    return found


async def test_what_is_found_does_not_depend_on_where_it_is_looked_for(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await everything(store)
    assert here[1][0][0] == "0"
    assert here[4:] == [[], []]
    monkeypatch.setattr(embeddings_module, "ON_LOOP", 0)
    assert await everything(store) == here
    monkeypatch.setattr(at_hand_module, "MEMORIES", 0)
    await store.at_hand.read_anew()
    assert store.at_hand.change is None
    assert await everything(store) == here


@pytest.mark.parametrize("limit", ["MEMORIES", "CHARS"])
async def test_a_store_that_grows_is_searched_as_a_large_one_from_then_on(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(at_hand_module, limit, 4)
    assert len(await store.matching(["coffee"], limit=3, where=EVERYWHERE, vector=None)) == 1
    more = Memory("more", "coffee is sold out", "user", "household", 1.0)
    await store.remember("more", more, None)
    assert store.at_hand.change is None
    assert store.at_hand.rows == {}
    found = await store.matching(["coffee"], limit=3, where=EVERYWHERE, vector=None)
    assert {one.memory.id for one in found} == {"3", "more"}
    assert await store.matching(["tea"], limit=3, where=EVERYWHERE, vector=None) == []
    await store.forget("forget", ["more"])
    assert len(await store.matching(["coffee"], limit=3, where=EVERYWHERE, vector=None)) == 1


async def test_while_vectors_are_changed_a_search_waits_in_the_thread_and_not_on_the_loop(
    store: SqliteStore,
) -> None:
    index = store.embeddings.index
    assert index is not None
    began, go_on = asyncio.Event(), threading.Event()
    loop, remove = asyncio.get_running_loop(), index.remove

    def slowly(keys: list[int]) -> None:
        loop.call_soon_threadsafe(began.set)
        assert go_on.wait(TIME_S)
        remove(keys)

    index.remove = slowly  # type: ignore[method-assign,assignment]
    vector = WordEmbedder().embed(["red bicycle"])[0]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(store.forget("forget", ["0"]), name="forget")
            await began.wait()
            search = group.create_task(
                store.similar(vector, limit=3, where=EVERYWHERE), name="search"
            )
            # The loop still runs; a search on it would wait for the lock for ever.
            await store.count(EVERYWHERE)
            assert not search.done()
            go_on.set()
    finally:
        go_on.set()
    assert "0" not in [one.memory.id for one in search.result()]


async def test_many_at_once_are_all_answered(
    store: SqliteStore,
) -> None:
    vector = WordEmbedder().embed(["red bicycle"])[0]
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(store.similar(vector, limit=1, where=EVERYWHERE), name=f"{number}")
            for number in range(25 * SEARCHES_AT_ONCE)
        ]
    assert {one.result()[0].memory.id for one in asked} == {"0"}


async def test_a_closed_store_is_not_searched(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "closed.sqlite", NoteBook())
    async with asyncio.timeout(TIME_S), store.open():
        await store.adopt_model("words", 512)
    with pytest.raises(EngineError, match="closed"):
        await store.matching(["red"], limit=1, where=EVERYWHERE, vector=None)
