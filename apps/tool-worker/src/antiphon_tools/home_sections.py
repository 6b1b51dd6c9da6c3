"""Sections of `tools.toml` about the house: devices, areas, scenes and Home Assistant."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from antiphon_runtime.transport import why_not_a_message
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from antiphon_tools.lookup_sections import WebAddress
from antiphon_tools.secret_reference import SecretReference
from antiphon_tools.section import Section

SpokenName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=60),
]
"""What people call a thing; lower case."""

State = Literal["on", "off", "toggle", "open", "close"]
Kind = Literal["light", "switch", "fan", "cover"]


def _checked_topic(topic: str) -> str:
    fault = why_not_a_message(topic, b"")
    if fault is not None or topic.startswith("$"):
        raise ValueError(f"{topic!r} is no topic to publish to; write it whole, without + and #")
    return topic


DeviceTopic = Annotated[
    str, StringConstraints(min_length=1, max_length=250), AfterValidator(_checked_topic)
]
"""A topic, written whole."""

PayloadText = Annotated[str, StringConstraints(max_length=1000)]


class DeviceSection(Section):
    """A lamp, socket, fan or cover that is switched by MQTT.

    Attributes:
        kind: what it is.
        area: the room that it is in; all devices of an area can be meant at once.
        aliases: what else people call it.
        groups: further names of which it is a part, e.g. `downstairs`.
        template: whose messages it understands.
        topic: zigbee2mqtt: the device's own, e.g. `zigbee2mqtt/desk lamp`, without `/set`; tasmota:
            the device's Topic, without `cmnd/`; custom: where the payloads go.
        relay: which output of a Tasmota device, from 1; None is the only one.
        payload_on: of a custom device, as are all that follow; None is not understood.
        payload_off: switches it off.
        payload_toggle: switches it over.
        payload_open: opens it.
        payload_close: closes it.
        brightness_topic: where the brightness goes; None is `topic`.
        payload_brightness: `{brightness}` stands for a whole number up to `brightness_max`.
        brightness_max: what is full brightness.
        color_topic: where the colour goes; None is `topic`.
        payload_color: `{hex}` stands for the colour, e.g. `ff8800`; `{r}`, `{g}`, `{b}` for 0-255.
    """

    kind: Kind = "light"
    area: SpokenName | None = None
    aliases: tuple[SpokenName, ...] = Field(default=(), max_length=20)
    groups: tuple[SpokenName, ...] = Field(default=(), max_length=20)
    template: Literal["zigbee2mqtt", "tasmota", "custom"]
    topic: DeviceTopic
    relay: int | None = Field(default=None, ge=1, le=32)
    payload_on: PayloadText | None = None
    payload_off: PayloadText | None = None
    payload_toggle: PayloadText | None = None
    payload_open: PayloadText | None = None
    payload_close: PayloadText | None = None
    brightness_topic: DeviceTopic | None = None
    payload_brightness: PayloadText | None = None
    brightness_max: int = Field(default=100, ge=1, le=65_535)
    color_topic: DeviceTopic | None = None
    payload_color: PayloadText | None = None

    @model_validator(mode="after")
    def _fits_its_template(self) -> Self:
        custom = {name for name in self.model_fields_set if name.startswith("payload_")}
        custom |= self.model_fields_set & {"brightness_topic", "brightness_max", "color_topic"}
        if self.template != "custom" and custom:
            raise ValueError(f'{", ".join(sorted(custom))}: only for template = "custom"')
        if self.template == "custom" and not custom:
            raise ValueError("a custom device needs its payloads, e.g. payload_on and payload_off")
        if self.relay is not None and self.template != "tasmota":
            raise ValueError('relay: only for template = "tasmota"')
        return self


class AreaSection(Section):
    """Other names of an area.

    Attributes:
        aliases: what else people call it.
    """

    aliases: tuple[SpokenName, ...] = Field(default=(), max_length=20)


class SceneSetting(Section):
    """One step of a scene: as the arguments of the tool `home_set`.

    Attributes:
        target: name of a device, area or group.
        state: what it shall be.
        brightness: in percent.
        color: name of a colour, or `#rrggbb`.
    """

    target: SpokenName
    state: State = "on"
    brightness: int | None = Field(default=None, ge=0, le=100)
    color: str | None = Field(default=None, max_length=30)


class SceneSection(Section):
    """A scene: settings of devices, or one message to something that knows the scene.

    Attributes:
        aliases: what else people call it.
        settings: what is set, in this order.
        topic: where the message goes.
        payload: the message.
    """

    aliases: tuple[SpokenName, ...] = Field(default=(), max_length=20)
    settings: tuple[SceneSetting, ...] = Field(default=(), max_length=100)
    topic: DeviceTopic | None = None
    payload: PayloadText = ""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.settings) == (self.topic is not None):
            raise ValueError("a scene has either settings or a topic with a payload")
        return self


EntityPattern = Annotated[
    str, StringConstraints(pattern=r"^[a-z_]+\.[a-z0-9_*?]+$", max_length=255)
]


class HomeAssistantSection(Section):
    """A Home Assistant whose devices and scenes are offered.

    Attributes:
        url: its address, e.g. `http://homeassistant.local:8123`.
        token: where its long-lived access token is.
        expose: entities on offer, as ids or patterns. A door, gate or garage is only offered by
            its whole id.
        hide: entities that are not, though `expose` has them.
        timeout_s: how long one request may take.
    """

    url: WebAddress
    token: SecretReference
    expose: tuple[EntityPattern, ...] = Field(
        default=("light.*", "switch.*", "fan.*", "cover.*", "scene.*"), max_length=500
    )
    hide: tuple[EntityPattern, ...] = Field(default=(), max_length=500)
    timeout_s: float = Field(default=5.0, gt=0, le=30)
