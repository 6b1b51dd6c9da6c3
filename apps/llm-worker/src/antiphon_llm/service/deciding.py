"""Calls of tools by constrained JSON, for models that were never taught native calls.

Two short questions instead of a long one: which tool (one of a few that share words with what was
said, the likeliest first), then its arguments (by that tool's schema alone). The figures are in
docs/language-models.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from antiphon_contracts import ToolSpec

from antiphon_llm.service.calling import Exchange
from antiphon_llm.service.model import ChatMessage, Prompt

NO_TOOL = "none"
DECIDE = (
    "\n\n(Tools, the likeliest first:\n{tools}\n"
    'Which one does this need? "{none}" if it is only talk or general knowledge. Answer in JSON.)'
)
ARGUMENTS = "(The arguments of {name}, in JSON; only what was said:\n{arguments})"
MAX_VALUES = 8
DECISION_TOKENS = 40
ARGUMENT_TOKENS = 200


def signature(tool: ToolSpec) -> str:
    """Return name and arguments as a function is written, with a few allowed values."""
    required = tool.parameters.get("required", [])
    shown = []
    for name, schema in tool.parameters.get("properties", {}).items():
        listed = _values(schema) if isinstance(schema, dict) else ""
        mark = "" if name in required else "?"
        shown.append(f"{name}{mark}{f'={listed}' if listed else ''}")
    return f"{tool.name}({', '.join(shown)})"


def _values(schema: dict[str, Any]) -> str:
    values = schema.get("enum", schema.get("examples"))
    return "|".join(map(str, values[:MAX_VALUES])) if isinstance(values, list) else ""


def choice_schema(specs: Sequence[ToolSpec]) -> dict[str, Any]:
    """Return the JSON Schema of a tool's name, or of none."""
    return _object({"tool": {"type": "string", "enum": [NO_TOOL, *(tool.name for tool in specs)]}})


def arguments_schema(tool: ToolSpec) -> dict[str, Any] | None:
    """Return the JSON Schema of a tool's arguments; None if it has none."""
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict) or not properties:
        return None
    required = [name for name in tool.parameters.get("required", []) if name in properties]
    kept = {key: value for key, value in tool.parameters.items() if key in {"$defs", "definitions"}}
    return {**kept, **_object(properties), "required": required}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def choosing(prompt: Prompt, specs: Sequence[ToolSpec]) -> Prompt:
    """Return what asks for the name of a tool.

    The tools stand at the end, not in the system message: there are only a few, others for each
    request, and what prompts begin with stays the same.
    """
    tools = "\n".join(f"- {signature(tool)}: {tool.description}" for tool in specs)
    text = DECIDE.format(tools=tools, none=NO_TOOL)
    return _asking(prompt, text, choice_schema(specs), DECISION_TOKENS)


def chosen(answer: str) -> str:
    """Return the tool that was named; empty for nonsense."""
    try:
        found = json.loads(answer)["tool"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def filling(
    prompt: Prompt, specs: Sequence[ToolSpec], tool: ToolSpec, schema: dict[str, Any]
) -> Prompt:
    """Return what asks for a tool's arguments; it goes on where `choosing` ended."""
    asked = choosing(prompt, specs)
    decision = json.dumps({"tool": tool.name})
    text = ARGUMENTS.format(name=tool.name, arguments=described(tool))
    return replace(
        asked.extended(ChatMessage("assistant", decision), ChatMessage("user", text)),
        schema=schema,
        max_tokens=ARGUMENT_TOKENS,
    )


def described(tool: ToolSpec) -> str:
    """Return a tool's arguments, one a line, with what their schema says of them."""
    required = tool.parameters.get("required", [])
    lines = []
    for name, schema in tool.parameters.get("properties", {}).items():
        facts = schema if isinstance(schema, dict) else {}
        values = _values(facts)
        said = [facts.get("description", ""), f"One of: {values}." if values else ""]
        mark = "" if name in required else " (only if said)"
        lines.append(f"- {name}{mark}: {' '.join(filter(None, said)) or facts.get('type', '')}")
    return "\n".join(lines)


def _asking(prompt: Prompt, text: str, schema: dict[str, Any], max_tokens: int) -> Prompt:
    *before, last = prompt.messages
    return replace(
        prompt,
        messages=(*before, replace(last, content=last.content + text)),
        max_tokens=max_tokens,
        schema=schema,
        temperature=0.0,
        repeat_penalty=None,
        stop=(),
    )


def retold(prompt: Prompt, exchanges: Sequence[Exchange]) -> Prompt:
    """Return the prompt with what was called so far as plain words."""
    for exchange in exchanges:
        called = ", ".join(f"{call.name} {call.arguments}" for call in exchange.calls)
        told = "\n".join(item.text for item in exchange.told)
        prompt = prompt.extended(
            ChatMessage("assistant", f"{exchange.text} (I called {called}.)".strip()),
            ChatMessage("user", f"The tool returned: {told}\nNow answer what was asked."),
        )
    return prompt
