from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import (
    HISTORY_APPEND,
    HISTORY_QUERY,
    MEMORY_FORGET,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    EngineError,
    HistoryAppend,
    HistoryQuery,
    MemoryDone,
    MemoryForget,
    MemoryQuery,
    MemoryRemember,
    RemoteError,
    RequestTopic,
)
from antiphon_memory.embedding import Embedding
from antiphon_memory.reindexing import Reindexer
from antiphon_memory.service import Memory
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.sqlite.knowledge import SqliteKnowledge
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook, WordEmbedder
from antiphon_memory.wiring import Stores, wire
from antiphon_runtime import Bus, Wiring, Worker
from antiphon_runtime.testing import House

pytestmark = pytest.mark.integration

REQUESTS: list[RequestTopic[Any, Any]] = [
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    MEMORY_FORGET,
    HISTORY_APPEND,
    HISTORY_QUERY,
]


class Home:
    """A house with a memory worker, and short ways to ask it."""

    def __init__(self, house: House, bus: Bus, worker: Worker[MemorySettings]) -> None:
        self.house = house
        self.bus = bus
        self.health = worker.health

    async def remember(self, text: str, **more: str) -> MemoryDone:
        request = MemoryRemember(text=text, **more)
        return await self.house.bus.request(MEMORY_REMEMBER, request, timeout_s=5)

    async def find(self, text: str, **more: object) -> list[str]:
        request = MemoryQuery.model_validate({"text": text, **more})
        answer = await self.house.bus.request(MEMORY_QUERY, request, timeout_s=5)
        return [result.text for result in answer.results]

    async def forget(self, query: str = "", ids: tuple[str, ...] = ()) -> MemoryDone:
        request = MemoryForget(ids=ids, query=query or None)
        return await self.house.bus.request(MEMORY_FORGET, request, timeout_s=5)

    async def say(self, text: str, **more: object) -> None:
        turn = HistoryAppend.model_validate({"role": "user", "text": text, **more})
        await self.house.bus.request(HISTORY_APPEND, turn, timeout_s=5, site_id="kitchen")

    async def history(self, **more: object) -> list[str]:
        query = HistoryQuery.model_validate(more)
        answer = await self.house.bus.request(HISTORY_QUERY, query, timeout_s=5, site_id="kitchen")
        return [message.text for message in answer.messages]


def wire_with(
    path: Path, embedder: WordEmbedder, seen: list[Worker[MemorySettings]]
) -> Callable[[Worker[MemorySettings]], Wiring]:
    def build(worker: Worker[MemorySettings]) -> Wiring:
        seen.append(worker)
        store = SqliteStore(path, worker.health)
        talks = SqliteConversations(path.with_name("conversations.sqlite"), worker.health)
        documents = SqliteKnowledge(path.with_name("knowledge.sqlite"), worker.health)
        return wire(worker, Stores(store, talks, documents), embedder)

    return build


@asynccontextmanager
async def living(path: Path, embedder: WordEmbedder) -> AsyncIterator[Home]:
    seen: list[Worker[MemorySettings]] = []
    async with asyncio.timeout(30), House(requests=REQUESTS) as house:
        build = wire_with(path, embedder, seen)
        async with house.resident("memory", MemorySettings(), build) as bus:
            yield Home(house, bus, seen[0])


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with living(tmp_path / "memory.sqlite", WordEmbedder()) as home:
        yield home


async def test_what_was_told_is_found_and_noise_is_not(home: Home) -> None:
    done = await home.remember("  My bicycle\n is  red ")
    assert done.error is None
    assert done.texts == ("My bicycle is red",)
    await home.remember("the tent is in the attic")
    assert await home.find("what colour is my bicycle") == ["My bicycle is red"]
    assert await home.find("who wrote Hamlet") == []
    assert await home.find("what is it") == []
    assert await home.find("") == []


async def test_results_carry_score_source_and_time(home: Home) -> None:
    await home.remember("my bicycle is red", source="tools")
    query = MemoryQuery(text="red bicycle")
    (result,) = (await home.house.bus.request(MEMORY_QUERY, query, timeout_s=5)).results
    assert result.score == pytest.approx(1.0, abs=1e-5)
    assert result.source == "tools"
    assert result.ts > 1.6e9


