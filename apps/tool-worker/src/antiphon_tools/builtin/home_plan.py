"""What can be set in the house: the names of its devices, rooms, groups and scenes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from antiphon_contracts import ConfigError
from antiphon_runtime.foreign_topics import is_ours

from antiphon_tools.builtin.devices import Device, published, topics_of
from antiphon_tools.builtin.home_assistant import Exposed
from antiphon_tools.builtin.things import Thing
from antiphon_tools.home_sections import SceneSection, SceneSetting
from antiphon_tools.house_bus import HouseBus
from antiphon_tools.tools_file import ToolsFile

MAX_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """What a name means.

    Attributes:
        spoken: how it is called in a sentence, e.g. `the desk lamp`.
        things: what it consists of.
    """

    spoken: str
    things: tuple[Thing, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene.

    Attributes:
        name: what people call it.
        steps: what is set, in this order.
        begin: has somebody else set it.
    """

    name: str
    steps: tuple[SceneSetting, ...] = ()
    begin: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be set, by every name that people may use.

    Attributes:
        targets: devices, rooms and groups.
        scenes: scenes.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    scenes: dict[str, Scene] = field(default_factory=dict)


def plan_of(file: ToolsFile, exposed: Exposed, bus: HouseBus, base: str) -> Plan:
    """Return what can be set by the file and by Home Assistant; the file's names come first.

    Raises:
        ConfigError: two things have one name, a topic is Antiphon's own, or a scene sets what is
            not there.
    """
    _require_foreign_topics(file, base)
    plan = Plan()
    devices = [Device(name, section, bus) for name, section in file.devices.items()]
    for device in devices:
        _name(plan, (device.name, *device.section.aliases), f"the {device.name}", (device,))
    _name_rooms(plan, file, devices)
    for name, section in file.scenes.items():
        scene = _scene(name, section, bus)
        for called in (name, *section.aliases):
            if plan.scenes.setdefault(called, scene) is not scene:
                raise ConfigError(f"tools.toml has two scenes that are called {called!r}")
    for entity in exposed.entities:
        plan.targets.setdefault(entity.name, Target(f"the {entity.name}", (entity,)))
    for found in exposed.scenes:
        plan.scenes.setdefault(found.name, Scene(found.name, begin=found.begin))
    _name_all_lights(plan, [*devices, *exposed.entities])
    if file.home_assistant is None:
        _require_known_steps(plan)
    if len(plan.targets) > MAX_NAMES:
        raise ConfigError(f"tools.toml and Home Assistant name more than {MAX_NAMES} things")
    return plan


def _name(plan: Plan, names: Iterable[str], spoken: str, things: Iterable[Thing]) -> None:
    target = Target(spoken, tuple(things))
    for name in names:
        if plan.targets.setdefault(name, target) is not target:
            raise ConfigError(f"tools.toml has two things that are called {name!r}")


def _name_rooms(plan: Plan, file: ToolsFile, devices: list[Device]) -> None:
    rooms: dict[str, list[Thing]] = {}
    groups: dict[str, list[Thing]] = {}
    for device in devices:
        if device.section.area is not None:
            rooms.setdefault(device.section.area, []).append(device)
        for group in device.section.groups:
            groups.setdefault(group, []).append(device)
    for empty in file.areas.keys() - rooms.keys():
        raise ConfigError(f"tools.toml names the area {empty!r}, but no device is in it")
    for room, things in rooms.items():
        aliases = file.areas[room].aliases if room in file.areas else ()
        _name(plan, (room, *aliases), f"everything in the {room}", things)
    for group, things in groups.items():
        _name(plan, [group], f"the {group}", things)
    for room, things in rooms.items():
        lights = tuple(thing for thing in things if thing.kind == "light")
        if lights:
            plan.targets.setdefault(f"{room} lights", Target(f"the {room} lights", lights))


def _name_all_lights(plan: Plan, things: Iterable[Thing]) -> None:
    lights = tuple(thing for thing in things if thing.kind == "light")
    if lights:
        plan.targets.setdefault("all lights", Target("all lights", lights))


def _scene(name: str, section: SceneSection, bus: HouseBus) -> Scene:
    if section.topic is None:
        return Scene(name, section.settings)
    begin = partial(published, bus, section.topic, section.payload, name)
    return Scene(name, begin=begin)


def _require_known_steps(plan: Plan) -> None:
    for scene in plan.scenes.values():
        for step in scene.steps:
            if step.target not in plan.targets:
                raise ConfigError(
                    f"the scene {scene.name!r} in tools.toml sets {step.target!r}, which is unknown"
                )


def _require_foreign_topics(file: ToolsFile, base: str) -> None:
    prefix = f"{base}/" if base else ""
    topics = {(name, topic) for name, one in file.devices.items() for topic in topics_of(one)}
    topics |= {(name, one.topic) for name, one in file.scenes.items() if one.topic is not None}
    for name, topic in sorted(topics):
        if is_ours(topic, prefix):
            raise ConfigError(
                f"the topic of {name!r} in tools.toml is Antiphon's own; a device needs another"
            )
