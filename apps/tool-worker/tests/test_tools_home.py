import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from antiphon_contracts import BusError, ConfigError
from antiphon_tools import Tool, ToolContext, ToolError
from antiphon_tools.builtin.home import home_tools
from antiphon_tools.builtin.home_assistant import Exposed
from antiphon_tools.builtin.home_plan import plan_of
from antiphon_tools.engine import compile_schema
from antiphon_tools.tools_file import ToolsFile
from pydantic import ValidationError

pytestmark = pytest.mark.unit

Z2M = {"template": "zigbee2mqtt", "topic": "zigbee2mqtt/desk lamp"}
HOUSE: dict[str, Any] = {
    "devices": {
        "Desk Lamp": {**Z2M, "area": "study", "aliases": ["reading lamp"], "groups": ["upstairs"]},
        "ceiling": {"template": "tasmota", "topic": "study_ceiling", "area": "study"},
        "heater": {
            "kind": "switch",
            "template": "tasmota",
            "topic": "strip",
            "relay": 2,
            "area": "study",
            "groups": ["upstairs"],
        },
        "blind": {
            "kind": "cover",
            "template": "zigbee2mqtt",
            "topic": "z2m/blind",
            "area": "study",
        },
        "shutter": {"kind": "cover", "template": "tasmota", "topic": "shutter"},
        "strip": {
            "template": "custom",
            "topic": "leds/power",
            "payload_on": "1",
            "payload_off": "0",
            "brightness_topic": "leds/level",
            "payload_brightness": "L{brightness}",
            "brightness_max": 255,
            "payload_color": "{r},{g},{b} #{hex}",
            "color_topic": "leds/rgb",
        },
    },
    "areas": {"study": {"aliases": ["office"]}},
    "scenes": {
        "film": {
            "aliases": ["film night"],
            "settings": [
                {"target": "desk lamp", "brightness": 10, "color": "red"},
                {"target": "heater", "state": "off"},
            ],
        },
        "good night": {"topic": "house/scene", "payload": "night"},
    },
}


class NoMemory:
    async def remember(self, text: str) -> Sequence[str]:
        raise ToolError(text)

    async def query(self, text: str) -> Sequence[str]:
        raise ToolError(text)


