"""Devices on MQTT: what is published for a setting.

Sources: Zigbee2MQTT, "MQTT Topics and Messages" (`<device>/set`), "Exposes" (light, cover) and
"Moving/stepping" of its lights; Tasmota, "Commands" (Power, Dimmer, DimmerStep, Color2, CT,
ShutterOpen, ShutterClose).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson
from antiphon_contracts import BusError, ContractError

from antiphon_tools.builtin.things import Setting, require_kind
from antiphon_tools.home_sections import DeviceSection, Kind
from antiphon_tools.house_bus import HouseBus
from antiphon_tools.tool import ToolError

PUBLISH_TIMEOUT_S = 3.0
Messages = Sequence[tuple[str, str]]
"""Topics and payloads, in the order in which they are sent."""

_Z2M_BRIGHTNESS = 254
_TASMOTA_STEP = 10  # percent, by which `Dimmer +` and `Dimmer -` change it unless DimmerStep is set
_TASMOTA_CT = {"warm": 400, "neutral": 250, "cool": 160}  # mired; Tasmota takes 153 to 500


class Device:
    """A configured device; see `antiphon_tools.builtin.things.Thing`.

    It is told on its configured topics and nowhere else.

    Args:
        name: what people call it.
        section: what the file says of it.
        bus: by which it is reached.
    """

    def __init__(self, name: str, section: DeviceSection, bus: HouseBus) -> None:
        self.name = name
        self.section = section
        self._bus = bus
        self._messages = _TEMPLATES[section.template]

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.section.kind

    def require(self, setting: Setting) -> None:
        """See the port."""
        require_kind(self, setting)
        if not self._messages(self.section, setting):
            raise ToolError(
                f"The {self.name} has no payload for that; give it one in tools.toml.",
                code="bad_arguments",
            )

    async def set(self, setting: Setting) -> None:
        """See the port."""
        self.require(setting)
        for topic, payload in self._messages(self.section, setting):
            await published(self._bus, topic, payload, self.name)


async def published(bus: HouseBus, topic: str, payload: str, name: str) -> None:
    """Publish to a thing's topic; what cannot be sent in time is not sent later.

    Raises:
        ToolError: it was not sent; the text says why.
    """
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            await bus.publish_elsewhere(topic, payload.encode())
    except TimeoutError:
        raise ToolError(f"I could not reach the {name}: the broker is away.") from None
    except (BusError, ContractError) as error:
        raise ToolError(f"I could not reach the {name}: {error}.") from error


def topics_of(section: DeviceSection) -> set[str]:
    """Return every topic on which a device may be told something."""
    if section.template == "zigbee2mqtt":
        return {f"{section.topic}/set"}
    if section.template == "tasmota":
        return {f"cmnd/{section.topic}/"}
    found = {section.topic, section.brightness_topic, section.color_topic}
    return {topic for topic in found if topic is not None}


def _zigbee2mqtt(section: DeviceSection, setting: Setting) -> Messages:
    body: dict[str, object] = {"state": setting.state.upper()}
    if setting.brightness is not None:
        body["brightness"] = round(setting.brightness * _Z2M_BRIGHTNESS / 100)
    if setting.brighter_by is not None:
        # With `state` a light would jump to its last brightness before it steps.
        body = {"brightness_step": round(setting.brighter_by * _Z2M_BRIGHTNESS / 100)}
    if setting.colour is not None and setting.colour.warmth is not None:
        body["color_temp"] = setting.colour.warmth
    elif setting.colour is not None:
        body["color"] = {"hex": f"#{setting.colour.hex}"}
    return [(f"{section.topic}/set", orjson.dumps(body).decode())]


def _tasmota(section: DeviceSection, setting: Setting) -> Messages:
    base, relay = f"cmnd/{section.topic}", section.relay or ""
    if setting.is_for_covers:
        return [(f"{base}/Shutter{setting.state.capitalize()}{section.relay or 1}", "")]
    if setting.state != "on" or not setting.is_for_lights:
        return [(f"{base}/POWER{relay}", setting.state.upper())]
    messages: list[tuple[str, str]] = []
    if setting.colour is not None and setting.colour.warmth is not None:
        messages.append((f"{base}/CT", str(_TASMOTA_CT[setting.colour.warmth])))
    elif setting.colour is not None:
        messages.append((f"{base}/Color2", setting.colour.hex.upper()))
    if setting.brightness is not None:
        messages.append((f"{base}/Dimmer{relay}", str(setting.brightness)))
    if setting.brighter_by is not None:
        steps = max(1, round(abs(setting.brighter_by) / _TASMOTA_STEP))
        messages += [(f"{base}/Dimmer{relay}", "+" if setting.brighter_by > 0 else "-")] * steps
        return messages
    return [*messages, (f"{base}/POWER{relay}", "ON")]


def _custom(section: DeviceSection, setting: Setting) -> Messages:
    payloads = {
        "on": section.payload_on,
        "off": section.payload_off,
        "toggle": section.payload_toggle,
        "open": section.payload_open,
        "close": section.payload_close,
    }
    payload = payloads[setting.state]
    messages: list[tuple[str, str]] = [] if payload is None else [(section.topic, payload)]
    if setting.brightness is not None:
        if section.payload_brightness is None:
            return []
        level = round(setting.brightness * section.brightness_max / 100)
        text = section.payload_brightness.replace("{brightness}", str(level))
        messages.append((section.brightness_topic or section.topic, text))
    if setting.brighter_by is not None:
        return []
    if setting.colour is not None:
        if section.payload_color is None:
            return []
        text = section.payload_color.replace("{hex}", setting.colour.hex)
        for sign, value in zip("rgb", setting.colour.rgb, strict=True):
            text = text.replace(f"{{{sign}}}", str(value))
        messages.append((section.color_topic or section.topic, text))
    return messages


_TEMPLATES: dict[str, Callable[[DeviceSection, Setting], Messages]] = {
    "zigbee2mqtt": _zigbee2mqtt,
    "tasmota": _tasmota,
    "custom": _custom,
}
