"""Timers, alarms and reminders for the language model; the timer worker keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from antiphon_contracts import (
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    BusError,
    Busy,
    RequestTimeout,
    Timer,
    TimerChange,
    TimerDone,
    TimerQuery,
    TimerSelector,
    TimerSet,
    WorkerGone,
)
from pydantic import JsonValue, ValidationError

from antiphon_tools.builtin.timer_phrases import phrase, sentence_of
from antiphon_tools.house_bus import HouseBus
from antiphon_tools.tool import Tool, ToolContext, ToolError, tool

_ASKED_S = 5.0
_TIMEOUT_S = 8.0  # above what the timer worker is waited for
_SHOWN = 15  # with their words, they fit into the 64 KiB of a result
_YEAR_S = 366 * 86_400
_KIND = {"type": "string", "enum": ["timer", "alarm", "reminder"]}
_NAME = {"type": "string", "maxLength": 100, "description": "What it is called, e.g. pasta."}
_AT = {
    "type": "string",
    "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$",
    "description": "Local time of day, HH:MM.",
}
_LENGTH = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": _YEAR_S,
    "description": "For how many seconds it was set.",
}
_SETTINGS: dict[str, Any] = {
    "kind": {**_KIND, "description": "timer if unsaid."},
    "name": _NAME,
    "text": {"type": "string", "maxLength": 1000, "description": "What a reminder says."},
    "after_s": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": _YEAR_S,
        "description": "In so many seconds; either this or at.",
    },
    "at": _AT,
    "on": {
        "type": "string",
        "pattern": r"^\d{4}-\d\d-\d\d$",
        "description": "Local date, YYYY-MM-DD; the next such time if unsaid.",
    },
    "days": {
        "type": "array",
        "maxItems": 7,
        "items": {"type": "integer", "minimum": 0},
        "description": "Weekdays on which it comes again, 0 is Monday.",
    },
}
_SETTINGS["days"]["items"]["maximum"] = 6
_CHANGES: dict[str, Any] = {
    "action": {
        "type": "string",
        "enum": ["cancel", "pause", "resume", "add", "stop", "snooze"],
        "description": "stop and snooze are for what rings.",
    },
    "kind": _KIND,
    "name": _NAME,
    "length_s": _LENGTH,
    "at": _AT,
    "every": {"type": "boolean", "description": "All that fit, not the only one."},
    "seconds": {
        "type": "number",
        "minimum": -_YEAR_S,
        "maximum": _YEAR_S,
        "description": "For add (below 0 takes away) and snooze.",
    },
}
_SELECTORS = ("kind", "name", "length_s", "at")


def timer_tools(bus: HouseBus) -> list[Tool]:
    """Return the tools; the requests on timers must be declared to the bus."""

    @tool(
        "set_timer",
        "Sets a timer, an alarm or a reminder.",
        _SETTINGS,
        timeout_s=_TIMEOUT_S,
    )
    async def set_timer(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        if ("after_s" in arguments) == ("at" in arguments):
            raise ToolError("Give either after_s or at.", code="bad_arguments")
        with _checked():
            wanted = TimerSet(**arguments)
        with _translated("It is not known whether it was set."):
            done = await bus.request(TIMER_SET, wanted, **_envelope(context))
        return _told(done, context)

    @tool(
        "change_timer",
        "Cancels, pauses, resumes, lengthens, stops or snoozes timers, alarms and reminders.",
        _CHANGES,
        required=["action"],
        timeout_s=_TIMEOUT_S,
    )
    async def change_timer(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        if arguments["action"] == "add" and "seconds" not in arguments:
            raise ToolError("Say how many seconds are added.", code="bad_arguments")
        with _checked():
            change = TimerChange(
                action=arguments["action"],
                which=_selector(arguments),
                every=arguments.get("every", False),
                seconds=arguments.get("seconds"),
            )
        with _translated("It is not known whether it was changed."):
            done = await bus.request(TIMER_CHANGE, change, **_envelope(context))
        return _told(done, context)

    @tool(
        "list_timers",
        "Tells which timers, alarms and reminders there are, and how long is left.",
        {"kind": _KIND, "name": _NAME},
        idempotent=True,
        timeout_s=_TIMEOUT_S,
    )
    async def list_timers(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        with _checked():
            query = TimerQuery(which=_selector(arguments))
        with _translated("My timers do not answer."):
            found = await bus.request(TIMER_QUERY, query, **_envelope(context))
        if found.error is not None:
            raise ToolError(found.error)
        phrases = [phrase(timer, context) for timer in found.timers[:_SHOWN]]
        if len(found.timers) > len(phrases):
            phrases.append(f"There are {len(found.timers) - len(phrases)} more")
        text = " ".join(f"{one}." for one in phrases) or "Nothing is set."
        return {"text": text, "timers": _shown(found.timers)}

    return [set_timer, change_timer, list_timers]


def _envelope(context: ToolContext) -> dict[str, Any]:
    """Return what goes along; a call that is repeated asks under the same id."""
    message_id = f"{context.call_id[:200]}.timer" if context.call_id else None
    return {
        "timeout_s": _ASKED_S,
        "turn_id": context.turn_id,
        "site_id": context.site_id,
        "message_id": message_id,
    }


def _selector(arguments: Mapping[str, Any]) -> TimerSelector:
    return TimerSelector(**{key: arguments[key] for key in _SELECTORS if key in arguments})


def _told(done: TimerDone, context: ToolContext) -> JsonValue:
    if done.error is not None:
        raise ToolError(done.error)
    return {"text": sentence_of(done, context), "timers": _shown(done.timers)}


def _shown(timers: Sequence[Timer]) -> list[JsonValue]:
    fields = {"kind", "name", "text", "state", "left_s", "at", "days", "site_id"}
    return [timer.model_dump(mode="json", include=fields) for timer in timers[:_SHOWN]]


@contextmanager
def _checked() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        field = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise ToolError(f"{field}: that cannot be.", code="bad_arguments") from None


@contextmanager
def _translated(late: str) -> Iterator[None]:
    """Turn the bus's errors into sentences for people."""
    try:
        yield
    except WorkerGone:
        raise ToolError("My timers are offline.") from None
    except Busy:
        raise ToolError("My timers are busy; try again in a moment.") from None
    except RequestTimeout:
        raise ToolError(late, code="unknown_outcome") from None
    except BusError as error:
        raise ToolError(f"My timers failed: {error}.") from error
