"""A scripted Home Assistant: real HTTP on loopback, in the shapes of its REST API."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import BusError
from antiphon_runtime import BreakerState
from antiphon_runtime.testing.openai_server import Body, Drop, Hang, OpenAiServer, Recorded, Reply
from antiphon_tools import ToolContext, ToolError
from antiphon_tools.house import House
from antiphon_tools.offering import house_tools
from antiphon_tools.tools_file import ToolsFile

pytestmark = pytest.mark.integration

TOKEN = "a-long-lived-token"


def entity(entity_id: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {
        "entity_id": entity_id,
        "state": "off",
        "attributes": {"friendly_name": name, **attributes},
        "last_changed": "2026-11-21T10:00:00.123456+00:00",
        "last_updated": "2026-11-21T10:00:00.123456+00:00",
        "context": {"id": "01HXYZ", "parent_id": None, "user_id": None},
    }


STATES = [
    entity("light.desk", "Desk Lamp", supported_color_modes=["hs", "color_temp"]),
    entity("light.hall_2", "Desk Lamp"),
    entity("switch.coffee", "Coffee Machine"),
    entity("cover.blind", "Kitchen Blind", device_class="blind"),
    entity("cover.garage", "Garage Door", device_class="garage"),
    entity("lock.front", "Front Door"),
    entity("alarm_control_panel.home", "Alarm"),
    entity("sensor.outside", "Outside Temperature"),
    entity("scene.movie", "Movie Time"),
    entity("script.leave", "Leaving"),
    entity("light.nameless", "x" * 200),
    {"entity_id": "light.odd", "attributes": None},
    "garbage",
]


class Notes:
    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.breakers: dict[str, BreakerState | None] = {}

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)

    def show_breaker(self, name: str, state: BreakerState | None) -> None:
        self.breakers[name] = state


class NoBus:
    async def request(self, *_args: Any, **_more: Any) -> Any:
        raise BusError("nobody is there")

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        raise BusError("nobody is there")


class NoMemory:
    async def remember(self, text: str) -> Sequence[str]:
        raise ToolError(text)

    async def query(self, text: str) -> Sequence[str]:
        raise ToolError(text)


class Assistant:
    """A house with our tools, and a scripted Home Assistant."""

    def __init__(self, folder: Path) -> None:
        self.states: Any = STATES
        self.answer: Reply | None = None
        self.server = OpenAiServer(self._reply)
        self.notes = Notes()
        self.house = House(data_dir=folder, bus=NoBus(), health=self.notes, retry_s=0.05)
        (folder / "token").write_text(f"{TOKEN}\n")
        self.token = folder / "token"

    def _reply(self, request: Recorded) -> Reply:
        if self.answer is not None:
            return self.answer
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Body(b"401: Unauthorized", "text/plain", 401)
        if request.path == "/api/states":
            return Body(json.dumps(self.states).encode())
        return Body(b"[]")

    def file(self, **more: Any) -> ToolsFile:
        section = {"url": self.server.root_url, "token": {"file": self.token}, **more}
        return ToolsFile.model_validate({"home_assistant": {"timeout_s": 0.5, **section}})

    async def offered(self, file: ToolsFile) -> dict[str, Any]:
        """Return our tools by name, once the server was asked."""
        self.house.changed.clear()
        house_tools(file, self.house)
        async with asyncio.timeout(5):
            await self.house.changed.wait()
        return {tool.spec.name: tool for tool in house_tools(file, self.house)}

    def calls(self) -> list[tuple[str, Any]]:
        return [(r.path, r.json) for r in self.server.requests if r.method == "POST"]


@asynccontextmanager
async def assistant_at(folder: Path) -> AsyncIterator[Assistant]:
    made = Assistant(folder)
    async with made.server, made.house.open():
        yield made


async def call(tool: Any, **arguments: Any) -> str:
    context = ToolContext("kitchen", None, NoMemory(), lambda: None)  # type: ignore[arg-type,return-value]
    return str((await tool(arguments, context))["text"])


def names(tool: Any, field: str) -> list[str]:
    found: list[str] = tool.spec.parameters["properties"][field]["enum"]
    return found


async def test_what_is_exposed_and_what_is_told(tmp_path: Path) -> None:
    async with assistant_at(tmp_path) as ha:
        tools = await ha.offered(ha.file())
        assert names(tools["home_set"], "target") == [
            *("all lights", "coffee machine", "desk lamp", "hall 2", "kitchen blind"),
        ]
        assert names(tools["home_scene"], "scene") == ["movie time"]
        say = tools["home_set"]
        said = await call(say, target="desk lamp", state="on", brightness=30, color="red")
        assert said == "I set the desk lamp to red and 30 percent."
        await call(say, target="desk lamp", state="on", color="warm white")
        await call(say, target="desk lamp", state="on", brighter_by=-25)
        await call(say, target="coffee machine", state="toggle")
        await call(say, target="kitchen blind", state="close")
        assert await call(tools["home_scene"], scene="movie time") == "The scene movie time is set."
        assert ha.calls() == [
            (
                "/api/services/light/turn_on",
                {"entity_id": "light.desk", "brightness_pct": 30, "rgb_color": [255, 0, 0]},
            ),
            (
                "/api/services/light/turn_on",
                {"entity_id": "light.desk", "color_temp_kelvin": 2700},
            ),
            (
                "/api/services/light/turn_on",
                {"entity_id": "light.desk", "brightness_step_pct": -25},
            ),
            ("/api/services/switch/toggle", {"entity_id": "switch.coffee"}),
            ("/api/services/cover/close_cover", {"entity_id": "cover.blind"}),
            ("/api/services/scene/turn_on", {"entity_id": "scene.movie"}),
        ]


async def test_a_garage_is_exposed_by_its_whole_id_only(tmp_path: Path) -> None:
    async with assistant_at(tmp_path) as ha:
        tools = await ha.offered(ha.file(expose=["cover.*", "light.*"], hide=["light.hall*"]))
        assert names(tools["home_set"], "target") == ["all lights", "desk lamp", "kitchen blind"]
        tools = await ha.offered(ha.file(expose=["cover.garage", "script.*"]))
        assert names(tools["home_set"], "target") == ["garage door"]
        assert names(tools["home_scene"], "scene") == ["leaving"]
        tools = await ha.offered(ha.file(expose=["lock.*", "alarm_control_panel.*", "light.desk"]))
        assert names(tools["home_set"], "target") == ["all lights", "desk lamp"]


async def test_without_the_section_nobody_is_asked_and_nothing_is_left(tmp_path: Path) -> None:
    async with assistant_at(tmp_path) as ha:
        await ha.offered(ha.file())
        asked = len(ha.server.requests)
        assert "home_set" not in {t.spec.name for t in house_tools(ToolsFile(), ha.house)}
        assert len(ha.server.requests) == asked


async def test_a_wrong_token_is_said(tmp_path: Path) -> None:
    async with assistant_at(tmp_path) as ha:
        tools = await ha.offered(ha.file())
        ha.token.write_text("another\n")
        with pytest.raises(ToolError, match="refuses the token; make a new one"):
            await call(tools["home_set"], target="desk lamp", state="on")
        ha.token.unlink()
        with pytest.raises(ToolError, match="cannot be read") as caught:
            await call(tools["home_set"], target="desk lamp", state="on")
        assert TOKEN not in str(caught.value)


FAULTS: list[Reply] = [
    Body(b"{}", status=500),
    Hang(),
    Drop(),
    Body(b"<html>", "text/html"),
    Body(b"[" + b"0," * 3_000_000 + b"0]"),
    Body(b"{}", status=302),
    Body(b'{"message": "no"}', status=400),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: type(f).__name__)
async def test_whatever_it_answers_there_is_a_sentence(tmp_path: Path, fault: Reply) -> None:
    async with assistant_at(tmp_path) as ha:
        tools = await ha.offered(ha.file())
        ha.answer = fault
        async with asyncio.timeout(5):
            with pytest.raises(ToolError, match="Home Assistant"):
                await call(tools["home_set"], target="desk lamp", state="on")
        ha.answer = None
        async with asyncio.timeout(5):
            while True:
                try:
                    said = await call(tools["home_set"], target="desk lamp", state="on")
                except ToolError:
                    await asyncio.sleep(0.02)  # until the breaker lets a trial through
                    continue
                break
        assert said == "I turned the desk lamp on."


async def test_a_toggle_is_told_once_though_nobody_answers(tmp_path: Path) -> None:
    async with assistant_at(tmp_path) as ha:
        tools = await ha.offered(ha.file())
        ha.answer = Hang()
        with pytest.raises(ToolError):
            await call(tools["home_set"], target="desk lamp", state="toggle")
        assert [path for path, _ in ha.calls()] == ["/api/services/light/toggle"]


async def test_a_server_that_is_away_is_left_alone_and_asked_again(tmp_path: Path) -> None:
    async with assistant_at(tmp_path) as ha:
        ha.house.retry_s = 60
        tools = await ha.offered(ha.file())
        ha.answer = Drop()
        for _ in range(3):
            with pytest.raises(ToolError):
                await call(tools["home_set"], target="desk lamp", state="on")
        assert ha.notes.breakers["home_assistant"] == "open"
        asked = len(ha.server.requests)
        with pytest.raises(ToolError, match="it is tried again every 60 s"):
            await call(tools["home_set"], target="desk lamp", state="on")
        assert len(ha.server.requests) == asked
        assert "127.0.0.1" in ha.notes.notes["breaker:home_assistant"]
