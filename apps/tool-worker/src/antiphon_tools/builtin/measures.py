"""Units: the tool `convert_units`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from antiphon_tools.engine import Units
from antiphon_tools.lookup_sections import UnitsSection
from antiphon_tools.tool import Tool, ToolContext, tool

_LARGEST = 1e15
_UNIT = {"type": "string", "minLength": 1, "maxLength": 60}


def convert_units(units: Units, section: UnitsSection) -> Tool:
    """Return the tool that converts units."""

    @tool(
        "convert_units",
        "Converts a measure into another unit: length, weight, volume, temperature, speed and so "
        "on; no money.",
        {
            "value": {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
            "from_unit": {**_UNIT, "description": "E.g. miles, degrees fahrenheit, km/h, cups."},
            "to_unit": _UNIT,
        },
        required=["value", "from_unit", "to_unit"],
        idempotent=True,
        timeout_s=10.0,
    )
    async def convert(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        found = await units.convert(
            arguments["value"], arguments["from_unit"], arguments["to_unit"], section.measures
        )
        return {"value": found.value, "unit": found.unit, "text": found.text}

    return convert
