"""What every store of memories does, whatever is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import EngineError
from antiphon_memory.service import EVERYWHERE, Memory, MemoryStore, Outcome, Where
from antiphon_memory.testing import WordEmbedder
from antiphon_memory.utterances import content_words
from memory_backends import (
    MemoryBackend,
    MilvusMemoryBackend,
    PostgresMemoryBackend,
    SqliteMemoryBackend,
    recovering,
)
from numpy.typing import NDArray
from storage_servers import (
    MilvusLiteServer,
    PostgresServer,
    debian_postgres,
    running,
    wheel_postgres,
)

pytestmark = pytest.mark.integration

DIMENSION = 64
EMBEDDER = WordEmbedder(dimension=DIMENSION)
HOUSEHOLD = Where(("household",))
RED = "my bicycle is red"
PATIENCE_S = 60


def vector(text: str) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = EMBEDDER.embed([text])[0]
    return unit


def memory(name: str, text: str = RED, *, scope: str = "household", ts: float = 1.0) -> Memory:
    return Memory(name, text, "user", scope, ts)


async def put(
    store: MemoryStore, name: str, text: str, *, scope: str = "household", ts: float = 1.0
) -> Outcome:
    kept = memory(name, text, scope=scope, ts=ts)
    return await store.remember(f"m-{name}", kept, vector(text))


@pytest.fixture(scope="module")
def debian_server() -> Iterator[PostgresServer]:
    with running(PostgresServer(debian_postgres())) as server:
        yield server


@pytest.fixture(scope="module")
def pgvector_server() -> Iterator[PostgresServer]:
    with running(PostgresServer(wheel_postgres())) as server:
        yield server


@pytest.fixture(scope="module")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLiteServer]:
    with running(MilvusLiteServer(tmp_path_factory.mktemp("milvus"))) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", "pgvector", "milvus"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryBackend:
    if request.param == "postgres":
        return PostgresMemoryBackend(request.getfixturevalue("debian_server"))
    if request.param == "milvus":
        return MilvusMemoryBackend(request.getfixturevalue("milvus_server"))
    if request.param == "pgvector":
        return PostgresMemoryBackend(request.getfixturevalue("pgvector_server"))
    return SqliteMemoryBackend(tmp_path / "memory.sqlite")


@pytest.fixture
async def store(backend: MemoryBackend) -> AsyncIterator[MemoryStore]:
    store = backend.store()
    async with asyncio.timeout(PATIENCE_S), store.open():
        await store.adopt_model("words", DIMENSION)
        yield store


async def test_a_write_is_done_once_per_message_also_after_reopening(
    backend: MemoryBackend,
) -> None:
    first = backend.store()
    told, gone = Outcome(("a",), (RED,), count=1), Outcome(("a",), count=1)
    async with asyncio.timeout(PATIENCE_S), first.open():
        assert await first.outcome_of("id-1") is None
        assert await first.remember("id-1", memory("a"), None) == told
        assert await first.remember("id-1", memory("b", "another text"), None) == told
        assert await first.forget("id-2", ["a", "zz"]) == told
    second = backend.store()
    async with asyncio.timeout(PATIENCE_S), second.open():
        # Deleted words are kept nowhere.
        assert await second.remember("id-1", memory("b"), None) == gone
        assert await second.recent(limit=5, where=EVERYWHERE) == []
        await put(second, "b", RED)
        assert await second.forget("id-2", ["a", "b"]) == gone
        assert [m.id for m in await second.recent(limit=5, where=EVERYWHERE)] == ["b"]
        assert await second.outcome_of("id-1") == gone
        assert await second.outcome_of("id-9") is None


async def test_the_same_text_only_gets_the_new_time(store: MemoryStore) -> None:
    await put(store, "a", RED)
    again = memory("b", "My BICYCLE is red", ts=7.0)
    assert await store.remember("m-b", again, None) == Outcome(("a",), (RED,), count=1)
    assert await store.recent(limit=5, where=EVERYWHERE) == [memory("a", ts=7.0)]
    assert (await put(store, "c", RED, scope="anna")).ids == ("c",)
    near = await store.similar(vector("bicycle"), limit=5, where=EVERYWHERE)
    assert {one.memory.id: one.memory.ts for one in near} == {"a": 7.0, "c": 1.0}


async def test_what_is_stored_is_returned_whole(store: MemoryStore) -> None:
    odd = Memory(
        'i"d\\1', "quo\"te ' back\\slash % _ \N{GRINNING FACE} größe", "file:x", "a'b", 1.5
    )
    await store.remember("m'1", odd, vector("größe"))
    assert await store.recent(limit=1, where=Where(("a'b",))) == [odd]
    assert (await store.similar(vector("größe"), limit=1, where=Where(("a'b",))))[0].memory == odd
    assert (await store.outcome_of("m'1")) == Outcome((odd.id,), (odd.text,), count=1)
    assert (await store.forget("m'2", [odd.id])).texts == (odd.text,)


async def test_the_nearest_come_first_in_their_scope(store: MemoryStore) -> None:
    await put(store, "a", RED)
    await put(store, "b", "the tent is in the attic", scope="anna")
    await put(store, "c", "the red tent has a hole")
    found = await store.similar(vector("bicycle"), limit=1, where=EVERYWHERE)
    assert [one.memory.id for one in found] == ["a"]
    assert found[0].cosine == pytest.approx(2**-0.5, abs=1e-5)
    both = await store.similar(vector("red tent"), limit=5, where=HOUSEHOLD)
    assert [one.memory.id for one in both] == ["c", "a"]
    only = await store.similar(vector("bicycle"), limit=5, where=Where(("anna",)))
    assert [one.memory.id for one in only] == ["b"]
    assert await store.similar(vector("bicycle"), limit=5, where=Where(("nobody",))) == []


async def test_vectors_are_there_again_after_reopening(backend: MemoryBackend) -> None:
    for _ in range(2):
        store = backend.store()
        async with asyncio.timeout(PATIENCE_S), store.open():
            await store.adopt_model("words", DIMENSION)
            await put(store, "a", RED)
            await put(store, "b", "the tent is in the attic")
            found = await store.similar(vector("tent"), limit=1, where=EVERYWHERE)
            assert [one.memory.id for one in found] == ["b"]


async def test_the_newest_come_first(store: MemoryStore) -> None:
    for number in (2, 0, 1):
        scope = "anna" if number == 1 else "household"
        await put(store, f"n{number}", f"fact {number}", ts=float(number), scope=scope)
    everything = await store.recent(limit=9, where=EVERYWHERE)
    assert [one.id for one in everything] == ["n2", "n1", "n0"]
    assert [one.id for one in await store.recent(limit=1, where=EVERYWHERE)] == ["n2"]
    assert [one.id for one in await store.recent(limit=9, where=HOUSEHOLD)] == [
        "n2",
        "n0",
    ]


async def test_forgotten_is_gone_from_words_and_vectors(store: MemoryStore) -> None:
    await put(store, "a", "my bicycle is chartreuse")
    await put(store, "b", RED)
    gone = await store.forget("f", ["a", "zz"])
    assert gone == Outcome(("a",), ("my bicycle is chartreuse",), count=1)
    words = vector("chartreuse bicycle")
    near = await store.similar(words, limit=5, where=EVERYWHERE)
    assert [one.memory.id for one in near] == ["b"]
    assert await store.matching(["chartreuse"], limit=5, where=EVERYWHERE, vector=words) == []
    assert await store.forget("f2", []) == Outcome()


async def test_a_forgotten_text_can_be_told_again(store: MemoryStore) -> None:
    await put(store, "a", RED)
    await store.forget("f", ["a"])
    assert (await put(store, "b", RED)).ids == ("b",)
    assert [one.id for one in await store.recent(limit=5, where=EVERYWHERE)] == ["b"]


async def test_words_match_by_scope_and_the_rarer_word_counts_more(store: MemoryStore) -> None:
    await put(store, "a", "the bicycle is in the shed")
    for number in range(6):
        await put(store, f"s{number}", f"shed number {number} is dry")
    await put(store, "c", "a bicycle has wheels", scope="anna")
    found = await store.matching(["bicycle", "shed"], limit=3, where=HOUSEHOLD, vector=None)
    assert len(found) == 3
    assert found[0].memory.id == "a"
    assert all(one.cosine is None for one in found)
    other = await store.matching(["bicycle", "shed"], limit=9, where=EVERYWHERE, vector=None)
    assert {one.memory.id for one in other[:2]} == {"a", "c"}
    assert len(other) == 8
    assert await store.matching([], limit=3, where=EVERYWHERE, vector=None) == []


async def test_words_match_with_their_cosines(store: MemoryStore) -> None:
    await put(store, "a", RED)
    await store.remember("m-b", memory("b", "a bicycle has wheels"), None)
    found = await store.matching(["bicycle"], limit=5, where=EVERYWHERE, vector=vector("bicycle"))
    cosines = {one.memory.id: one.cosine for one in found}
    assert cosines == {"a": pytest.approx(2**-0.5, abs=1e-5), "b": None}


@pytest.mark.parametrize("asked", ["Größe", "CAFÉ", "cafe", "O'Brien", "O’Brien's", "4711"])
async def test_words_of_other_alphabets_are_found(store: MemoryStore, asked: str) -> None:
    await put(store, "a", "die größe, das Café, O'Brien und 4711")
    await put(store, "b", RED)
    found = await store.matching(content_words(asked), limit=5, where=EVERYWHERE, vector=None)
    assert [one.memory.id for one in found] == ["a"]


@pytest.mark.parametrize("words", [['"'], ["a*"], ["NEAR"], ["x OR y)"], ["-"], ["'"], ["\\"]])
async def test_no_word_breaks_the_query_language(store: MemoryStore, words: list[str]) -> None:
    await put(store, "a", "something")
    assert await store.matching(words, limit=5, where=EVERYWHERE, vector=None) == []


async def test_memories_get_their_vectors_later(store: MemoryStore) -> None:
    await store.remember("m-a", memory("a"), None)
    await put(store, "b", "the tent is in the attic")
    assert await store.count_unembedded() == 1
    assert await store.unembedded(5) == [memory("a")]
    near = await store.similar(vector("bicycle"), limit=5, where=EVERYWHERE)
    assert [one.memory.id for one in near] == ["b"]
    await store.set_vectors(["a", "gone"], np.stack([vector(RED), vector("x")]))
    assert await store.count_unembedded() == 0
    assert await store.unembedded(5) == []
    near = await store.similar(vector("bicycle"), limit=1, where=EVERYWHERE)
    assert [one.memory.id for one in near] == ["a"]
    assert len(await store.recent(limit=5, where=EVERYWHERE)) == 2


async def test_another_model_drops_the_vectors_and_keeps_the_texts(store: MemoryStore) -> None:
    await put(store, "a", RED)
    await store.adopt_model("words", DIMENSION)
    assert await store.count_unembedded() == 0
    await store.adopt_model("other", 8)
    assert await store.count_unembedded() == 1
    assert [m.id for m in await store.unembedded(5)] == ["a"]
    eight = np.eye(8, dtype=np.float32)
    assert await store.similar(eight[0], limit=1, where=EVERYWHERE) == []
    await store.set_vectors(["a"], eight[:1])
    assert (await store.similar(eight[0], limit=1, where=EVERYWHERE))[0].cosine == pytest.approx(
        1.0
    )
    assert await store.matching(["bicycle"], limit=1, where=EVERYWHERE, vector=None) != []


async def test_what_says_the_same_only_gets_a_newer_time(store: MemoryStore) -> None:
    await put(store, "a", RED, ts=5.0)
    said = memory("b", "the colour of my bicycle is red", ts=9.0)
    assert await store.remember("m-b", said, None, same="a") == Outcome(("a",), (RED,), count=1)
    await store.remember("m-c", memory("c", ts=2.0), None)
    assert await store.recent(limit=9, where=EVERYWHERE) == [memory("a", ts=9.0)]


async def test_what_is_superseded_is_kept_and_not_found(store: MemoryStore) -> None:
    await put(store, "a", RED)
    blue = memory("b", "my bicycle is blue", ts=2.0)
    told = await store.remember("m-b", blue, vector(blue.text), replaces=["a", "zz"])
    assert told == Outcome(("b",), (blue.text,), (RED,), count=1)
    assert await store.remember("m-b", blue, None) == told
    assert await store.recent(limit=9, where=EVERYWHERE) == [blue]
    near = await store.similar(vector(RED), limit=9, where=EVERYWHERE)
    words = await store.matching(["bicycle", "red"], limit=9, where=EVERYWHERE, vector=None)
    assert [one.memory for one in near] == [one.memory for one in words] == [blue]
    assert await store.count_unembedded() == 0
    assert await store.count(EVERYWHERE) == 2
    old = replace(memory("a"), superseded_by="b")
    rows = partial(store.rows, after="", limit=9, where=EVERYWHERE)
    assert await rows(superseded=True) == [old, blue]
    assert await rows(superseded=False) == [blue]
    # The old text may be told again, and replace in its turn; then all goes together.
    await store.remember("m-c", memory("c", ts=3.0), None, replaces=["b"])
    gone = await store.forget("f", ["c"])
    assert (gone.ids[0], set(gone.ids), gone.count) == ("c", {"a", "b", "c"}, 3)
    assert await store.count(EVERYWHERE) == 0


async def test_memories_are_restored_under_their_own_ids(store: MemoryStore) -> None:
    await put(store, "a", RED)
    old = replace(memory("old", "my bicycle is blue"), superseded_by="a")
    whole = [memory("a", "other words"), memory("b", RED), memory("c", "the tent leaks"), old]
    done = await store.restore("r", whole)
    assert done == Outcome(("c", "old"), ("the tent leaks", "my bicycle is blue"), count=2)
    assert await store.restore("r", [memory("d", "more")]) == done
    assert [m.id for m in await store.unembedded(9)] == ["c"]
    assert await store.count(EVERYWHERE) == 3
    assert (await store.forget("f", ["a"])).ids == ("a", "old")


async def test_whole_scopes_are_forgotten(store: MemoryStore) -> None:
    for name in ("anna", "ben", "cora"):
        for number in range(2):
            await put(store, f"{name}{number}", f"fact {number}", scope=name)
    assert await store.count(Where(("anna", "ben"))) == 4
    gone = await store.forget_all("f1", Where(("anna", "nobody")))
    assert (set(gone.ids), gone.count) == ({"anna0", "anna1"}, 2)
    assert await store.forget_all("f1", EVERYWHERE) == Outcome(gone.ids, count=2)
    assert await store.count(EVERYWHERE) == 4
    assert (await store.forget_all("f2", EVERYWHERE)).count == 4
    assert await store.similar(vector("fact"), limit=9, where=EVERYWHERE) == []


async def test_scopes_sources_and_times_narrow_every_search(store: MemoryStore) -> None:
    for number in range(12):
        kept = Memory(f"n{number:02}", f"tent {number}", f"s{number % 3}", f"c{number % 2}", number)
        await store.remember(f"m{number}", kept, vector("tent"))
    for where, wanted in {
        Where(("c0",)): {0, 2, 4, 6, 8, 10},
        Where(("c0", "c1"), ("s1", "s2")): {1, 2, 4, 5, 7, 8, 10, 11},
        Where(since=3.0, until=6.0): {3, 4, 5},
        Where(("c1",), ("s0",), since=4.0): {9},
    }.items():
        ids = {f"n{number:02}" for number in wanted}
        near = await store.similar(vector("tent"), limit=len(ids), where=where)
        words = await store.matching(["tent"], limit=99, where=where, vector=None)
        recent = await store.recent(limit=99, where=where)
        assert {one.memory.id for one in near} == ids
        assert {one.memory.id for one in words} == ids
        assert [one.id for one in recent] == sorted(ids, reverse=True)


async def test_rows_are_read_in_parts_and_their_vectors_by_id(store: MemoryStore) -> None:
    names = ["b", "a", "B", "ä", "a-1", "a1", "Z", "\N{GRINNING FACE}", "~"]
    for number, name in enumerate(names):
        await put(store, name, f"fact {number}", ts=number / 3)
    await store.remember("m-0", memory("0", "no vector yet", scope="anna"), None)
    found: list[Memory] = []
    while part := await store.rows(
        after=found[-1].id if found else "", limit=3, where=EVERYWHERE, superseded=True
    ):
        found += part
    assert [one.id for one in found] == sorted(["0", *names])
    vectors = await store.vectors_of([one.id for one in found])
    assert {name: one.tolist() for name, one in vectors.items()} == {
        name: vector(f"fact {number}").tolist() for number, name in enumerate(names)
    }
    only = await store.rows(after="", limit=9, where=Where(("anna",)), superseded=False)
    assert [one.id for one in only] == ["0"]


async def test_the_model_of_the_vectors_is_known(backend: MemoryBackend) -> None:
    store = backend.store()
    async with asyncio.timeout(PATIENCE_S), store.open():
        assert await store.model() is None
        await store.adopt_model("words", DIMENSION)
        await store.adopt_model("other", 8)
    store = backend.store()
    async with asyncio.timeout(PATIENCE_S), store.open():
        assert await store.model() == ("other", 8)


async def test_writers_at_once_lose_nothing_and_double_nothing(
    backend: MemoryBackend, store: MemoryStore
) -> None:
    async def one(number: int) -> Outcome:
        return await store.remember(
            f"m-{number % 12}", memory(f"{number}", f"fact {number % 6}"), vector("fact")
        )

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(24)]
    kept = await store.recent(limit=50, where=EVERYWHERE)
    assert sorted(m.text for m in kept) == [f"fact {number}" for number in range(6)]
    ids = {m.text: m.id for m in kept}
    for number, task in enumerate(tasks):
        assert task.result() == Outcome(
            (ids[f"fact {number % 6}"],), (f"fact {number % 6}",), count=1
        )


async def test_a_cancelled_write_is_whole_or_not_there(store: MemoryStore) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(put(store, str(n), f"fact {n}")) for n in range(12)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    assert (await put(store, "after", RED)).ids == ("after",)
    stored = {one.id for one in await store.recent(limit=50, where=EVERYWHERE)}
    assert {str(n) for n in range(1, 12, 2)} <= stored
    for number in range(0, 12, 2):
        assert (await put(store, str(number), f"fact {number}")).ids == (str(number),)
    assert len(await store.recent(limit=50, where=EVERYWHERE)) == 13


async def test_it_says_what_failed_and_goes_on_when_that_is_back(
    backend: MemoryBackend, store: MemoryStore
) -> None:
    await put(store, "a", RED)
    async with recovering(backend):
        with pytest.raises(EngineError, match=r"; ") as raised:
            await put(store, "b", "the tent is in the attic")
        assert raised.value.retryable
        assert "tent" not in str(raised.value)
    assert await put(store, "b", "the tent is in the attic") == Outcome(
        ("b",), ("the tent is in the attic",), count=1
    )
    assert {one.id for one in await store.recent(limit=5, where=EVERYWHERE)} == {"a", "b"}
    near = await store.similar(vector("tent"), limit=1, where=EVERYWHERE)
    assert [one.memory.id for one in near] == ["b"]


async def test_old_outcomes_are_pruned(backend: MemoryBackend) -> None:
    store = backend.store(now=lambda: 100.0)
    async with asyncio.timeout(PATIENCE_S), store.open():
        await store.remember("id-1", memory("a"), None)
        await store.prune(outcomes_before=100.0)
        assert await store.outcome_of("id-1") is not None
        await store.prune(outcomes_before=100.1)
        assert await store.outcome_of("id-1") is None
        assert await store.recent(limit=5, where=EVERYWHERE) == [memory("a")]


async def test_a_closed_store_says_so(backend: MemoryBackend) -> None:
    store = backend.store()
    async with asyncio.timeout(PATIENCE_S), store.open():
        pass
    with pytest.raises(EngineError, match="closed"):
        await store.recent(limit=1, where=EVERYWHERE)
