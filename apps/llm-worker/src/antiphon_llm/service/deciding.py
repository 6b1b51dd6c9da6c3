"""Calls of tools by constrained JSON, for models that were never taught native calls.

Two short questions instead of a long one: which tool (one of a few names), then its arguments (by
that tool's schema alone). So a model of half a billion weights gets most commands right; see
docs/language-models.md for the figures.
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
DECIDE = "\n\n(Which tool does this need? Answer in JSON.)"
ARGUMENTS = "(The arguments of {name}, in JSON. Take them from what was said.)"
MAX_VALUES = 8
DECISION_TOKENS = 40
ARGUMENT_TOKENS = 200


def with_tool_list(prompt: Prompt, specs: Sequence[ToolSpec]) -> Prompt:
    """Return the prompt with the tools in its system message: a stable beginning of every prompt.

    All tools stand there; which of them may be named is said by `choice_schema`.
    """
    tools = "\n".join(f"- {signature(tool)}: {tool.description}" for tool in specs)
    text = (
        f"\n\nTools:\n{tools}\n"
        'Asked which tool is needed, answer {"tool": name}, or '
        f'{{"tool": "{NO_TOOL}"}} for talk and questions that no tool answers.'
    )
    system, *rest = prompt.messages
    return replace(prompt, messages=(replace(system, content=system.content + text), *rest))


def signature(tool: ToolSpec) -> str:
    """Return name and arguments as a function is written, with a few allowed values."""
    required = tool.parameters.get("required", [])
    shown = []
    for name, schema in tool.parameters.get("properties", {}).items():
        values = schema.get("enum", schema.get("examples")) if isinstance(schema, dict) else None
        listed = "|".join(map(str, values[:MAX_VALUES])) if isinstance(values, list) else ""
        mark = "" if name in required else "?"
        shown.append(f"{name}{mark}{f'={listed}' if listed else ''}")
    return f"{tool.name}({', '.join(shown)})"


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
    """Return what asks for the name of a tool."""
    return _asking(prompt, DECIDE, choice_schema(specs), DECISION_TOKENS)


def chosen(answer: str) -> str:
    """Return the tool that was named; empty for nonsense."""
    try:
        found = json.loads(answer)["tool"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def filling(prompt: Prompt, tool: ToolSpec, schema: dict[str, Any]) -> Prompt:
    """Return what asks for a tool's arguments; it goes on where `choosing` ended."""
    asked = _asking(prompt, DECIDE, schema, ARGUMENT_TOKENS)
    decision = json.dumps({"tool": tool.name})
    return asked.extended(
        ChatMessage("assistant", decision),
        ChatMessage("user", ARGUMENTS.format(name=tool.name)),
    )


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
