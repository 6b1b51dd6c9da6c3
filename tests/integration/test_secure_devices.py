"""Lamps on a real mosquitto: secured, with the generated rights."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from antiphon.secure import commands
from antiphon.secure.folder import SecureFolder, secure_folder
from antiphon.secure.household import Household
from antiphon.secure.stack import SecuredHouse
from antiphon_contracts import TTS_SAY, BusError
from antiphon_runtime import (
    BreakerState,
    BrokerOptions,
    Bus,
    Delivery,
    PahoTransport,
    PublishOptions,
)
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.tls import client_context
from antiphon_tools import Tool, ToolContext, ToolError
from antiphon_tools.house import House
from antiphon_tools.offering import REQUESTS, house_tools
from antiphon_tools.tools_file import ToolsFile
from rich.console import Console

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

WAIT_S = 10.0
FILE = ToolsFile.model_validate(
    {
        "devices": {
            "desk lamp": {"template": "zigbee2mqtt", "topic": "zigbee2mqtt/desk lamp"},
            "ceiling": {"template": "tasmota", "topic": "ceiling"},
            "heater": {
                "template": "custom",
                "topic": "heater/set",
                "kind": "switch",
                "payload_on": "1",
                "payload_off": "0",
            },
        },
        "scenes": {"night": {"topic": "zigbee2mqtt/scenes/set", "payload": '{"scene_recall": 1}'}},
    }
)


class Silent:
    def note(self, name: str, sentence: str) -> None: ...

    def clear_note(self, name: str) -> None: ...

    def show_breaker(self, name: str, state: BreakerState | None) -> None: ...


class NoMemory:
    async def remember(self, text: str) -> Sequence[str]:
        raise ToolError(text)

    async def query(self, text: str) -> Sequence[str]:
        raise ToolError(text)


@dataclass
class Place:
    """A running secured broker with the tools of `tools-1`."""

    folder: SecureFolder
    household: Household
    port: int
    tools: dict[str, Tool]

    def options(self, name: str) -> BrokerOptions:
        return options(self.folder, self.household, self.port, name)

    async def call(self, tool: str, **arguments: Any) -> str:
        context = ToolContext("kitchen", None, NoMemory(), lambda: None)  # type: ignore[arg-type,return-value]
        result: Any = await self.tools[tool](arguments, context)
        return str(result["text"])


def options(folder: SecureFolder, household: Household, port: int, name: str) -> BrokerOptions:
    user = household.user(name)
    return BrokerOptions(
        host="localhost",
        port=port,
        username=user.name,
        password=user.secret,
        tls=client_context(folder.files.authority),
        protocol="5",
        backoff_s=(0.05, 0.2),
    )


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    quiet = Console(file=io.StringIO())
    commands.init(["localhost"], quiet)
    commands.add_device("bridge", ["zigbee2mqtt/#", "cmnd/#"], quiet)
    folder = secure_folder()
    household, port = folder.household(), free_port()
    async with SecuredHouse("127.0.0.1", port).broker():
        transport = PahoTransport(options(folder, household, port, "tools-1"))
        bus = Bus(transport, source="tools-1")
        bus.install(requests=REQUESTS)
        house = House(data_dir=tmp_path, bus=bus, health=Silent())
        async with bus.open(), house.open():
            await transport.wait_connected(WAIT_S)
            tools = {tool.spec.name: tool for tool in house_tools(FILE, house)}
            yield Place(folder, household, port, tools)


class Ear:
    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    def on_delivery(self, delivery: Delivery) -> None:
        delivery.ack()
        self.heard.put_nowait((delivery.topic, delivery.payload))

    async def next(self) -> tuple[str, bytes]:
        async with asyncio.timeout(WAIT_S):
            return await self.heard.get()


@asynccontextmanager
async def bridge(place: Place) -> AsyncIterator[tuple[PahoTransport, Ear]]:
    transport, ear = PahoTransport(place.options("bridge")), Ear()
    async with transport.open(ear.on_delivery, lambda _connected: None):
        await transport.wait_connected(WAIT_S)
        await transport.subscribe({"zigbee2mqtt/#": 1, "cmnd/#": 1, "antiphon/#": 1})
        yield transport, ear


async def test_lamps_hear_what_they_are_told(place: Place) -> None:
    async with bridge(place) as (_, ear):
        said = await place.call("home_set", target="desk lamp", state="on", brightness=50)
        assert said == "I set the desk lamp to 50 percent."
        topic, payload = await ear.next()
        assert topic == "zigbee2mqtt/desk lamp/set"
        assert orjson.loads(payload) == {"state": "ON", "brightness": 127}
        await place.call("home_set", target="ceiling", state="off")
        assert await ear.next() == ("cmnd/ceiling/POWER", b"OFF")
        assert await place.call("home_scene", scene="night") == "The scene night is set."
        assert await ear.next() == ("zigbee2mqtt/scenes/set", b'{"scene_recall": 1}')


async def test_what_the_rights_do_not_name_is_denied_and_said(place: Place) -> None:
    with pytest.raises(ToolError, match=r"^I could not reach the heater: .*\.$"):
        await place.call("home_set", target="heater", state="on")
    assert await place.call("home_set", target="desk lamp", state="off")


async def test_a_bridge_reaches_nothing_of_ours(place: Place) -> None:
    at = PublishOptions(qos=1)
    async with bridge(place) as (transport, ear), asyncio.timeout(WAIT_S):
        for topic in (f"antiphon/{TTS_SAY.pattern}", "antiphon/ask", "tele/x", "heater/set"):
            with pytest.raises(BusError):
                await transport.publish(topic, b"x", at)
        await transport.publish("zigbee2mqtt/bridge/state", b"online", at)
        assert await ear.next() == ("zigbee2mqtt/bridge/state", b"online")


async def test_nobody_else_reaches_the_lamps(place: Place) -> None:
    at = PublishOptions(qos=1)
    for name in ("llm-1", "router-1", "operator", "metrics"):
        transport = PahoTransport(place.options(name))
        async with (
            transport.open(Ear().on_delivery, lambda _connected: None),
            asyncio.timeout(WAIT_S),
        ):
            await transport.wait_connected(WAIT_S)
            with pytest.raises(BusError):
                await transport.publish("zigbee2mqtt/desk lamp/set", b"{}", at)
