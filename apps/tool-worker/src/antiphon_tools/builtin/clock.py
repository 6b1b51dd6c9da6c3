"""The time and the date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from antiphon_tools.tool import ToolContext, ToolError, tool

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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
