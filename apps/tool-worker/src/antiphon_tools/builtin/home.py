"""The house: the tools `home_set` and `home_scene`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from antiphon_tools.builtin.colours import colour
from antiphon_tools.builtin.home_plan import Plan, Target
from antiphon_tools.builtin.item_names import enumerated
from antiphon_tools.builtin.things import Setting, Thing, fits
from antiphon_tools.tool import Tool, ToolContext, ToolError, tool

_TIMEOUT_S = 15.0
_DONE = {
    "on": "I turned {} on.",
    "off": "I turned {} off.",
    "toggle": "I switched {} over.",
    "open": "I opened {}.",
    "close": "I closed {}.",
}


def home_tools(plan: Plan) -> list[Tool]:
    """Return the tools that set the things of the plan; none where there is nothing to set."""
    tools: list[Tool] = []
    if plan.targets:
        tools.append(_home_set(plan))
    if plan.scenes:
        tools.append(_home_scene(plan))
    return tools


def _home_set(plan: Plan) -> Tool:
    @tool(
        "home_set",
        "Switches or sets a device, or all that fit in a room or group.",
        {
            "target": {"type": "string", "enum": sorted(plan.targets)},
            "state": {"type": "string", "enum": list(_DONE)},
            "brightness": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100,
                "description": "Of a light, in percent; with state on.",
            },
            "brighter_by": {
                "type": "integer",
                "minimum": -100,
                "maximum": 100,
                "description": "Of a light, points of percent; below 0 is darker; with state on.",
            },
            "color": {
                "type": "string",
                "minLength": 1,
                "maxLength": 30,
                "description": "Of a light: a name, warm white, cool white, or #rrggbb.",
            },
        },
        required=["target", "state"],
        timeout_s=_TIMEOUT_S,
    )
    async def home_set(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        setting = setting_of(
            arguments["state"],
            arguments.get("brightness"),
            arguments.get("color"),
            arguments.get("brighter_by"),
        )
        return {"text": await applied(plan.targets[arguments["target"]], setting)}

    return home_set


def _home_scene(plan: Plan) -> Tool:
    @tool(
        "home_scene",
        "Begins a scene of the house.",
        {"scene": {"type": "string", "enum": sorted(plan.scenes)}},
        required=["scene"],
        timeout_s=_TIMEOUT_S,
    )
    async def home_scene(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        scene = plan.scenes[arguments["scene"]]
        if scene.begin is not None:
            await scene.begin()
        for step in scene.steps:
            target = plan.targets.get(step.target)
            if target is None:
                raise ToolError(f"The {step.target} of the scene {scene.name} is not there.")
            await applied(target, setting_of(step.state, step.brightness, step.color))
        return {"text": f"The scene {scene.name} is set."}

    return home_scene


def setting_of(
    state: str, brightness: int | None, color: str | None, brighter_by: int | None = None
) -> Setting:
    """Return the setting that is meant: no brightness is off, and what is off has no colour.

    A brightness that is said outright counts more than a step.

    Raises:
        ToolError: the colour is not known.
    """
    if state != "on":
        return Setting(state)  # type: ignore[arg-type]  # the schema has checked it
    if brightness == 0:
        return Setting("off")
    step = brighter_by if brightness is None and brighter_by else None
    return Setting("on", brightness, None if color is None else colour(color), step)


@dataclass(frozen=True, slots=True)
class _Outcome:
    thing: Thing
    error: str | None


async def applied(target: Target, setting: Setting) -> str:
    """Set all that fit of a target, and return a sentence about it.

    Raises:
        ToolError: nothing of it was set.
    """
    if len(target.things) == 1:
        target.things[0].require(setting)
    things = [thing for thing in target.things if fits(thing, setting) or len(target.things) == 1]
    if not things:
        raise ToolError(f"Nothing of {target.spoken} can be set so.", code="bad_arguments")
    outcomes = await _all_set(things, setting)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if len(failed) == len(outcomes):
        raise ToolError(str(failed[0].error))
    sentence = _sentence(target, setting)
    if failed:
        names = enumerated([f"the {outcome.thing.name}" for outcome in failed])
        return f"{sentence} But I could not reach {names}."
    return sentence


async def _all_set(things: Sequence[Thing], setting: Setting) -> list[_Outcome]:
    async def one(thing: Thing) -> _Outcome:
        try:
            await thing.set(setting)
        except ToolError as error:
            return _Outcome(thing, str(error))
        return _Outcome(thing, None)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(thing), name=f"set:{thing.name}") for thing in things]
    return [task.result() for task in tasks]


def _sentence(target: Target, setting: Setting) -> str:
    if not setting.is_for_lights:
        return _DONE[setting.state].format(target.spoken)
    if setting.brighter_by is not None and setting.colour is None:
        return f"I made {target.spoken} {'brighter' if setting.brighter_by > 0 else 'darker'}."
    how = [] if setting.colour is None else [setting.colour.name]
    if setting.brightness is not None:
        how.append(f"{setting.brightness:g} percent")
    return f"I set {target.spoken} to {enumerated(how)}."