@pytest.mark.parametrize("text", ["what colour is my bicycle?", "ok", "thank you", " \n "])
async def test_questions_and_acknowledgements_are_not_stored(home: Home, text: str) -> None:
    done = await home.remember(text)
    assert done.error
    assert done.ids == ()
    assert await home.find("anything", strategy="recent") == []


async def test_the_same_fact_twice_is_one_memory(home: Home) -> None:
    first = await home.remember("my bicycle is red")
    assert (await home.remember("My bicycle  is RED")).ids == first.ids


async def test_a_resent_message_is_executed_once_after_a_restart(tmp_path: Path) -> None:
    request = MemoryRemember(text="my bicycle is red")
    answers = []
    for _ in range(2):
        async with living(tmp_path / "memory.sqlite", WordEmbedder()) as home:
            answers.append(
                await home.house.bus.request(
                    MEMORY_REMEMBER, request, timeout_s=5, message_id="the-same"
                )
            )
            await home.forget(ids=answers[0].ids)
            assert await home.find("bicycle", strategy="recent") == []
    assert answers[0].ids == answers[1].ids != ()
    assert answers[1].texts == ()  # forgotten words are not kept to be said again


async def test_top_k_budget_scope_and_recent(home: Home) -> None:
    for number in range(8):
        await home.remember(f"box {number} holds nails")
    await home.remember("box of chocolates", scope="site:kitchen")
    assert len(await home.find("box nails", top_k=3)) == 3
    assert len(await home.find("box nails", max_tokens=12)) == 2
    assert await home.find("box", scope="site:kitchen") == ["box of chocolates"]
    assert await home.find("", strategy="recent", top_k=2, scopes=("all",)) == [
        "box of chocolates",
        "box 7 holds nails",
    ]
    assert await home.find("box nails", strategy="similarity", scope="nowhere") == []
    both = await home.find("box", scopes=("site:kitchen", "household"), top_k=20)
    assert len(both) == 9
    assert len(await home.find("box", top_k=20)) == 8  # not the kitchen: another site asks
    assert len(await home.find("box", scopes=("all",), top_k=20)) == 9


async def test_a_site_and_the_household_are_asked_unless_others_are_named(home: Home) -> None:
    await home.remember("the lamp is green")
    await home.remember("the lamp is broken", scope="site:kitchen")
    await home.remember("the lamp belongs to Anna", scope="person:Anna")
    query = MemoryQuery(text="lamp")
    answer = await home.house.bus.request(MEMORY_QUERY, query, timeout_s=5, site_id="kitchen")
    assert {one.text: one.scope for one in answer.results} == {
        "the lamp is green": "household",
        "the lamp is broken": "site:kitchen",
    }
    assert await home.find("lamp", scopes=("person:Anna",)) == ["the lamp belongs to Anna"]


async def test_filters_of_source_and_time(home: Home) -> None:
    for number in range(60):
        await home.remember(f"box {number} holds nails", source="tools")
    await home.remember("a rusty box without nails", source="user")
    for strategy in ("hybrid", "similarity", "recent"):
        found = await home.find("box holds nails", strategy=strategy, sources=("user",))
        assert found == ["a rusty box without nails"], strategy
        assert await home.find("box", strategy=strategy, until=1000.0) == []
        assert await home.find("box", strategy=strategy, since=1e12) == []
        assert len(await home.find("box nails", strategy=strategy, since=1e9, top_k=100)) >= 50


@pytest.mark.parametrize("scope", ["anna", "", "person:", "site:a/b", "person:a\nb", "all"])
async def test_a_scope_that_is_none_is_refused(home: Home, scope: str) -> None:
    bad = MemoryRemember.model_construct(text="my bicycle is red", source="user", scope=scope)
    with pytest.raises(RemoteError):
        await home.house.bus.request(MEMORY_REMEMBER, bad, timeout_s=5)


async def test_forget_takes_the_best_match_or_nothing(home: Home) -> None:
    await home.remember("my bicycle is red")
    await home.remember("the tent is in the attic")
    assert (await home.forget("my elephant")).ids == ()
    done = await home.forget("that my bicycle is red")
    assert done.texts == ("my bicycle is red",)
    assert (await home.forget("that my bicycle is red")).ids == ()
    assert (await home.forget()).ids == ()
    assert await home.find("tent attic") == ["the tent is in the attic"]


