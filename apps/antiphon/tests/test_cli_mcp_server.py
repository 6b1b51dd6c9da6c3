"""`antiphon mcp`: the house as other assistants see it, through the SDK's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import orjson
import pytest
from antiphon.mcp_server.offers import Offers
from antiphon.mcp_server.serving import WithToken, server_of, token_in
from antiphon_contracts import (
    ANNOUNCE,
    ANSWER,
    ASK_SITE,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    Announce,
    Announced,
    AnnouncedAt,
    MemoryDone,
    MemoryQuery,
    MemoryRemember,
    MemoryResults,
    Message,
    PlainAnswer,
    Timer,
    TimerChange,
    TimerDone,
    TimerList,
    TimerQuery,
    TimerSet,
)
from antiphon_runtime import Bus, RawMessage, listen_raw, serve
from antiphon_runtime.testing import House
from mcp import Client

pytestmark = pytest.mark.unit

PASTA = Timer(id="t1", kind="timer", site_id="kitchen", name="pasta", state="running", left_s=299.6)


@dataclass
class Workers:
    """Scripted workers, and what they were asked."""

    house: House
    asked: list[tuple[str, object]] = field(default_factory=list)
    done: TimerDone = field(default_factory=lambda: TimerDone(action="set", timers=(PASTA,)))

    async def move_in(self) -> None:
        bus = await self.house.serve(
            listen_raw(ASK_SITE, self._on_ask),
            serve(ANNOUNCE, self._on_announce),
            serve(TIMER_SET, self._on_timer),
            serve(TIMER_CHANGE, self._on_timer),
            serve(TIMER_QUERY, self._on_timers),
            serve(MEMORY_REMEMBER, self._on_remember),
            serve(MEMORY_QUERY, self._on_query),
        )
        self._bus = bus

    async def _on_ask(self, message: RawMessage) -> None:
        asked = orjson.loads(message.payload)
        self.asked.append((message.site_id, asked["text"]))
        failed = "fail" in asked["text"]
        answer = PlainAnswer(
            id=asked["id"],
            turn_id="t",
            transcript=asked["text"],
            answer="" if failed else "It is red.",
            route="llm",
            error="the language model is offline" if failed else None,
        )
        self._bus.publish_raw(ANSWER, answer.model_dump_json().encode(), site=message.site_id)

    async def _on_announce(self, message: Message[Announce]) -> Announced:
        self.asked.append(("announce", message.data))
        sites = message.data.sites or ("kitchen", "hall")
        return Announced(sites=tuple(AnnouncedAt(site=site, state="heard") for site in sites))

    async def _on_timer(self, message: Message[TimerSet] | Message[TimerChange]) -> TimerDone:
        self.asked.append((message.site_id, message.data))
        return self.done

    async def _on_timers(self, message: Message[TimerQuery]) -> TimerList:
        self.asked.append((message.site_id, message.data))
        return TimerList(timers=(PASTA,))

    async def _on_remember(self, message: Message[MemoryRemember]) -> MemoryDone:
        self.asked.append((message.site_id, message.data))
        return MemoryDone(action="remember", ids=("m1",), replaced=("The bicycle is red.",))

    async def _on_query(self, message: Message[MemoryQuery]) -> MemoryResults:
        self.asked.append((message.site_id, message.data))
        return MemoryResults()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Client, Workers]]:
    async with House() as house:
        workers = Workers(house)
        await workers.move_in()
        bus = Bus(house.broker.transport(), source="mcp")
        async with (
            Offers(bus, "kitchen").open(5) as offers,
            asyncio.timeout(20),
            Client(server_of(offers)) as client,
        ):
            yield client, workers


async def call(client: Client, tool: str, /, **arguments: object) -> tuple[str, bool]:
    result = await client.call_tool(tool, arguments)
    text = "".join(getattr(part, "text", "") for part in result.content)
    return text, bool(result.is_error)


async def test_the_tools_are_listed_and_say_what_they_change() -> None:
    async with connected() as (client, _):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == [
        "announce",
        "ask",
        "change_timer",
        "list_timers",
        "recall",
        "remember",
        "say",
        "set_timer",
    ]
    assert all(tool.description for tool in tools.values())
    looks = {name for name, tool in tools.items() if tool.annotations.read_only_hint}  # type: ignore[union-attr]
    assert looks == {"list_timers", "recall"}


async def test_a_question_is_answered() -> None:
    async with connected() as (client, workers):
        assert await call(client, "ask", question="what colour is it") == ("It is red.", False)
        assert workers.asked == [("kitchen", "what colour is it")]


async def test_what_goes_wrong_is_told_as_a_sentence() -> None:
    async with connected() as (client, _):
        text, is_error = await call(client, "ask", question="fail please")
    assert is_error
    assert "the language model is offline" in text


async def test_something_is_said_in_one_room_and_in_all() -> None:
    async with connected() as (client, workers):
        assert await call(client, "say", text="hello", site="hall") == ("hall: heard", False)
        told, _ = await call(client, "announce", text="dinner", urgent=True)
        assert told == "kitchen: heard; hall: heard"
        said = [data for kind, data in workers.asked if kind == "announce"]
    assert [(data.text, data.sites, data.priority) for data in said] == [  # type: ignore[attr-defined]
        ("hello", ("hall",), 0),
        ("dinner", (), 20),
    ]


async def test_timers_are_set_changed_and_listed() -> None:
    async with connected() as (client, workers):
        told, _ = await call(client, "set_timer", after_s=300, name="pasta")
        assert told == "timer 'pasta' in kitchen: 300 s left (id t1)"
        await call(client, "change_timer", action="add", timer_id="t1", seconds=60)
        listed, _ = await call(client, "list_timers")
        assert "pasta" in listed
    set_, change, query = (data for _, data in workers.asked)
    assert (set_.after_s, set_.name) == (300, "pasta")  # type: ignore[attr-defined]
    assert (change.action, change.which.ids, change.seconds) == ("add", ("t1",), 60)  # type: ignore[attr-defined]
    assert query.which.everywhere  # type: ignore[attr-defined]


async def test_an_ambiguous_timer_is_an_error_that_names_them() -> None:
    async with connected() as (client, workers):
        workers.done = TimerDone(
            action="cancel", timers=(PASTA,), error="Which one?", error_code="ambiguous"
        )
        text, is_error = await call(client, "change_timer", action="cancel")
    assert is_error
    assert "Which one?" in text
    assert "pasta" in text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_timer", {"at": "25:00"}),
        ("set_timer", {"after_s": -1}),
        ("say", {"text": "x", "site": "a/b"}),
        ("announce", {"text": "x", "sites": ["#"]}),
        ("ask", {"question": ""}),
        ("ask", {"question": "x" * 20_000}),
        ("change_timer", {"action": "explode"}),
    ],
    ids=str,
)
async def test_nonsense_is_refused_and_reaches_nobody(
    name: str, arguments: dict[str, object]
) -> None:
    async with connected() as (client, workers):
        _, is_error = await call(client, name, **arguments)
        assert is_error
        assert not workers.asked


async def test_memory_is_written_and_read() -> None:
    async with connected() as (client, _):
        told, _ = await call(client, "remember", text="My bicycle is blue.")
        assert told == "Remembered. It replaces: The bicycle is red."
        assert await call(client, "recall", query="bicycle") == ("Nothing.", False)


async def test_without_the_token_nothing_is_served() -> None:
    async with connected() as (_, workers):
        app = server_of(Offers(workers.house.bus)).streamable_http_app(stateless_http=True)
        transport = httpx2.ASGITransport(app=WithToken(app, "secret"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
                assert (await web.post("/mcp", headers=headers, json={})).status_code == 401


def test_the_token_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "mcp-token"
    token = token_in(path)
    assert len(token) > 30
    assert path.stat().st_mode & 0o777 == 0o600
    assert token_in(path) == token
