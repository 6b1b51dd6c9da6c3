"""Sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from antiphon_tools.engine import evaluate
from antiphon_tools.tool import ToolContext, tool


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
