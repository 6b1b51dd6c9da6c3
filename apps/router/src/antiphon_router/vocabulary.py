"""Vocabulary: which tools there are, and what they call lamps, scenes and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from antiphon_contracts import ToolRegistry, ToolSpec

USUAL_LISTS = ("shopping", "to do")
"""Lists that people speak of whether or not there is one yet."""


ALL_LIGHTS = "all lights"
"""What the tool worker calls them together."""
LIGHTS = "lights"
"""Those of the room where it is said, if the house knows which they are; else all."""
_OF_ALL_LIGHTS = ("all the lights", "all of the lights", "every light", "all my lights")
_HAS_ONE_DOOR = ("garage", "shed")
"""What people open and mean its door."""
LONGEST_S = 15.0
CONFIRMING_S = 45.0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the house has.

    Attributes:
        tools: names of the tools on offer.
        targets: names of devices, areas and groups.
        scenes: names of scenes.
        lists: names of lists.
        timeouts_s: how long to wait for a tool, by name.
    """

    tools: frozenset[str] = frozenset()
    targets: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    lists: tuple[str, ...] = USUAL_LISTS
    timeouts_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, registries: Iterable[ToolRegistry]) -> Vocabulary:
        """Return what the tool workers' registries say."""
        tools = {tool.name: tool for registry in registries for tool in registry.tools}
        lists = [*USUAL_LISTS, *_names(tools.get("list_add"), "list")]
        return cls(
            tools=frozenset(tools),
            targets=_names(tools.get("home_set"), "target"),
            scenes=_names(tools.get("home_scene"), "scene"),
            lists=tuple(dict.fromkeys(lists)),
            timeouts_s={tool.name: _timeout_s(tool) for tool in tools.values()},
        )


def _timeout_s(tool: ToolSpec) -> float:
    """Return how long a person may have to wait for it: longer where one is asked first."""
    asking_s = CONFIRMING_S if tool.policy == "confirm" else 0.0
    return min(tool.timeout_s, LONGEST_S) + asking_s


def _names(tool: ToolSpec | None, argument: str) -> tuple[str, ...]:
    """Return the values or examples that a tool's schema names for an argument."""
    if tool is None:
        return ()
    properties = tool.parameters.get("properties")
    schema = properties.get(argument) if isinstance(properties, dict) else None
    if not isinstance(schema, dict):
        return ()
    named: list[Any] = []
    for key in ("enum", "examples"):
        values = schema.get(key)
        named.extend(values if isinstance(values, list) else [])
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str) and name.strip()))


def spoken_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return each way to say a name, with the name: `lamp`, `the lamp`'s plural, `hall_lamp`.

    What could mean two of them means neither, unless it is the very name of one.
    """
    exact = {_plain(name): name for name in names}
    loose: dict[str, set[str]] = {}
    for spoken, name in exact.items():
        for other in _variants(spoken):
            loose.setdefault(other, set()).add(name)
    also = {
        spoken: next(iter(meant))
        for spoken, meant in loose.items()
        if len(meant) == 1 and spoken not in exact
    }
    every = dict.fromkeys(_OF_ALL_LIGHTS, ALL_LIGHTS) | {LIGHTS: LIGHTS}
    return list(((every if ALL_LIGHTS in exact else {}) | also | exact).items())


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace(".", " ").replace("-", " ").split())


def _variants(spoken: str) -> list[str]:
    bare = spoken.removeprefix("the ")
    number = bare.removesuffix("s") if bare.endswith("s") else f"{bare}s"
    where, _, what = bare.rpartition(" ")
    there = [f"{what} in {where}", f"{what} in the {where}"] if where else []
    short = [where] if what == "door" and where in _HAS_ONE_DOOR else []
    return [other for other in (bare, number, *there, *short) if other != spoken]
