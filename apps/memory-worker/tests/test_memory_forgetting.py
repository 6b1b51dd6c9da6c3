"""Forgetting, superseding, keeping and importing, over the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from antiphon_contracts import (
    HISTORY_APPEND,
    MEMORY_FORGET,
    MEMORY_IMPORT,
    MEMORY_LIST,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    HistoryAppend,
    MemoryDone,
    MemoryForget,
    MemoryImport,
    MemoryList,
    MemoryQuery,
    MemoryRecord,
    MemoryRemember,
    RequestTopic,
)
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.sqlite.knowledge import SqliteKnowledge
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import WordEmbedder
from antiphon_memory.wiring import Stores, wire
from antiphon_runtime import Wiring, Worker
from antiphon_runtime.testing import House

pytestmark = pytest.mark.integration

REQUESTS: list[RequestTopic[Any, Any]] = [
    MEMORY_QUERY,
    MEMORY_LIST,
    MEMORY_IMPORT,
    MEMORY_REMEMBER,
    MEMORY_FORGET,
    HISTORY_APPEND,
]


@asynccontextmanager
async def living(path: Path, keep: Literal["asked", "facts"] = "asked") -> AsyncIterator[House]:
    def build(worker: Worker[MemorySettings]) -> Wiring:
        store = SqliteStore(path, worker.health)
        talks = SqliteConversations(path.with_name("conversations.sqlite"), worker.health)
        documents = SqliteKnowledge(path.with_name("knowledge.sqlite"), worker.health)
        return wire(worker, Stores(store, talks, documents), WordEmbedder())

    async with (
        asyncio.timeout(30),
        House(requests=REQUESTS) as house,
        house.resident("memory", MemorySettings(keep=keep), build),
    ):
        yield house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path / "memory.sqlite") as house:
        yield house


async def remember(house: House, text: str, *, name: str | None = None, **more: str) -> MemoryDone:
    request = MemoryRemember(text=text, **more)
    return await house.bus.request(MEMORY_REMEMBER, request, timeout_s=5, message_id=name)


async def forget(house: House, name: str | None = None, **asked: Any) -> MemoryDone:
    request = MemoryForget(**asked)
    return await house.bus.request(MEMORY_FORGET, request, timeout_s=5, message_id=name)


async def records(house: House, **asked: Any) -> list[MemoryRecord]:
    page = await house.bus.request(MEMORY_LIST, MemoryList(**asked), timeout_s=5)
    return list(page.records)


async def texts(house: House, **asked: Any) -> list[str]:
    return [record.text for record in await records(house, **asked)]


async def say(house: House, text: str, role: str = "user", name: str | None = None) -> None:
    turn = HistoryAppend.model_validate({"role": role, "text": text})
    await house.bus.request(HISTORY_APPEND, turn, timeout_s=5, message_id=name)


async def test_a_contradiction_supersedes_and_other_words_confirm(house: House) -> None:
    red = await remember(house, "my bicycle is red")
    assert (await remember(house, "my bike is red")).ids == red.ids
    blue = await remember(house, "my bicycle is blue")
    assert blue.replaced == ("my bicycle is red",)
    for other in ("my sister's bicycle is blue", "my helmet is blue", "I have a blue bicycle too"):
        assert (await remember(house, other)).replaced == ()
    query = MemoryQuery(text="my bicycle is red", top_k=20)
    found = (await house.bus.request(MEMORY_QUERY, query, timeout_s=5)).results
    assert "my bicycle is red" not in [one.text for one in found]
    assert len(await texts(house)) == 4
    everything = await records(house, superseded=True)
    old = next(one for one in everything if one.text == "my bicycle is red")
    assert old.superseded_by == blue.ids[0]


async def test_scopes_are_compared_apart(house: House) -> None:
    await remember(house, "my bicycle is red", scope="person:Anna")
    assert (await remember(house, "my bicycle is blue", scope="person:Tom")).replaced == ()
    assert len(await texts(house)) == 2


async def test_a_repeated_message_supersedes_once(house: House, tmp_path: Path) -> None:
    await remember(house, "my bicycle is red")
    first = await remember(house, "my bicycle is blue", name="the-same")
    await remember(house, "my bicycle is green")
    assert await remember(house, "my bicycle is blue", name="the-same") == first
    assert await texts(house) == ["my bicycle is green"]


async def test_a_contradiction_is_repeated_after_a_restart(tmp_path: Path) -> None:
    answers = []
    for name in ("a", "a"):
        async with living(tmp_path / "memory.sqlite") as house:
            await remember(house, "my bicycle is red", name="red")
            answers.append(await remember(house, "my bicycle is blue", name=name))
            assert len(await texts(house, superseded=True)) == 2
    assert answers[0] == answers[1]
    assert answers[0].replaced == ("my bicycle is red",)


async def test_forgetting_is_previewed_and_confirmed_by_ids(house: House) -> None:
    await remember(house, "my bicycle is red")
    await remember(house, "the bicycle pump is broken")
    await remember(house, "the tent is in the attic")
    preview = await forget(house, query="bicycle", preview=True)
    assert set(preview.texts) == {"my bicycle is red", "the bicycle pump is broken"}
    assert len(await texts(house)) == 3
    done = await forget(house, ids=preview.ids)
    assert (set(done.texts), done.count) == (set(preview.texts), 2)
    assert await texts(house) == ["the tent is in the attic"]
    assert (await forget(house, query="bicycle", preview=True)).ids == ()


async def test_the_contrary_is_not_forgotten(house: House) -> None:
    await remember(house, "my bicycle is blue")
    assert (await forget(house, query="that my bicycle is red")).ids == ()
    assert (await forget(house, query="that my bicycle is blue")).texts == ("my bicycle is blue",)


async def test_forgetting_takes_what_was_superseded_along(house: House) -> None:
    await remember(house, "my bicycle is red")
    await remember(house, "my bicycle is blue")
    done = await forget(house, query="my bicycle is blue")
    assert done.texts[0] == "my bicycle is blue"
    assert await texts(house, superseded=True) == []


async def test_a_query_forgets_in_the_household_and_the_site_that_asks(house: House) -> None:
    await remember(house, "the lamp is green", scope="person:Anna")
    assert (await forget(house, query="the lamp is green")).ids == ()
    done = await forget(house, query="the lamp is green", scopes=("person:Anna",))
    assert done.texts == ("the lamp is green",)


async def test_whole_scopes_need_a_confirmation(house: House) -> None:
    await remember(house, "my bicycle is red")
    await remember(house, "the lamp is green", scope="site:kitchen")
    refused = await forget(house, everything_in=("all",))
    assert refused.error
    assert (await forget(house, everything_in=("all",), preview=True, confirm=True)).count == 2
    assert len(await texts(house)) == 2
    assert (await forget(house, everything_in=("site:kitchen",), confirm=True)).count == 1
    assert await texts(house) == ["my bicycle is red"]
    assert (await forget(house, "all", everything_in=("all",), confirm=True)).count == 1
    await remember(house, "the tent is in the attic")
    assert (await forget(house, "all", everything_in=("all",), confirm=True)).count == 1
    assert await texts(house) == ["the tent is in the attic"]


async def test_pages_follow_each_other_without_gap_or_end(house: House) -> None:
    for number in range(7):
        await remember(house, f"box {number} holds nails")
    seen: list[str] = []
    after: str | None = None
    for _ in range(4):
        asked = MemoryList(after=after, limit=2)
        page = await house.bus.request(MEMORY_LIST, asked, timeout_s=5)
        seen += [record.text for record in page.records]
        after = page.next
        if after is None:
            break
    assert seen == [f"box {number} holds nails" for number in range(7)]
    assert after is None


async def test_imports_are_done_once_and_embedded_later(house: House) -> None:
    several = tuple(
        MemoryRecord(id=f"id-{n}", text=f"box {n} holds nails", ts=float(n)) for n in range(9)
    )
    old = MemoryRecord(id="old", text="box 1 holds sand", superseded_by="id-1")
    request = MemoryImport(records=(*several, old, several[0]))
    for name in ("one", "one", "two"):
        done = await house.bus.request(MEMORY_IMPORT, request, timeout_s=5, message_id=name)
        assert done.count == (0 if name == "two" else 10)
    query = MemoryQuery(text="box holds nails", strategy="similarity", top_k=20)
    while len((await house.bus.request(MEMORY_QUERY, query, timeout_s=5)).results) < 9:
        pass  # each question gives the background its time; the fixture bounds the wait
    assert len(await texts(house)) == 9
    assert len(await texts(house, superseded=True)) == 10
    bad = MemoryImport(records=(MemoryRecord(id="x", text="y", scope="anna"),))
    assert (await house.bus.request(MEMORY_IMPORT, bad, timeout_s=5)).error


async def test_only_what_was_asked_for_is_kept_unless_set(house: House) -> None:
    await say(house, "my bicycle is red")
    assert await texts(house) == []


async def test_facts_said_in_passing_are_kept_where_that_is_set(tmp_path: Path) -> None:
    async with living(tmp_path / "memory.sqlite", keep="facts") as house:
        for text in ("my bicycle is red", "turn on the light", "thank you", "it is raining"):
            await say(house, text, name=f"said: {text}")
        await say(house, "my bicycle is red", name="said: my bicycle is red")
        await say(house, "Your bicycle is red.", role="assistant")
        kept = await records(house)
        assert [(one.text, one.source) for one in kept] == [("my bicycle is red", "heard")]
        await say(house, "my bicycle is blue")
        assert await texts(house) == ["my bicycle is blue"]
