"""Long-term memory: remember and recall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from antiphon_tools.tool import ToolContext, tool

_MEMORY_TIMEOUT_S = 10.0  # above what the memory worker is waited for


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
