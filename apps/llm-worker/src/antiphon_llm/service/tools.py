"""The tools on offer, and calling them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import structlog
from antiphon_contracts import (
    TOOLS_CALL,
    BusError,
    Busy,
    ContractError,
    Message,
    RequestTimeout,
    ToolCall,
    ToolRegistry,
    ToolResult,
    ToolSpec,
    WorkerGone,
)
from antiphon_runtime.bus import Bus

from antiphon_llm.service.model import RequestedCall

MAX_CALLS_PER_ROUND = 8
MAX_TOOL_WORKERS = 64

# By connection and tool worker. Retained messages come once in a connection, but a reload makes a
# new belt.
_OFFERS: WeakKeyDictionary[Bus, dict[str, ToolRegistry]] = WeakKeyDictionary()

log = structlog.get_logger(__name__)


class ToolBelt:
    """Knows the tools of every tool worker and calls them for the model.

    Args:
        bus: TOOLS_CALL must be declared to it.
        timeout_s: how long one call may take.
        result_chars: longer results are cut.
    """

    def __init__(self, bus: Bus, *, timeout_s: float, result_chars: int) -> None:
        self._bus = bus
        self._timeout_s = timeout_s
        self._result_chars = result_chars
        self._offers = _OFFERS.setdefault(bus, {})

    async def on_registry(self, message: Message[ToolRegistry]) -> None:
        """Take note of what a tool worker offers; its newest word counts."""
        if message.source in self._offers or len(self._offers) < MAX_TOOL_WORKERS:
            self._offers[message.source] = message.data

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer, each name once; none while all tool workers are gone."""
        if self._bus.presence.is_gone(TOOLS_CALL.receiver):
            return ()
        by_name = {tool.name: tool for offer in self._offers.values() for tool in offer.tools}
        return tuple(by_name.values())

    async def call_all(
        self, calls: Iterable[RequestedCall], *, turn_id: str | None, site_id: str
    ) -> list[str]:
        """Carry out calls concurrently and return what to tell the model of each, in order.

        Wrong, failed and late calls give a sentence instead of a result; nothing is raised.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._call(number, call, turn_id, site_id), name=f"tool:{call.name[:64]}"
                )
                for number, call in enumerate(calls)
            ]
        return [task.result() for task in tasks]

    async def _call(
        self, number: int, call: RequestedCall, turn_id: str | None, site_id: str
    ) -> str:
        spec = next((tool for tool in self.specs() if tool.name == call.name), None)
        if number >= MAX_CALLS_PER_ROUND:
            return "Error: too many calls at once; this one was not carried out."
        if spec is None:
            known = ", ".join(tool.name for tool in self.specs()) or "none"
            return f"Error: there is no such tool. The tools are: {known}."
        arguments = _arguments(call.arguments)
        if arguments is None:
            return "Error: the arguments are not a JSON object; nothing was carried out."
        try:
            result = await self._bus.request(
                TOOLS_CALL,
                ToolCall(name=spec.name, arguments=arguments),
                timeout_s=self._timeout_s,
                turn_id=turn_id,
                site_id=site_id,
            )
        except (BusError, ContractError) as error:
            log.warning("tool.failed", tool=spec.name, error=type(error).__name__)
            return _failure(error, spec)
        return self._told(result)

    def _told(self, result: ToolResult) -> str:
        if result.error is not None:
            return f"Error: {result.error}"[: self._result_chars]
        value = result.result
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > self._result_chars:
            text = f"{text[: self._result_chars]}… (cut)"
        return text


def _arguments(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _failure(error: BusError | ContractError, spec: ToolSpec) -> str:
    """Return what the model is told. A tool with effects may have had them: it must say so."""
    if isinstance(error, WorkerGone):
        return "Error: the tools are offline; nothing was carried out."
    if isinstance(error, Busy):
        return "Error: the tools are busy; nothing was carried out."
    if spec.idempotent:
        return f"Error: {error}"
    late = isinstance(error, RequestTimeout)
    reason = "no answer came in time" if late else "the call failed"
    return (
        f"Error: unknown outcome: {reason}, so it may or may not have been carried out. "
        "Do not call it again; tell the person."
    )