class FakeBus:
    """Writes down what is published; `denied` topics fail, `stuck` ones never end."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.denied: set[str] = set()
        self.stuck: set[str] = set()
        self.futures: list[asyncio.Future[None]] = []

    async def request(self, *_args: Any, **_more: Any) -> Any:
        raise BusError("nobody is there")

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.futures.append(done)
        if topic in self.denied:
            done.set_exception(BusError("the broker denied it"))
        elif topic not in self.stuck:
            self.sent.append((topic, payload.decode()))
            done.set_result(None)
        return done


class Home:
    def __init__(self, text: dict[str, Any] = HOUSE, base: str = "antiphon") -> None:
        self.bus = FakeBus()
        plan = plan_of(ToolsFile.model_validate(text), Exposed(), self.bus, base)
        self.tools: dict[str, Tool] = {tool.spec.name: tool for tool in home_tools(plan)}

    async def set(self, target: str, state: str = "on", **more: Any) -> list[tuple[str, Any]]:
        await self.said("home_set", target=target, state=state, **more)
        sent, self.bus.sent = self.bus.sent, []
        return [(topic, json.loads(p) if p.startswith("{") else p) for topic, p in sent]

    async def said(self, name: str, **arguments: Any) -> str:
        tool = self.tools[name]
        assert compile_schema(tool.spec.parameters)(arguments) is None
        context = ToolContext("kitchen", None, NoMemory(), lambda: None)  # type: ignore[arg-type,return-value]
        result = await tool(arguments, context)
        assert isinstance(result, dict)
        return str(result["text"])


def names(home: Home, tool: str, field: str) -> list[str]:
    found: list[str] = home.tools[tool].spec.parameters["properties"][field]["enum"]
    return found


async def test_every_name_is_on_offer_and_no_other() -> None:
    home = Home()
    assert names(home, "home_set", "target") == [
        *("all lights", "blind", "ceiling", "desk lamp", "heater", "office", "reading lamp"),
        *("shutter", "strip", "study", "study lights", "upstairs"),
    ]
    assert names(home, "home_scene", "scene") == ["film", "film night", "good night"]
    check = compile_schema(home.tools["home_set"].spec.parameters)
    assert check({"target": "front door", "state": "on"}) is not None
    assert check({"target": "desk lamp", "state": "unlock"}) is not None
    assert not any(tool.spec.idempotent for tool in home.tools.values())


async def test_a_house_without_anything_offers_nothing() -> None:
    assert Home({}).tools == {}


async def test_zigbee2mqtt() -> None:
    home, topic = Home(), "zigbee2mqtt/desk lamp/set"
    assert await home.set("desk lamp") == [(topic, {"state": "ON"})]
    assert await home.set("reading lamp", "off") == [(topic, {"state": "OFF"})]
    assert await home.set("desk lamp", "toggle") == [(topic, {"state": "TOGGLE"})]
    assert await home.set("desk lamp", brightness=100) == [
        (topic, {"state": "ON", "brightness": 254})
    ]
    assert await home.set("desk lamp", brightness=30, color="Red") == [
        (topic, {"state": "ON", "brightness": 76, "color": {"hex": "#ff0000"}})
    ]
    assert await home.set("desk lamp", color="warm white") == [
        (topic, {"state": "ON", "color_temp": "warm"})
    ]
    assert await home.set("desk lamp", brightness=0) == [(topic, {"state": "OFF"})]
    assert await home.set("desk lamp", "off", brightness=40) == [(topic, {"state": "OFF"})]
    assert await home.set("blind", "close") == [("z2m/blind/set", {"state": "CLOSE"})]


async def test_tasmota() -> None:
    home, base = Home(), "cmnd/study_ceiling"
    assert await home.set("ceiling", "off") == [(f"{base}/POWER", "OFF")]
    assert await home.set("ceiling", brightness=30) == [
        (f"{base}/Dimmer", "30"),
        (f"{base}/POWER", "ON"),
    ]
    assert await home.set("ceiling", color="#FF8800") == [
        (f"{base}/Color2", "FF8800"),
        (f"{base}/POWER", "ON"),
    ]
    assert await home.set("ceiling", color="cool white") == [
        (f"{base}/CT", "160"),
        (f"{base}/POWER", "ON"),
    ]
    assert await home.set("heater", "toggle") == [("cmnd/strip/POWER2", "TOGGLE")]
    assert await home.set("shutter", "open") == [("cmnd/shutter/ShutterOpen1", "")]


async def test_lights_are_made_brighter_and_darker_by_steps() -> None:
    home, topic = Home(), "zigbee2mqtt/desk lamp/set"
    assert await home.set("desk lamp", brighter_by=25) == [(topic, {"brightness_step": 64})]
    assert await home.set("desk lamp", brighter_by=-10, color="red") == [
        (topic, {"brightness_step": -25, "color": {"hex": "#ff0000"}})
    ]
    assert await home.set("desk lamp", brightness=40, brighter_by=10) == [
        (topic, {"state": "ON", "brightness": 102})
    ]
    dimmer = "cmnd/study_ceiling/Dimmer"
    assert await home.set("ceiling", brighter_by=-25) == [(dimmer, "-"), (dimmer, "-")]
    assert await home.set("ceiling", brighter_by=5) == [(dimmer, "+")]
    with pytest.raises(ToolError, match="strip has no payload for that"):
        await home.set("strip", brighter_by=10)
    with pytest.raises(ToolError, match="heater is no light"):
        await home.set("heater", brighter_by=10)
    said = home.said
    assert await said("home_set", target="study", state="on", brighter_by=-25) == (
        "I made everything in the study darker."
    )
    assert await said("home_set", target="desk lamp", state="on", brighter_by=25) == (
        "I made the desk lamp brighter."
    )


async def test_a_custom_device() -> None:
    home = Home()
    assert await home.set("strip", "off") == [("leds/power", "0")]
    assert await home.set("strip", brightness=50, color="orange") == [
        *[("leds/power", "1"), ("leds/level", "L128"), ("leds/rgb", "255,165,0 #ffa500")],
    ]
    with pytest.raises(ToolError, match="strip has no payload for that"):
        await home.set("strip", "toggle")


async def test_a_room_sets_what_fits() -> None:
    home = Home()
    off = {topic for topic, _ in await home.set("office", "off")}
    assert off == {"zigbee2mqtt/desk lamp/set", "cmnd/study_ceiling/POWER", "cmnd/strip/POWER2"}
    dimmed = {topic for topic, _ in await home.set("study", brightness=5)}
    assert dimmed == {
        *("zigbee2mqtt/desk lamp/set", "cmnd/study_ceiling/Dimmer", "cmnd/study_ceiling/POWER"),
    }
    assert await home.set("study", "close") == [("z2m/blind/set", {"state": "CLOSE"})]
    assert len(await home.set("all lights", "off")) == 3
    assert len(await home.set("upstairs", "off")) == 2
    with pytest.raises(ToolError, match="Nothing of the upstairs can be set so"):
        await home.set("upstairs", "open")


async def test_sentences() -> None:
    home = Home()
    said = home.said
    assert await said("home_set", target="desk lamp", state="on") == "I turned the desk lamp on."
    assert await said("home_set", target="blind", state="close") == "I closed the blind."
    assert await said("home_set", target="study", state="off") == (
        "I turned everything in the study off."
    )
    assert await said("home_set", target="desk lamp", state="on", brightness=30, color="red") == (
        "I set the desk lamp to red and 30 percent."
    )
    assert await said("home_set", target="desk lamp", state="on", color="#00ff00") == (
        "I set the desk lamp to that colour."
    )


@pytest.mark.parametrize(
    ("target", "arguments", "sentence"),
    [
        ("heater", {"state": "on", "brightness": 20}, "The heater is no light."),
        ("desk lamp", {"state": "open"}, "The desk lamp cannot be opened or closed."),
        ("blind", {"state": "on"}, "The blind can only be opened or closed."),
        ("desk lamp", {"state": "on", "color": "ultrared"}, "I do not know that colour."),
    ],
)
async def test_what_a_thing_cannot_do(
    target: str, arguments: dict[str, Any], sentence: str
) -> None:
    home = Home()
    with pytest.raises(ToolError) as caught:
        await home.said("home_set", target=target, **arguments)
    assert str(caught.value) == sentence
    assert home.bus.sent == []


async def test_scenes() -> None:
    home = Home()
    assert await home.said("home_scene", scene="film night") == "The scene film is set."
    assert [topic for topic, _ in home.bus.sent] == [
        *("zigbee2mqtt/desk lamp/set", "cmnd/strip/POWER2"),
    ]
    home.bus.sent.clear()
    assert await home.said("home_scene", scene="good night") == "The scene good night is set."
    assert home.bus.sent == [("house/scene", "night")]


async def test_what_the_broker_denies_is_said() -> None:
    home = Home()
    home.bus.denied = {"zigbee2mqtt/desk lamp/set"}
    with pytest.raises(ToolError) as caught:
        await home.said("home_set", target="desk lamp", state="on")
    assert str(caught.value) == "I could not reach the desk lamp: the broker denied it."
    assert await home.said("home_set", target="study lights", state="on") == (
        "I turned the study lights on. But I could not reach the desk lamp."
    )


async def test_what_cannot_be_sent_in_time_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon_tools.builtin.devices.PUBLISH_TIMEOUT_S", 0.02)
    home = Home()
    home.bus.stuck = {"zigbee2mqtt/desk lamp/set"}
    with pytest.raises(ToolError, match="the broker is away"):
        await home.said("home_set", target="desk lamp", state="on")
    assert home.bus.futures[0].cancelled()


@pytest.mark.parametrize(
    "topic",
    ["antiphon/tts/say", "antiphon", "antiphon/x/#", "+/set", "lamp/#", "$SYS/x", "", "a\x00b"],
)
def test_topics_that_no_device_may_have(topic: str) -> None:
    device = {"template": "custom", "topic": topic, "payload_on": "1"}
    scene = {"topic": topic, "payload": "1"}
    for text in ({"devices": {"lamp": device}}, {"scenes": {"party": scene}}):
        with pytest.raises(
            (ConfigError, ValidationError), match=r"Antiphon's own|topic|at least 1"
        ):
            Home(text)
    for field in ("brightness_topic", "color_topic"):
        text = {"devices": {"lamp": {**device, "topic": "lamp/set", field: topic}}}
        with pytest.raises((ConfigError, ValidationError)):
            Home(text)


def test_below_another_base_or_none() -> None:
    device = {"template": "custom", "topic": "antiphon/tts/say", "payload_on": "1"}
    assert Home({"devices": {"lamp": device}}, base="home/voice").tools
    own = {"template": "custom", "topic": "home/voice/tts/say", "payload_on": "1"}
    with pytest.raises(ConfigError, match="Antiphon's own"):
        Home({"devices": {"lamp": own}}, base="home/voice")
    bare = {"template": "custom", "topic": "tts/say", "payload_on": "1"}
    with pytest.raises(ConfigError, match="Antiphon's own"):
        Home({"devices": {"lamp": bare}}, base="")
    assert Home({"devices": {"lamp": Z2M}}, base="").tools


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ({"devices": {"a": {**Z2M, "aliases": ["b"]}, "b": Z2M}}, "two things"),
        ({"devices": {"study": {**Z2M, "area": "study"}}}, "two things"),
        ({"areas": {"attic": {}}}, "no device is in it"),
        ({"scenes": {"x": {"settings": [{"target": "nothing"}]}}}, "sets 'nothing'"),
        ({"devices": {"a": {**Z2M, "payload_on": "1"}}}, "only for template"),
        ({"devices": {"a": {"template": "custom", "topic": "x"}}}, "needs its payloads"),
        ({"devices": {"a": {**Z2M, "relay": 1}}}, "relay: only for"),
        ({"scenes": {"x": {}}}, "either settings or a topic"),
    ],
)
def test_files_that_cannot_be_followed(text: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ConfigError, ValidationError), match=sentence):
        Home(text)
