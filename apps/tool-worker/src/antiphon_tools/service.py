"""Calling tools: arguments checked, time and output bounded, every failure a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import orjson
import structlog
from antiphon_contracts import AntiphonError, Message, ToolCall, ToolResult
from pydantic import JsonValue

from antiphon_tools.journal import CallJournal
from antiphon_tools.registry import Registry
from antiphon_tools.tool import Tool, ToolContext, ToolError

log = structlog.get_logger(__name__)

MAX_OUTPUT_BYTES = 64 * 1024
MAX_ARGUMENTS_BYTES = 64 * 1024

ErrorCode = Literal["unknown_tool", "bad_arguments", "failed", "timeout", "unknown_outcome"]


class Executor:
    """Carries out calls of the tools in `registry`.

    Args:
        registry: the tools on offer.
        context_of: makes what a tool may use during one call.
        journal: remembers across a restart which calls were begun.
    """

    def __init__(
        self,
        registry: Registry,
        context_of: Callable[[Message[ToolCall]], ToolContext],
        journal: CallJournal,
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._context_of = context_of

    async def on_call(self, message: Message[ToolCall]) -> ToolResult:
        """Call a tool; whatever goes wrong is in the result.

        A tool that is not idempotent is called at most once for a request, whatever dies meanwhile:
        where nobody knows what became of the first call, the result says so.
        """
        name, arguments = message.data.name[:64], message.data.arguments
        found = self._registry.find(message.data.name)
        if found is None:
            return _error(name, "unknown_tool", "There is no such tool.")
        tool, check = found
        fault = _too_large(arguments) or check(arguments)
        if fault is not None:
            return _error(name, "bad_arguments", fault)
        if not tool.spec.idempotent and not await self._journal.begin(message.id):
            sentence = "I was interrupted while doing it; it may or may not have been done."
            return _error(name, "unknown_outcome", sentence)
        result = await self._call(tool, message)
        log.info("tool.called", tool=name, error_code=result.error_code)
        return result

    async def _call(self, tool: Tool, message: Message[ToolCall]) -> ToolResult:
        """Call the tool: the boundary to foreign code, where every error becomes a result."""
        spec = tool.spec
        limit = asyncio.timeout(spec.timeout_s)
        try:
            async with limit:
                value = await tool(message.data.arguments, self._context_of(message))
            return ToolResult(name=spec.name, result=_bounded(value))
        except ToolError as error:
            return _error(spec.name, error.code, str(error))
        except AntiphonError as error:
            return _error(spec.name, "failed", str(error))
        except Exception as error:
            if limit.expired():
                return _late(tool)
            log.exception("tool.crashed", tool=spec.name)
            return _error(spec.name, "failed", f"The tool broke down ({type(error).__name__}).")


def _late(tool: Tool) -> ToolResult:
    spec = tool.spec
    if spec.idempotent:
        return _error(spec.name, "timeout", f"It took longer than {spec.timeout_s:g} s.")
    return _error(
        spec.name,
        "unknown_outcome",
        f"It took longer than {spec.timeout_s:g} s; it may or may not have been done.",
    )


def _error(name: str, code: ErrorCode, sentence: str) -> ToolResult:
    return ToolResult(name=name, error=sentence, error_code=code)


def _too_large(arguments: dict[str, JsonValue]) -> str | None:
    try:
        size = len(orjson.dumps(arguments))
    except orjson.JSONEncodeError:
        return "The arguments nest too deeply."
    if size > MAX_ARGUMENTS_BYTES:
        return f"The arguments are larger than {MAX_ARGUMENTS_BYTES // 1024} KiB."
    return None


def _bounded(value: JsonValue) -> JsonValue:
    """Return the value as plain JSON, so that nothing can fail on its way out.

    Raises:
        ToolError: it is no JSON value, or too large.
    """
    try:
        encoded = orjson.dumps(value)
    except orjson.JSONEncodeError:
        msg = "The tool gave a result that cannot be sent."
        raise ToolError(msg) from None
    if len(encoded) > MAX_OUTPUT_BYTES:
        msg = f"The tool's result is larger than {MAX_OUTPUT_BYTES // 1024} KiB."
        raise ToolError(msg)
    plain: JsonValue = orjson.loads(encoded)
    return plain
