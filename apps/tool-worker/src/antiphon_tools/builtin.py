"""The tools that come with Antiphon."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from antiphon_tools.engine import evaluate
from antiphon_tools.tool import ToolContext, ToolError, tool

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MEMORY_TIMEOUT_S = 10.0  # above what the memory worker is waited for


def zone_of(name: str) -> tzinfo:
    """Return the time zone of an IANA name, e.g. `Europe/Paris`.

    Raises:
        ToolError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = "I do not know that time zone; use a name such as Europe/Paris."
        raise ToolError(msg, code="bad_arguments") from None


@tool(
    "get_time",
    "Tells the time, date and weekday now, here or in another time zone.",
    {
        "timezone": {
            "type": "string",
            "maxLength": 64,
            "description": "IANA name, e.g. America/New_York; leave it out for here.",
        }
    },
    idempotent=True,
    timeout_s=2.0,
)
async def get_time(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
    """Return time (24 h), date (ISO), weekday, time zone and the whole in ISO 8601."""
    name = arguments.get("timezone", "")
    now = context.clock().astimezone(zone_of(name) if name else context.zone)
    return {
        "time": now.strftime("%H:%M"),
        "date": now.date().isoformat(),
        "weekday": _WEEKDAYS[now.weekday()],
        "timezone": str(now.tzinfo),
        "iso": now.isoformat(timespec="seconds"),
    }


@tool(
    "calculate",
    "Works out a sum with + - * / ** % ( ), sqrt, round, abs, min and max.",
    {
        "expression": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "description": "E.g. (12 + 8) * 3.5, 15% of 80, sqrt(2).",
        }
    },
    required=["expression"],
    idempotent=True,
    timeout_s=2.0,
)
async def calculate(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
    """Return the result."""
    return {"result": evaluate(arguments["expression"])}


@tool(
    "remember",
    "Stores something for good that the person asked to be remembered.",
    {
        "text": {
            "type": "string",
            "minLength": 1,
            "maxLength": 20_000,
            "description": "What to remember, as a sentence that can stand alone.",
        }
    },
    required=["text"],
    timeout_s=_MEMORY_TIMEOUT_S,
)
async def remember(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
    """Store the text in long-term memory; tells what it replaced, if anything."""
    replaced = await context.memory.remember(arguments["text"])
    return {"remembered": True, "replaced": list(replaced)} if replaced else {"remembered": True}


@tool(
    "recall",
    "Looks up what was remembered on a subject.",
    {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2_000,
            "description": "What to look for, in a few words or as a question.",
        }
    },
    required=["query"],
    idempotent=True,
    timeout_s=_MEMORY_TIMEOUT_S,
)
async def recall(arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
    """Return the memories that fit, best first; none is an empty list."""
    return {"memories": list(await context.memory.query(arguments["query"]))}
