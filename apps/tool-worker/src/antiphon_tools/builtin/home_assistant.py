"""Home Assistant: which of its entities are on offer, and what it is told for a setting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

import structlog
from antiphon_contracts import AntiphonError, EngineError
from antiphon_runtime.upstream import Notes, Upstream
from pydantic import JsonValue

from antiphon_tools.builtin.colours import KELVIN
from antiphon_tools.builtin.things import Setting, require_kind
from antiphon_tools.home_sections import HomeAssistantSection, Kind
from antiphon_tools.tool import ToolError

POLL_S = 60.0
MAX_ENTITIES = 300
MAX_NAME_CHARS = 60
_KINDS: dict[str, Kind] = {
    "light": "light",
    "switch": "switch",
    "input_boolean": "switch",
    "fan": "fan",
    "cover": "cover",
}
_SCENES = frozenset({"scene", "script"})
# What lets strangers in is offered only where the owner wrote down its whole id.
_GUARDED = frozenset({"door", "garage", "gate"})

log = structlog.get_logger(__name__)


class HomeAssistant(Protocol):
    """A Home Assistant server."""

    async def states(self) -> Sequence[JsonValue]:
        """Return the state of every entity, as its REST API has them.

        Raises:
            EngineError: it does not answer, or refuses.
        """

    async def call(self, domain: str, service: str, data: Mapping[str, JsonValue]) -> None:
        """Call a service.

        Raises:
            EngineError: it does not answer, or refuses.
        """


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity that can be set; see `antiphon_tools.builtin.things.Thing`."""

    name: str
    id: str
    kind: Kind
    server: HomeAssistant

    def require(self, setting: Setting) -> None:
        """See the port."""
        require_kind(self, setting)

    async def set(self, setting: Setting) -> None:
        """See the port."""
        self.require(setting)
        data: dict[str, JsonValue] = {"entity_id": self.id}
        if setting.brightness is not None:
            data["brightness_pct"] = setting.brightness
        if setting.brighter_by is not None:
            data["brightness_step_pct"] = setting.brighter_by
        if setting.colour is not None and setting.colour.warmth is not None:
            data["color_temp_kelvin"] = KELVIN[setting.colour.warmth]
        elif setting.colour is not None:
            data["rgb_color"] = list(setting.colour.rgb)
        services = {"on": "turn_on", "off": "turn_off", "toggle": "toggle"}
        service = services.get(setting.state) or f"{setting.state}_cover"
        try:
            await self.server.call(self.id.partition(".")[0], service, data)
        except EngineError as error:
            raise ToolError(str(error)) from error


@dataclass(frozen=True, slots=True)
class EntityScene:
    """A scene or script of Home Assistant."""

    name: str
    id: str
    server: HomeAssistant

    async def begin(self) -> None:
        """Have it begun.

        Raises:
            ToolError: Home Assistant was not told.
        """
        try:
            await self.server.call(self.id.partition(".")[0], "turn_on", {"entity_id": self.id})
        except EngineError as error:
            raise ToolError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Exposed:
    """What a Home Assistant has on offer."""

    entities: tuple[Entity, ...] = ()
    scenes: tuple[EntityScene, ...] = ()


def exposed(
    states: Sequence[JsonValue], section: HomeAssistantSection, server: HomeAssistant
) -> Exposed:
    """Return what is on offer of what a server lists, by the section's patterns."""
    entities: dict[str, Entity] = {}
    scenes: dict[str, EntityScene] = {}
    for state in states:
        found = _named(state)
        if found is None or len(entities) + len(scenes) >= MAX_ENTITIES:
            continue
        entity_id, name, is_guarded = found
        if not _is_on_offer(entity_id, section, is_guarded=is_guarded):
            continue
        domain, _, own = entity_id.partition(".")
        if name in entities or name in scenes:
            name = own.replace("_", " ")
        if domain in _SCENES:
            scenes.setdefault(name, EntityScene(name, entity_id, server))
        elif domain in _KINDS:
            entities.setdefault(name, Entity(name, entity_id, _KINDS[domain], server))
    return Exposed(tuple(entities.values()), tuple(scenes.values()))


def _named(state: JsonValue) -> tuple[str, str, bool] | None:
    """Return id, name and whether it lets people in; None of what cannot be used."""
    if not isinstance(state, dict):
        return None
    entity_id, attributes = state.get("entity_id"), state.get("attributes")
    if not isinstance(entity_id, str) or not isinstance(attributes, dict):
        return None
    said = attributes.get("friendly_name")
    name = said if isinstance(said, str) else entity_id.partition(".")[2].replace("_", " ")
    name = " ".join(name.casefold().split())
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        return None
    return entity_id, name, attributes.get("device_class") in _GUARDED


def _is_on_offer(entity_id: str, section: HomeAssistantSection, *, is_guarded: bool) -> bool:
    if any(fnmatchcase(entity_id, pattern) for pattern in section.hide):
        return False
    if is_guarded:
        return entity_id in section.expose
    return any(fnmatchcase(entity_id, pattern) for pattern in section.expose)


Connect = Callable[[HomeAssistantSection], tuple[HomeAssistant, Upstream]]


class HomeAssistantLink:
    """Knows what the Home Assistant of the file has on offer, and keeps that up to date.

    Args:
        connect: makes a server of the section.
        on_change: called when something else is on offer than before.
        health: told while it cannot be asked what it has.

    Attributes:
        exposed: what is on offer now; kept while the server is away.
    """

    def __init__(self, connect: Connect, on_change: Callable[[], None], health: Notes) -> None:
        self.exposed = Exposed()
        self._connect = connect
        self._on_change = on_change
        self._health = health
        self._section: HomeAssistantSection | None = None
        self._server: tuple[HomeAssistant, Upstream] | None = None
        self._told = asyncio.Event()

    def use(self, section: HomeAssistantSection | None) -> None:
        """Take the server of another reading of the file; None is none."""
        if section == self._section:
            return
        self._section = section
        self._server = None if section is None else self._connect(section)
        self.exposed = Exposed()
        self._health.clear_note("home_assistant")
        self._told.set()

    async def run(self) -> None:
        """Ask the server what it has, now, every minute and when it is another, for ever."""
        while True:
            self._told.clear()
            if self._section is not None and self._server is not None:
                await self._ask(self._section, *self._server)
            try:
                async with asyncio.timeout(POLL_S if self._section else None):
                    await self._told.wait()
            except TimeoutError:
                continue

    async def _ask(
        self, section: HomeAssistantSection, server: HomeAssistant, upstream: Upstream
    ) -> None:
        try:
            found = exposed(await upstream.call(server.states), section, server)
        except AntiphonError as error:
            log.warning("home_assistant.not_asked", detail=str(error))
            self._health.note("home_assistant", str(error))
            return
        self._health.clear_note("home_assistant")
        if section is self._section and found != self.exposed:
            self.exposed = found
            log.info("home_assistant.exposed", entities=len(found.entities))
            self._on_change()
