"""What kinds of servers take, refuse and call otherwise.

Sources: each server's documentation of its OpenAI-compatible endpoint. What a preset does not know,
`ChatServer` learns: a parameter that a server refuses by name is left out from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["openai", "ollama", "llamacpp", "vllm", "lmstudio", "gemini", "embedded"]


def _as_it_is(schema: dict[str, Any]) -> dict[str, Any]:
    return schema


GEMINI_KEYS = frozenset(
    [
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "items",
        "properties",
        "required",
        "anyOf",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "minProperties",
        "maxProperties",
    ]
)


def gemini_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema in the part of OpenAPI's that Gemini takes; `const` becomes an enum."""
    kept = {key: value for key, value in schema.items() if key in GEMINI_KEYS}
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    if isinstance(schema.get("properties"), dict):
        kept["properties"] = {
            name: gemini_schema(value) for name, value in schema["properties"].items()
        }
    if isinstance(schema.get("items"), dict):
        kept["items"] = gemini_schema(schema["items"])
    choices = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(choices, list):
        kept["anyOf"] = [gemini_schema(choice) for choice in choices]
    if "enum" in kept and "type" not in kept and all(isinstance(v, str) for v in kept["enum"]):
        kept["type"] = "string"
    return kept


def llama_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema whose patterns llama.cpp's grammars know: digits are spelt out."""
    return {name: _plain(name, value) for name, value in schema.items()}


def _plain(name: str, value: Any) -> Any:
    if name == "pattern" and isinstance(value, str):
        return value.replace(r"\d", "[0-9]")
    if isinstance(value, dict):
        return llama_schema(value)
    if isinstance(value, list):
        return [_plain("", item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of server.

    Attributes:
        base_url: where it is unless told otherwise.
        limit: what it calls the longest answer.
        repeat_penalty: what it calls that; empty does not know it.
        is_local: it computes in the house: prompts may be computed ahead at no cost.
        schema: what of a JSON Schema it takes.
    """

    base_url: str = ""
    limit: str = "max_tokens"
    repeat_penalty: str = ""
    is_local: bool = False
    schema: Callable[[dict[str, Any]], dict[str, Any]] = _as_it_is


PRESETS: Mapping[Kind, Preset] = {
    "openai": Preset("https://api.openai.com/v1", repeat_penalty="repeat_penalty"),
    "ollama": Preset("http://127.0.0.1:11434/v1", is_local=True, schema=llama_schema),
    "llamacpp": Preset(
        "http://127.0.0.1:8080/v1",
        repeat_penalty="repeat_penalty",
        is_local=True,
        schema=llama_schema,
    ),
    "vllm": Preset("http://127.0.0.1:8000/v1", repeat_penalty="repetition_penalty", is_local=True),
    "lmstudio": Preset("http://127.0.0.1:1234/v1", repeat_penalty="repeat_penalty", is_local=True),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta/openai", schema=gemini_schema
    ),
    "embedded": Preset(repeat_penalty="repeat_penalty", is_local=True, schema=llama_schema),
}
OPENAI_ITSELF = Preset("https://api.openai.com/v1", limit="max_completion_tokens")
