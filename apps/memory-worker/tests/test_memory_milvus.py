"""What is Milvus' own: writes without transactions, databases, slow and dead servers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_memory import milvus as milvus_store
from antiphon_memory.milvus import memories as memories_module
from antiphon_memory.milvus import server as server_module
from antiphon_memory.milvus.memories import MilvusMemories
from antiphon_memory.milvus.server import MilvusServer
from antiphon_memory.service import EVERYWHERE, Memory, Outcome, Where
from antiphon_memory.settings import MemorySettings
from antiphon_memory.testing import NoteBook, WordEmbedder
from antiphon_runtime.broker.address import free_port
from numpy.typing import NDArray
from storage_servers import MilvusLiteServer, running

pytestmark = pytest.mark.integration

DIMENSION = 8
EMBEDDER = WordEmbedder(dimension=DIMENSION)
PATIENCE_S = 60
RED = "my bicycle is red"
BLUE = "my bicycle is blue"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLiteServer]:
    with running(MilvusLiteServer(tmp_path_factory.mktemp("milvus"))) as server:
        yield server


def built(url: str, **more: str) -> MilvusMemories:
    settings = MemorySettings.model_validate({"milvus_url": url, **more})
    return milvus_store.memory_store(settings, Path("/nowhere"), NoteBook())


def vector(text: str) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = EMBEDDER.embed([text])[0]
    return unit


def memory(name: str, text: str = RED, *, ts: float = 1.0) -> Memory:
    return Memory(name, text, "user", "household", ts)


async def put(store: MilvusMemories, name: str, text: str, *, ts: float = 1.0) -> Outcome:
    return await store.remember(f"m-{name}", memory(name, text, ts=ts), vector(text))


async def names(store: MilvusMemories) -> list[str]:
    rows = await store.rows(after="", limit=999, where=EVERYWHERE, superseded=True)
    return [f"{one.id}<{one.superseded_by}" if one.superseded_by else one.id for one in rows]


class Cut(Exception):  # noqa: N818  (no error: the moment of a crash)
    """The process ends here."""


class Counting:
    """Ends the process at a write: before it is sent, or before its answer comes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at: int, arrives: bool) -> None:
        self.left = at
        self._arrives = arrives
        for name in ("put", "delete"):
            monkeypatch.setattr(MilvusServer, name, self._cut(getattr(MilvusServer, name)))

    def _cut(self, whole: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def write(server: MilvusServer, collection: str, what: object) -> None:
            self.left -= 1
            if self.left != 0 or self._arrives:
                await whole(server, collection, what)
            if self.left == 0:
                raise Cut

        return write


async def _remember(store: MilvusMemories) -> Outcome:
    return await store.remember("w", memory("b", BLUE), vector(BLUE), replaces=["a"])


async def _confirm(store: MilvusMemories) -> Outcome:
    return await store.remember("w", memory("z", RED, ts=9.0), None)


async def _restore(store: MilvusMemories) -> Outcome:
    return await store.restore("w", [memory("b", BLUE), memory("c", "the tent leaks")])


async def _forget(store: MilvusMemories) -> Outcome:
    return await store.forget("w", ["a"])


async def _forget_all(store: MilvusMemories) -> Outcome:
    return await store.forget_all("w", Where(("household",)))


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize(
    ("write", "before", "after"),
    [
        (_remember, ["0<a", "a"], ["0<a", "a<b", "b"]),
        (_confirm, ["0<a", "a"], ["0<a", "a"]),
        (_restore, ["0<a", "a"], ["0<a", "a", "b", "c"]),
        (_forget, ["0<a", "a"], []),
        (_forget_all, ["0<a", "a"], []),
    ],
)
async def test_a_crash_in_the_middle_of_a_write_halves_nothing(
    server: MilvusLiteServer,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[MilvusMemories], Awaitable[Outcome]],
    before: list[str],
    after: list[str],
    *,
    arrives: bool,
) -> None:
    for at in (1, 2, 3):
        url = server.fresh_url()
        store = built(url)
        async with asyncio.timeout(PATIENCE_S), store.open():
            await put(store, "0", "an old text")
            await store.remember("m-a", memory("a"), None, replaces=["0"])
            with monkeypatch.context() as patch:
                Counting(patch, at=at, arrives=arrives)
                with pytest.raises(Cut):
                    await write(store)
        again = built(url)  # a new process
        async with asyncio.timeout(PATIENCE_S), again.open():
            done = await again.outcome_of("w")
            assert await names(again) == (before if done is None else after)
            repeated = await write(again)
            assert await names(again) == after
            assert done is None or repeated == done
            # What comes later is not undone by a late repetition.
            await again.forget("clean", [name.partition("<")[0] for name in after])
            assert (await write(again)).ids == repeated.ids
            assert await names(again) == []


