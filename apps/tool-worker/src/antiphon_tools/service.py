"""Calling tools: allowed, confirmed, arguments checked, time and output bounded.

Every failure is a sentence.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import structlog
from antiphon_contracts import (
    AntiphonError,
    Busy,
    EngineError,
    Message,
    ToolCall,
    ToolCancel,
    ToolErrorCode,
    ToolLogEntry,
    ToolResult,
    ToolSpec,
)
from antiphon_runtime import running
from pydantic import JsonValue

from antiphon_tools.call_log import CallLog
from antiphon_tools.confirming import Consent
from antiphon_tools.gate import Gate
from antiphon_tools.journal import CallJournal
from antiphon_tools.policy import Rules
from antiphon_tools.registry import Check, Registry
from antiphon_tools.taint import Taints
from antiphon_tools.tool import Tool, ToolContext, ToolError

log = structlog.get_logger(__name__)

MAX_OUTPUT_BYTES = 64 * 1024
MAX_ARGUMENTS_BYTES = 64 * 1024
EARLY_CANCELS = 256
"""How many cancels that came before their calls are kept."""


@dataclass(frozen=True)
class Guard:
    """What stands between a call and its tool.

    Attributes:
        rules: what each tool may do; whoever reloads them replaces them.
        consent: asks a person.
        taints: which turns have seen something from outside.
        gate: how much runs at once.
        journal: remembers across a restart which calls were begun.
        calls: the last calls, for people.
    """

    rules: Callable[[], Rules]
    consent: Consent
    taints: Taints
    gate: Gate
    journal: CallJournal
    calls: CallLog


@dataclass
class _Attempt:
    """A call, and what became of it."""

    message: Message[ToolCall]
    began: float
    asked: bool = False
    begun: bool = False
    result: ToolResult | None = None

    @property
    def left_s(self) -> float:
        ttl_s = self.message.ttl_s
        return float("inf") if ttl_s is None else self.began + ttl_s - time.monotonic()


class Executor:
    """Carries out calls of the tools in `registry`.

    Args:
        registry: the tools on offer.
        context_of: makes what a tool may use during one call.
        guard: what stands between.
    """

    def __init__(
        self,
        registry: Registry,
        context_of: Callable[[Message[ToolCall]], ToolContext],
        guard: Guard,
    ) -> None:
        self._registry = registry
        self._context_of = context_of
        self._guard = guard
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    async def on_call(self, message: Message[ToolCall]) -> ToolResult:
        """Call a tool; whatever goes wrong is in the result.

        A tool that is not idempotent is called at most once for a request, whatever dies meanwhile:
        where nobody knows what became of the first call, the result says so.
        """
        attempt = _Attempt(message, time.monotonic())
        if message.id not in self._cancelled:
            async with running() as group:
                task = group.create_task(self._attempt(attempt), name=f"call:{message.id}")
                self._running[message.id] = task
                try:
                    await asyncio.wait({task})
                finally:
                    del self._running[message.id]
        self._cancelled.pop(message.id, None)
        result = attempt.result or _cancelled(attempt)
        self._note(attempt, result)
        return result

    async def on_cancel(self, message: Message[ToolCancel]) -> None:
        """Stop a call; a cancel that overtakes its call waits for it."""
        task = self._running.get(message.data.call_id)
        if task is not None:
            task.cancel()
            return
        self._cancelled[message.data.call_id] = None
        while len(self._cancelled) > EARLY_CANCELS:
            self._cancelled.popitem(last=False)

    def _note(self, attempt: _Attempt, result: ToolResult) -> None:
        message = attempt.message
        entry = ToolLogEntry(
            ts=time.time(),
            name=result.name,
            caller=message.source,
            site_id=message.site_id,
            ms=round((time.monotonic() - attempt.began) * 1000, 1),
            error_code=result.error_code,
            asked=attempt.asked,
        )
        self._guard.calls.add(entry)
        log.info(
            "tool.called",
            tool=entry.name,
            error_code=entry.error_code,
            ms=entry.ms,
            asked=entry.asked,
        )

    async def _attempt(self, attempt: _Attempt) -> None:
        result = await self._result(attempt)
        if result.untrusted:
            # Before anybody can read it: what it brings about comes later.
            self._guard.taints.add(attempt.message.turn_id)
        attempt.result = result

    async def _result(self, attempt: _Attempt) -> ToolResult:
        call, name = attempt.message.data, attempt.message.data.name[:64]
        found = self._registry.find(call.name)
        if found is None:
            return _error(name, "unknown_tool", "There is no such tool.")
        tool, _ = found
        refusal = self._fault(found, attempt) or await self._refusal(tool, attempt)
        if refusal is not None:
            return refusal
        try:
            async with self._guard.gate.entered(tool.spec.source, call.priority):
                return await self._admitted(tool, attempt)
        except Busy:
            return _error(name, "busy", "Too many tools are at work; nothing was done.")
        except EngineError as error:  # the journal's; a tool's own became a result
            return _error(name, "failed", str(error))

    def _fault(self, found: tuple[Tool, Check], attempt: _Attempt) -> ToolResult | None:
        """Return what is wrong with the call itself."""
        tool, check = found
        arguments = attempt.message.data.arguments
        if self._guard.rules().policy_of(tool) == "deny":
            return _error(tool.spec.name, "denied", "This tool is not allowed in this house.")
        fault = _too_large(arguments) or _checked(check, arguments)
        return None if fault is None else _error(tool.spec.name, "bad_arguments", fault)

    async def _refusal(self, tool: Tool, attempt: _Attempt) -> ToolResult | None:
        """Return why the call may not be made, after asking whom there is to ask."""
        message, spec = attempt.message, tool.spec
        tainted = message.data.tainted or self._guard.taints.has(message.turn_id)
        verdict = self._guard.rules().verdict(tool, tainted=tainted)
        if verdict == "allow" or (verdict == "confirm" and message.data.confirmed):
            return None
        if verdict == "confirm":
            attempt.asked = message.turn_id is not None
            reason = await self._guard.consent.ask(spec, message, attempt.left_s)
            if reason is not None:
                return _error(spec.name, "denied", reason)
        return None

    def _has_changed(self, tool: Tool) -> bool:
        """Whether the tool is no longer what it was when the call came."""
        found = self._registry.find(tool.spec.name)
        is_there = found is not None and found[0].spec == tool.spec
        return not is_there or self._guard.rules().policy_of(tool) == "deny"

    async def _admitted(self, tool: Tool, attempt: _Attempt) -> ToolResult:
        spec, message = tool.spec, attempt.message
        # A person may have thought about it for long, and other calls went first.
        if self._has_changed(tool):
            return _error(spec.name, "denied", "This tool has changed meanwhile; nothing was done.")
        if attempt.left_s <= 0:
            return _error(spec.name, "cancelled", "Nobody waits for it any more; it was not done.")
        if not spec.idempotent and not await self._guard.journal.begin(message.id):
            sentence = "I was interrupted while doing it; it may or may not have been done."
            return _error(spec.name, "unknown_outcome", sentence)
        attempt.begun = True
        return await self._call(tool, message)

    async def _call(self, tool: Tool, message: Message[ToolCall]) -> ToolResult:
        """Call the tool: the boundary to foreign code, where every error becomes a result."""
        spec, context = tool.spec, self._context_of(message)
        limit = asyncio.timeout(spec.timeout_s)
        try:
            async with limit:
                value = await tool(message.data.arguments, context)
            untrusted = spec.untrusted or context.origin.is_outside
            return ToolResult(name=spec.name, result=_bounded(value), untrusted=untrusted)
        except ToolError as error:
            # A foreign tool's sentence is foreign too.
            return _error(spec.name, error.code, str(error), untrusted=spec.untrusted)
        except AntiphonError as error:
            return _error(spec.name, "failed", str(error))
        except Exception as error:
            if limit.expired():
                return _late(spec)
            log.exception("tool.crashed", tool=spec.name)
            return _error(spec.name, "failed", f"The tool broke down ({type(error).__name__}).")


def _late(spec: ToolSpec) -> ToolResult:
    if spec.idempotent:
        return _error(spec.name, "timeout", f"It took longer than {spec.timeout_s:g} s.")
    return _error(
        spec.name,
        "unknown_outcome",
        f"It took longer than {spec.timeout_s:g} s; it may or may not have been done.",
    )


def _cancelled(attempt: _Attempt) -> ToolResult:
    name = attempt.message.data.name[:64]
    if attempt.begun:
        sentence = "It was stopped; what it had done until then stays done."
    else:
        sentence = "It was stopped before it began; nothing was done."
    return _error(name, "cancelled", sentence)


def _error(name: str, code: ToolErrorCode, sentence: str, *, untrusted: bool = False) -> ToolResult:
    return ToolResult(name=name, error=sentence, error_code=code, untrusted=untrusted)


def _checked(check: Check, arguments: dict[str, JsonValue]) -> str | None:
    try:
        return check(arguments)
    except RecursionError:
        return "The arguments nest too deeply."


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
