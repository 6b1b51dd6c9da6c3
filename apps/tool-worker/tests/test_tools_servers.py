"""Sessions with MCP servers: at the SDK, over streams in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from antiphon_tools import Tool, ToolError
from antiphon_tools.engine import compile_schema
from antiphon_tools.engine.servers import Fleet
from antiphon_tools.engine.servers import session as sessions
from antiphon_tools.engine.servers.http import bound
from antiphon_tools.engine.servers.naming import fitting_name
from antiphon_tools.registry import Registry
from antiphon_tools.servers_section import ServerSection
from hypothesis import given
from hypothesis import strategies as st
from scripted_mcp import ScriptedServer, text

pytestmark = pytest.mark.unit


class Sea:
    """What a fleet tells the registry and health."""

    def __init__(self) -> None:
        self.tools: dict[str, Tool] = {}
        self.notes: dict[str, str] = {}
        self.breakers: dict[str, Any] = {}
        self._more = asyncio.Event()

    def offer(self, _source: str, tools: Iterable[Tool]) -> list[str]:
        self.tools = {tool.spec.name: tool for tool in tools}
        self._more.set()
        return []

    def withdraw(self, _source: str) -> None:
        self.tools = {}
        self._more.set()

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence
        self._more.set()

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)

    def show_breaker(self, name: str, state: Any) -> None:
        self.breakers[name] = state
        self._more.set()

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(5):
            while not true():
                self._more.clear()
                await self._more.wait()

    async def call(self, name: str, **arguments: Any) -> Any:
        async with asyncio.timeout(5):
            return await self.tools[name](arguments, None)  # type: ignore[arg-type]  # not looked at


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(sessions, "LONGEST_PAUSE_S", 0.02)


@asynccontextmanager
async def at_sea(server: ScriptedServer, **section: Any) -> AsyncIterator[tuple[Sea, Fleet]]:
    sea = Sea()
    fleet = Fleet(sea.offer, sea.withdraw, sea, lambda _name, _section: server.connect)
    async with fleet.open({"srv": ServerSection(command="x", **section)}):
        yield sea, fleet


async def failure(sea: Sea, name: str) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await sea.call(name)
    return caught.value


@pytest.fixture
def server() -> ScriptedServer:
    server = ScriptedServer()
    for name in ("one", "two", "three", "four", "five"):
        server.add(name)
    return server


async def test_all_pages_are_listed_and_calls_get_through(server: ScriptedServer) -> None:
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        assert sorted(sea.tools) == ["srv.five", "srv.four", "srv.one", "srv.three", "srv.two"]
        assert await sea.call("srv.three", a=1) == "three done"
        assert server.calls == [("three", {"a": 1})]
        assert sea.breakers == {"srv": "closed"}
        assert sea.tools["srv.one"].spec.untrusted
    assert sea.tools == {}


async def test_the_file_says_which_tools_and_what_they_are_called(server: ScriptedServer) -> None:
    section = {"allow": ("t*", "one"), "deny": ("two",), "prefix": "", "trusted": True}
    async with at_sea(server, **section) as (sea, _):
        await sea.until(lambda: sea.tools)
        assert sorted(sea.tools) == ["one", "three"]
        assert not sea.tools["one"].spec.untrusted


async def test_hints_become_policies() -> None:
    server = ScriptedServer()
    server.add("read", annotations={"readOnlyHint": True, "openWorldHint": False})
    server.add("search", annotations={"readOnlyHint": True})
    server.add("wipe", annotations={"destructiveHint": True})
    server.add("put", annotations={"destructiveHint": False, "idempotentHint": True})
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        told = {
            name: (tool.spec.policy, tool.spec.idempotent, getattr(tool, "harmless", None))
            for name, tool in sea.tools.items()
        }
    assert told == {
        "srv.read": ("allow", True, True),
        "srv.search": ("allow", True, False),
        "srv.wipe": ("confirm", False, False),
        "srv.put": ("allow", True, False),
    }


async def test_a_server_elsewhere_is_not_believed() -> None:
    server = ScriptedServer()
    server.add("read", annotations={"readOnlyHint": True, "openWorldHint": False})
    for trusted in (False, True):
        sea = Sea()
        fleet = Fleet(sea.offer, sea.withdraw, sea, lambda _n, _s: server.connect)
        async with fleet.open({"s": ServerSection(url="http://127.0.0.1:9/", trusted=trusted)}):
            await sea.until(lambda: sea.tools)  # noqa: B023  (called in this round)
            assert getattr(sea.tools["s.read"], "harmless", None) is trusted


async def test_a_change_of_the_list_is_followed(server: ScriptedServer) -> None:
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        del server.tools["one"]
        server.add("six")
        await server.tell_changed()
        await sea.until(lambda: "srv.six" in sea.tools)
        assert "srv.one" not in sea.tools


async def test_a_list_that_changes_all_the_time_is_not_asked_for_all_the_time(
    server: ScriptedServer,
) -> None:
    server.floods, server.page = True, 10
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: server.lists >= 2)
        for _ in range(50):
            assert await sea.call("srv.one") == "one done"
        assert server.lists == 2


async def test_an_endless_list_is_left_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_LISTED", 10)
    server = ScriptedServer()
    for number in range(40):
        server.add(f"tool{number}")
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        assert len(sea.tools) == 10
        assert server.lists == 5


async def test_a_server_that_is_taken_away_while_it_starts_offers_nothing(
    server: ScriptedServer,
) -> None:
    server.held.clear()
    async with at_sea(server) as (sea, fleet):
        async with asyncio.timeout(5):
            await server.asked.wait()
        old = fleet._ships["srv"].task
        fleet.follow({})
        server.held.set()
        async with asyncio.timeout(5):
            await asyncio.wait({old})
        assert old.exception() is None
        fleet.follow({"srv": ServerSection(command="x", prefix="new")})
        await sea.until(lambda: "new.one" in sea.tools)
        assert server.starts == 2


async def test_many_large_schemas_do_not_hold_up_the_loop() -> None:
    """Each takes a tenth of a second to look at."""
    server = ScriptedServer()
    server.page = 100
    large = {f"p{number}": {"type": "string", "description": "d" * 40} for number in range(100)}
    for number in range(100):
        schema = {"type": "object", "properties": {**large, f"own{number}": {"type": "string"}}}
        server.add(f"tool{number}", inputSchema=schema)
    registry = Registry(compile_schema)
    offered = asyncio.Event()
    offers: list[float] = []

    def offer(source: str, tools: Iterable[Tool]) -> list[str]:
        begun = time.perf_counter()
        faults = registry.offer(source, tools)
        offers.append(time.perf_counter() - begun)
        offered.set()
        return faults

    sea = Sea()
    fleet = Fleet(offer, sea.withdraw, sea, lambda _name, _section: server.connect)
    async with fleet.open({"srv": ServerSection(command="x")}), asyncio.timeout(60):
        await offered.wait()
    assert max(offers) < 0.5
    assert 20 < len(registry.specs()) < 100


async def test_killed_in_a_call_then_back_for_the_next(server: ScriptedServer) -> None:
    entered = asyncio.Event()

    async def hang(_arguments: dict[str, Any]) -> dict[str, Any]:
        entered.set()
        await asyncio.Event().wait()
        return text("never")

    server.add("hang", hang)
    async with at_sea(server) as (sea, _), asyncio.TaskGroup() as group:
        await sea.until(lambda: sea.tools)
        call = group.create_task(failure(sea, "srv.hang"), name="call")
        await entered.wait()
        server.kill()
        error = await call
        assert str(error).endswith("It may or may not have been done.")
        assert error.code == "unknown_outcome"
        assert await sea.call("srv.one") == "one done"
        assert server.starts == 2
        assert [name for name, _ in server.calls] == ["hang", "one"]


async def test_what_does_no_harm_twice_is_tried_again_once() -> None:
    server = ScriptedServer()
    deaths = 1

    async def look(_arguments: dict[str, Any]) -> dict[str, Any]:
        nonlocal deaths
        if deaths:
            deaths -= 1
            server.kill()
            await asyncio.Event().wait()
        return text("seen")

    server.add("look", look, annotations={"readOnlyHint": True})
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        assert await sea.call("srv.look") == "seen"
        assert len(server.calls) == 2
        deaths = 2
        with pytest.raises(ToolError, match="broke off"):
            await sea.call("srv.look")
        assert len(server.calls) == 4


async def test_a_cancelled_call_is_called_off_at_the_server() -> None:
    server = ScriptedServer()
    entered = asyncio.Event()

    async def hang(_arguments: dict[str, Any]) -> dict[str, Any]:
        entered.set()
        await asyncio.Event().wait()
        return text("never")

    server.add("hang", hang)
    server.add("one")
    async with at_sea(server) as (sea, _), asyncio.TaskGroup() as group:
        await sea.until(lambda: sea.tools)
        call = group.create_task(sea.call("srv.hang"), name="call")
        await entered.wait()
        call.cancel()
        await asyncio.wait({call})
        assert await sea.call("srv.one") == "one done"
        assert server.cancelled == 1


async def test_a_server_that_never_starts_is_noted_and_tried_again(server: ScriptedServer) -> None:
    server.refuses = True
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: "server:srv" in sea.notes)
        assert sea.notes["server:srv"].startswith("The MCP server srv is not there: ")
        assert sea.breakers == {"srv": "open"}
        server.refuses = False
        await sea.until(lambda: sea.tools)
        assert sea.notes == {}


async def test_a_server_that_is_gone_refuses_calls_at_once(server: ScriptedServer) -> None:
    async with at_sea(server) as (sea, fleet):
        await sea.until(lambda: sea.tools)
        tools = dict(sea.tools)
        fleet.follow({})
        await sea.until(lambda: not sea.tools)
        with pytest.raises(ToolError, match="The MCP server srv is not there"):
            await tools["srv.one"]({}, None)  # type: ignore[arg-type]  # not looked at


async def test_only_a_changed_section_starts_a_server_anew(server: ScriptedServer) -> None:
    async with at_sea(server) as (sea, fleet):
        await sea.until(lambda: sea.tools)
        fleet.follow({"srv": ServerSection(command="x")})
        assert await sea.call("srv.one") == "one done"
        assert server.starts == 1
        fleet.follow({"srv": ServerSection(command="x", prefix="new")})
        await sea.until(lambda: "new.one" in sea.tools)
        assert server.starts == 2


async def test_resources_are_one_tool(server: ScriptedServer) -> None:
    server.resources = {"note://1": "milk and bread"}
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        spec = sea.tools["srv.read_resource"].spec
        assert "note://1" in spec.description
        assert spec.idempotent
        assert spec.untrusted
        assert await sea.call("srv.read_resource", uri="note://1") == "milk and bread"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (text("plain"), "plain"),
        ({"content": [], "structuredContent": {"a": [1]}}, {"a": [1]}),
        (
            {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]},
            "[image of type image/png, 3 bytes]",
        ),
        ({"content": [{"type": "resource_link", "uri": "a:b", "name": "n"}]}, "[n: a:b]"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "t"}}]}, "t"),
        ({"content": []}, "Done."),
        (text("x" * 13_000), "x" * 12_000 + "… (cut; 13000 characters in all)"),
        (text("short") | {"structuredContent": {"a": "y" * 60_000}}, "short"),
    ],
)
async def test_results_become_json_or_sentences(given: dict[str, Any], expected: Any) -> None:
    server = ScriptedServer()

    async def act(_arguments: dict[str, Any]) -> dict[str, Any]:
        return given

    server.add("act", act)
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        assert await sea.call("srv.act") == expected


async def test_a_tool_s_own_failure_and_garbage_are_tool_errors() -> None:
    server = ScriptedServer()

    async def fail(_arguments: dict[str, Any]) -> dict[str, Any]:
        return text("No such\nfile." + "x" * 900, failed=True)

    async def garbage(_arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": "no list"}

    server.add("fail", fail)
    server.add("garbage", garbage)
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        with pytest.raises(ToolError, match=r"^No such file\.x+$") as caught:
            await sea.call("srv.fail")
        assert len(str(caught.value)) == 500
        with pytest.raises(ToolError, match="The MCP server srv refused"):
            await sea.call("srv.garbage")
        assert server.starts == 1


async def test_names_and_descriptions_are_made_to_fit() -> None:
    server = ScriptedServer()
    server.add("a/b c", description="Line\none\u200b\u202e." + "d" * 900)
    server.add("x" * 100)
    server.add("big", inputSchema={"type": "object", "description": "y" * 20_000})
    async with at_sea(server) as (sea, _):
        await sea.until(lambda: sea.tools)
        assert len(sea.tools) == 2
        assert all(len(name.replace(".", "__")) <= 64 for name in sea.tools)
        short = next(tool.spec for name, tool in sea.tools.items() if name.startswith("srv.a_b_c_"))
        assert short.description.startswith("Line one .d")
        assert len(short.description) == 601
        assert await sea.call(short.name) == "a/b c done"


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(["", "srv", "p" * 32]))
def test_any_name_fits_and_two_stay_two(one: str, two: str, prefix: str) -> None:
    first, second = fitting_name(prefix, one), fitting_name(prefix, two)
    assert len(first.replace(".", "__")) <= 64
    assert first.replace(".", "").replace("_", "").replace("-", "").isalnum() or not one.strip("_-")
    assert (first == second) == (one == two)


@pytest.mark.parametrize(
    ("parts", "encoding", "passes"),
    [
        ([b"x" * 1_000_000] * 5, None, True),
        ([b"x" * 1_000_000] * 12, None, False),
        ([b"data: " + b"x" * 1_000_000 + b"\n\n"] * 12, None, True),
        ([b"x"], "gzip", False),
    ],
)
async def test_a_server_elsewhere_cannot_fill_the_memory(
    parts: list[bytes], encoding: str | None, *, passes: bool
) -> None:
    async def sent() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    def answer(_request: httpx2.Request) -> httpx2.Response:
        headers = {"content-encoding": encoding} if encoding else {}
        return httpx2.Response(200, content=sent(), headers=headers)

    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(transport=transport, event_hooks={"response": [bound]}) as client:
        if passes:
            got = await client.get("http://127.0.0.1/")
            assert len(got.content) == sum(map(len, parts))
        else:
            with pytest.raises(httpx2.TransportError if not encoding else httpx2.DecodingError):
                await client.get("http://127.0.0.1/")