async def test_what_failed_half_way_is_finished_before_the_next_write(
    server: MilvusLiteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = built(server.fresh_url())
    async with asyncio.timeout(PATIENCE_S), store.open():
        await put(store, "a", RED)
        with monkeypatch.context() as patch:
            Counting(patch, at=2, arrives=False)
            with pytest.raises(Cut):
                await _remember(store)
        assert await store.outcome_of("w") is None
        await put(store, "c", "the tent leaks")
        assert await names(store) == ["a<b", "b", "c"]
        assert await _remember(store) == Outcome(("b",), (BLUE,), (RED,), count=1)


async def test_many_are_written_in_batches_side_by_side(
    server: MilvusLiteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ROWS_AT_ONCE", 10)
    monkeypatch.setattr(memories_module, "ROWS_AT_ONCE", 10)
    store = built(server.fresh_url())
    async with asyncio.timeout(PATIENCE_S), store.open():
        texts = [f"fact {number}" for number in range(45)]
        many = [memory(f"n{number:02}", text) for number, text in enumerate([*texts, "FACT 7"])]
        done = await store.restore("r", many)
        assert (done.count, len(await names(store))) == (45, 45)
        await store.adopt_model("words", DIMENSION)  # each is written once more
        assert await store.count_unembedded() == 45
        ids = [one.id for one in many[:45]]
        await store.set_vectors(ids, np.stack([vector(text) for text in texts]))
        assert await store.count_unembedded() == 0
        assert len(await store.vectors_of(ids)) == 45
        assert (await store.forget("f", ids)).count == 45


async def test_the_newest_are_found_among_many(
    server: MilvusLiteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memories_module, "FEW", 4)
    now = 1_800_000_000.0
    url = server.fresh_url()
    store = MilvusMemories(url, now=lambda: now)
    async with asyncio.timeout(PATIENCE_S), store.open():
        times = [now - 3.0**power for power in range(18)]
        many = [memory(f"n{n:02}", f"fact {n}", ts=ts) for n, ts in enumerate(times)]
        same = [memory(f"s{n:02}", f"tent {n}", ts=5.0) for n in range(9)]
        await store.restore("r", [*many, *same])
        for limit in (1, 3, 7, 18):
            recent = await store.recent(limit=limit, where=EVERYWHERE)
            assert [one.id for one in recent] == [one.id for one in many[:limit]]
        oldest = await store.recent(limit=2, where=Where(until=6.0))
        assert [one.id for one in oldest] == ["s08", "s07"]


async def test_what_a_stopped_change_of_models_left_behind_is_dropped(
    server: MilvusLiteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.fresh_url()
    store = built(url)
    async with asyncio.timeout(PATIENCE_S), store.open():
        await store.adopt_model("words", DIMENSION)
        await put(store, "a", RED)
        with monkeypatch.context() as patch:
            Counting(patch, at=1, arrives=True)
            with pytest.raises(Cut):
                await store.adopt_model("other", 4)
        assert (await store.similar(vector(RED), limit=1, where=EVERYWHERE))[0].memory.id == "a"
    again = built(url)
    async with asyncio.timeout(PATIENCE_S), again.open():
        assert await again.model() == ("words", DIMENSION)
        assert await names(again) == ["a"]
        client = MilvusServer(url)
        found = await client.with_schema(lambda known: sorted(known.list_collections()))
        assert len(found) == 2


async def test_filters_say_what_is_meant_whatever_stands_in_them(server: MilvusLiteServer) -> None:
    store = built(server.fresh_url())
    async with asyncio.timeout(PATIENCE_S), store.open():
        await put(store, "a", RED)
        for odd in ('" or id != "', "\\", '\\" or "" == "', "\n\t\0", "{x}", "a\u2028b", "'%_"):
            assert await store.recent(limit=9, where=Where((odd,))) == []
            assert await store.recent(limit=9, where=Where(sources=(odd,))) == []
            assert await store.outcome_of(odd) is None
            assert (await store.forget(f"f{odd}", [odd])).count == 0
            scoped = Memory(f"id{odd}", "tent", "user", odd, 1.0)
            await store.remember(f"m{odd}", scoped, None)
            assert await store.recent(limit=9, where=Where((odd,))) == [scoped]
        assert await store.count(EVERYWHERE) == 8


async def test_what_is_too_long_is_told_and_stands_in_nobodys_way(
    server: MilvusLiteServer,
) -> None:
    store = built(server.fresh_url())
    async with asyncio.timeout(PATIENCE_S), store.open():
        with pytest.raises(EngineError, match=r"65,535 bytes in the field 'text'"):
            await store.remember("long", memory("l", "ä" * 40_000), None)
        assert (await put(store, "a", RED)).count == 1


async def test_a_server_that_hangs_is_told_in_time(
    server: MilvusLiteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "QUERY_TIMEOUT_S", 1.0)
    store = built(server.fresh_url())
    async with asyncio.timeout(PATIENCE_S), store.open():
        await store.adopt_model("words", DIMENSION)
        await put(store, "a", RED)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for ask in (
                store.recent(limit=1, where=EVERYWHERE),
                store.similar(vector(RED), limit=1, where=EVERYWHERE),
                put(store, "b", BLUE),
            ):
                begun = time.monotonic()
                with pytest.raises(EngineError, match="did not answer in time") as raised:
                    await ask
                assert raised.value.retryable
                assert time.monotonic() - begun < 5
        finally:
            os.kill(server.pid, signal.SIGCONT)
        monkeypatch.undo()
        assert (await put(store, "b", BLUE)).ids == ("b",)
        assert await names(store) == ["a", "b"]


async def test_a_dead_server_is_told_at_once_and_used_again_when_it_is_back(
    server: MilvusLiteServer,
) -> None:
    store = built(server.fresh_url())
    async with asyncio.timeout(2 * PATIENCE_S), store.open():
        await store.adopt_model("words", DIMENSION)
        await put(store, "a", RED)
        await asyncio.to_thread(server.kill)
        begun = time.monotonic()
        with pytest.raises(EngineError, match="cannot be reached; start it") as raised:
            await store.recent(limit=1, where=EVERYWHERE)
        assert time.monotonic() - begun < server_module.QUERY_TIMEOUT_S + 2
        assert raised.value.retryable
        await asyncio.to_thread(server.start)
        found = await store.matching(["bicycle"], limit=1, where=EVERYWHERE, vector=vector(RED))
        assert [one.memory.id for one in found] == ["a"]
        assert (await put(store, "b", BLUE)).ids == ("b",)


async def test_a_file_of_milvus_lite_needs_no_server(tmp_path: Path) -> None:
    path = str(tmp_path / "memories.db")
    for _ in range(2):
        store = built(path)
        async with asyncio.timeout(PATIENCE_S), store.open():
            await store.adopt_model("words", DIMENSION)
            await put(store, "a", RED)
            assert await names(store) == ["a"]
    from milvus_lite.server_manager import server_manager_instance

    await asyncio.to_thread(server_manager_instance.release_server, path)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:{free}", "cannot be reached; start it"),
        ("http://anna:geheim@127.0.0.1:{free}/x", "cannot be reached; start it"),
        ("ftp://geheim@127.0.0.1", "write http://HOST:19530"),
        ("geheim", "write http://HOST:19530"),
    ],
)
async def test_what_is_wrong_is_told_without_the_password(url: str, sentence: str) -> None:
    store = built(url.format(free=free_port()), milvus_token="root:geheim")
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=sentence) as raised:
        async with asyncio.timeout(PATIENCE_S), store.open():
            pass
    assert time.monotonic() - begun < 2 * server_module.CONNECT_TIMEOUT_S
    assert "geheim" not in str(raised.value)
