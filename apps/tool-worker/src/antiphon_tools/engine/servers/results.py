"""What a server's tool returned, as plain JSON or a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from pydantic import JsonValue

from antiphon_tools.tool import ToolError

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock, ReadResourceResult

MAX_TEXT_CHARS = 12_000
"""Longer texts are cut; in UTF-8 they stay below what a result may have."""
MAX_STRUCTURED_BYTES = 48 * 1024
MAX_ERROR_CHARS = 500
_MAX_BLOCKS = 50


def plain_result(result: CallToolResult) -> JsonValue:
    """Return structured content where there is some, else the texts.

    Pictures and sounds are told of, not passed on.

    Raises:
        ToolError: the tool says that it failed.
    """
    if result.is_error:
        raise ToolError(_error_text(result))
    structured: JsonValue = result.structured_content
    if structured is not None and _fits(structured):
        return structured
    blocks = [_told(block) for block in result.content[:_MAX_BLOCKS]]
    return _joined(blocks) or "Done."


def plain_resource(result: ReadResourceResult) -> JsonValue:
    """Return the texts of something read."""
    parts: list[str] = []
    for item in result.contents[:_MAX_BLOCKS]:
        text = getattr(item, "text", None)
        parts.append(text if isinstance(text, str) else f"[{item.mime_type or 'data'}, not text]")
    return _joined(parts) or "It is empty."


def _error_text(result: CallToolResult) -> str:
    text = _joined([_told(block) for block in result.content[:_MAX_BLOCKS]])
    return " ".join(text.split())[:MAX_ERROR_CHARS] or "The tool failed and did not say why."


def _told(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type} of type {block.mime_type}, {len(block.data) * 3 // 4} bytes]"
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return text if isinstance(text, str) else f"[{block.resource.uri}, not text]"


def _joined(parts: list[str]) -> str:
    text = "\n".join(part for part in parts if part)
    if len(text) > MAX_TEXT_CHARS:
        return f"{text[:MAX_TEXT_CHARS]}… (cut; {len(text)} characters in all)"
    return text


def _fits(value: JsonValue) -> bool:
    try:
        return len(orjson.dumps(value)) <= MAX_STRUCTURED_BYTES
    except orjson.JSONEncodeError:
        return False
