"""The tools on offer, and calling one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from antiphon_contracts import (
    TOOLS_CALL,
    TOOLS_CANCEL,
    BusError,
    Busy,
    ContractError,
    LlmRequest,
    Message,
    RequestTimeout,
    ToolCall,
    ToolCancel,
    ToolRegistry,
    ToolResult,
    ToolSpec,
    WorkerGone,
    new_id,
)
from antiphon_runtime.bus import Bus

from antiphon_llm.service.outside import as_data
from antiphon_llm.service.shortening import shortened

MAX_TOOL_WORKERS = 64
ANSWER_S = 1.0
"""The tool worker knows a tool's time limit itself; its word is waited for so much longer."""
CONFIRM_S = 30.0
"""So much longer a call may take for which a person is asked."""

# By connection and tool worker. Retained messages come once in a connection, but a reload makes a
# new belt.
_OFFERS: WeakKeyDictionary[Bus, dict[str, ToolRegistry]] = WeakKeyDictionary()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a call.

    Attributes:
        text: what the model is told of it.
        untrusted: whether something from outside the house is in it.
        sentence: the tool's own sentence for people, if it has one and it is of the house.
    """

    text: str
    untrusted: bool = False
    sentence: str = ""


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

    async def call(
        self,
        spec: ToolSpec,
        arguments: dict[str, Any],
        request: Message[LlmRequest],
        *,
        tainted: bool,
        at_most_s: float,
    ) -> Told:
        """Call a tool and return what to tell the model; failures are sentences, never raised.

        A call that is given up, because it was cancelled or took too long, is stopped at the tool.
        """
        call_id = new_id()
        answered = False
        try:
            result = await self._bus.request(
                TOOLS_CALL,
                ToolCall(
                    name=spec.name,
                    arguments=arguments,
                    # What belongs to a turn is being waited for by somebody.
                    priority="high" if request.turn_id is not None else "normal",
                    tainted=tainted,
                ),
                timeout_s=max(0.001, min(self._time_of(spec, tainted=tainted), at_most_s)),
                turn_id=request.turn_id,
                site_id=request.site_id,
                message_id=call_id,
            )
            answered = True
        except (BusError, ContractError) as error:
            log.warning("tool.failed", tool=spec.name, error=type(error).__name__)
            answered = not isinstance(error, RequestTimeout)
            return Told(_failure(error, spec))
        finally:
            if not answered:
                self._cancel(call_id, request)
        self._bus.counters["tool_calls"] += 1
        return self._told(spec, result)

    def _time_of(self, spec: ToolSpec, *, tainted: bool) -> float:
        longer_s = CONFIRM_S if tainted or spec.policy == "confirm" else 0.0
        return min(self._timeout_s, spec.timeout_s + ANSWER_S) + longer_s

    def _cancel(self, call_id: str, request: Message[LlmRequest]) -> None:
        self._bus.publish(
            TOOLS_CANCEL,
            ToolCancel(call_id=call_id),
            turn_id=request.turn_id,
            site_id=request.site_id,
        )

    def _told(self, spec: ToolSpec, result: ToolResult) -> Told:
        untrusted = result.untrusted or spec.untrusted
        if result.error is not None:
            text = shortened(f"Error: {result.error}", self._result_chars)
        else:
            text = shortened(result.result, self._result_chars)
        if untrusted:
            return Told(as_data(text), untrusted=True)
        value = result.result
        sentence = value.get("text") if result.error is None and isinstance(value, dict) else None
        return Told(text, sentence=sentence if isinstance(sentence, str) else "")


def arguments_of(text: str) -> dict[str, Any] | None:
    """Return a call's arguments; None if they are no JSON object."""
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