async def test_history_is_by_site_or_session_within_budget_oldest_first(home: Home) -> None:
    for text in ("hello there", "what time is it", "it is ten"):
        await home.say(text)
    await home.say("elsewhere", session_id="other")
    assert await home.history() == ["hello there", "what time is it", "it is ten"]
    assert await home.history(max_tokens=7) == ["what time is it", "it is ten"]
    assert await home.history(session_id="other") == ["elsewhere"]
    assert await home.history(session_id="kitchen", max_age_s=3600) == await home.history()


async def test_without_a_model_words_alone_decide_and_health_says_so(tmp_path: Path) -> None:
    embedder = WordEmbedder(missing=True)
    async with living(tmp_path / "memory.sqlite", embedder) as home:
        assert home.health.state == "degraded"
        assert any("antiphon models fetch" in note for note in home.health.snapshot().notes)
        await home.remember("my bicycle is red")
        assert await home.find("what colour is my bicycle") == ["my bicycle is red"]
        assert await home.find("bicycle", strategy="similarity") == ["my bicycle is red"]
        assert await home.find("who wrote Hamlet") == []
        assert (await home.forget("blue bicycle")).ids == ()
        assert (await home.forget("my bicycle")).texts == ("my bicycle is red",)
    assert embedder.seen == []


async def caught_up(home: Home) -> None:
    while len(await home.find("holds nails", strategy="similarity", top_k=20)) < 20:
        pass  # each question gives the background its time; the caller bounds the wait


async def test_a_change_of_model_reads_everything_anew(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    async with living(path, WordEmbedder(missing=True)) as home:
        for number in range(20):
            await home.remember(f"box {number} holds nails")
    for name in ("first", "second"):
        embedder = WordEmbedder(name)
        async with living(path, embedder) as home:
            assert await home.find("box 7", top_k=1) == ["box 7 holds nails"]
            await caught_up(home)
            assert len(embedder.seen) >= 20
            assert home.health.engine == f"sqlite, {name}, 512 dimensions"
    embedder = WordEmbedder("second")
    async with living(path, embedder) as home:
        assert len(await home.find("box 7", top_k=20)) == 20
        assert embedder.seen == ["box 7"]
        assert home.health.state == "ready"


async def test_an_embedder_that_fails_loses_no_memory(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    async with living(tmp_path / "memory.sqlite", embedder) as home:
        embedder.failing = True
        assert (await home.remember("my bicycle is red")).error is None
        assert await home.find("red bicycle") == ["my bicycle is red"]


async def test_a_request_that_does_not_fit_is_refused_and_the_next_answered(home: Home) -> None:
    for raw in (b"", b"not json", b"[]", b'{"id":"x","type":"memory.query/1"}'):
        home.house.bus.publish_raw(MEMORY_QUERY, raw)
    bad = MemoryQuery.model_construct(text="x", top_k=0)
    with pytest.raises(RemoteError):
        await home.house.bus.request(MEMORY_QUERY, bad, timeout_s=5)
    await home.remember("my bicycle is red")
    assert await home.find("red bicycle") == ["my bicycle is red"]


async def test_nothing_that_people_say_is_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embedder = WordEmbedder()
    async with living(tmp_path / "memory.sqlite", embedder) as home:
        await home.remember("the xylophone is mine")
        await home.find("xylophone")
        embedder.failing = True
        await home.remember("the xylophone is yours")
        await home.find("xylophone")
        await home.forget("the xylophone")
        await home.say("xylophone")
    out, err = capfd.readouterr()
    assert "embedding_failed" in out + err
    assert "xylophone" not in (out + err).casefold()


async def test_reading_anew_says_how_far_it_is_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    said: list[str] = []

    class Listener(NoteBook):
        def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:
            said.append(sentence)
            super().note(name, sentence, for_s=for_s)

    notes, embedder = Listener(), WordEmbedder()
    store = SqliteStore(tmp_path / "memory.sqlite", notes)
    embedding = Embedding(embedder, notes)
    async with asyncio.timeout(10), store.open(), embedding.open():
        for number in range(10):
            memory = Memory(str(number), f"box {number}", "user", "household", 0.0)
            await store.remember(f"m{number}", memory, None)
        reindexer = Reindexer(store, embedding, notes)
        embedder.failing = True
        with pytest.raises(EngineError, match="on purpose"):
            await reindexer.catch_up()
        embedder.failing = False
        await reindexer.catch_up()
        assert await store.count_unembedded() == 0
    assert "0 of 10" in said[0]
    assert not notes
