"""Asking a person aloud whether a tool may be called."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from antiphon_contracts import ASK_USER, AskUser, BusError, Message, ToolCall, ToolSpec, UserAnswer
from antiphon_runtime import Bus

from antiphon_tools.question import Language, TooMuchToAsk, question
from antiphon_tools.yes_no import is_yes

log = structlog.get_logger(__name__)

LISTEN_S = 8.0
ASK_TIMEOUT_S = 45.0
MIN_TIME_S = 3.0
"""With less time left the caller would be gone before anybody could answer."""
_WAITING_AT_A_SITE = 3
_MAX_TURNS = 1_000

_BY_HAND = "it can be confirmed in a terminal: antiphon tools call … --yes"


class Consent(Protocol):
    """Somebody who can allow a call."""

    async def ask(self, spec: ToolSpec, call: Message[ToolCall], left_s: float) -> str | None:
        """Return None if the call may be made, else one sentence on why not.

        Args:
            spec: the tool.
            call: the call.
            left_s: how long the caller still waits.
        """


@dataclass
class _Queue:
    """The questions at a site."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class SpokenConsent:
    """Asks at the site of the call, through the router; whatever is no clear yes is a no.

    Somebody who has refused in a turn is not asked again in it.

    Args:
        bus: ASK_USER must be declared to it.
        language: of the question.
    """

    def __init__(self, bus: Bus, language: Language) -> None:
        self._bus = bus
        self._language = language
        self._asking: dict[str, _Queue] = {}
        self._refused: OrderedDict[str, None] = OrderedDict()

    async def ask(self, spec: ToolSpec, call: Message[ToolCall], left_s: float) -> str | None:
        """See the port. Questions at a site are asked one after the other."""
        if call.turn_id is None:
            return (
                f"This needs a person's word, and there is no conversation to ask in; {_BY_HAND}."
            )
        try:
            text = question(spec, call.data.arguments, self._language)
        except TooMuchToAsk:
            return f"This has too many details to ask about aloud; {_BY_HAND}."
        queue = self._asking.setdefault(call.site_id, _Queue())
        if queue.length >= _WAITING_AT_A_SITE:
            return "Too many questions wait for the person already."
        until = time.monotonic() + min(left_s, ASK_TIMEOUT_S)
        queue.length += 1
        try:
            async with queue.turn:
                return await self._ask(text, call, call.turn_id, until - time.monotonic())
        finally:
            queue.length -= 1
            if not queue.length:
                del self._asking[call.site_id]

    async def _ask(
        self, text: str, call: Message[ToolCall], turn_id: str, timeout_s: float
    ) -> str | None:
        if turn_id in self._refused:
            return "The person did not agree to what was asked before in this turn."
        if timeout_s < MIN_TIME_S:
            return "There was no time left to ask the person."
        try:
            answer = await self._bus.request(
                ASK_USER,
                AskUser(text=text, listen_s=min(LISTEN_S, timeout_s)),
                timeout_s=timeout_s,
                turn_id=turn_id,
                site_id=call.site_id,
            )
        except BusError as error:
            log.warning("consent.failed", error=type(error).__name__)
            return f"The person could not be asked; {_BY_HAND}."
        log.info("consent.asked", outcome=answer.outcome, chars=len(answer.text))
        reason = _refusal(answer)
        if reason is not None and answer.outcome not in {"failed", "busy"}:
            self._refuse(turn_id)
        return reason

    def _refuse(self, turn_id: str) -> None:
        self._refused[turn_id] = None
        while len(self._refused) > _MAX_TURNS:
            self._refused.popitem(last=False)


def _refusal(answer: UserAnswer) -> str | None:
    """Return None for a yes, else one sentence."""
    match answer.outcome:
        case "answered":
            agreed = is_yes(answer.text)
            return None if agreed else "The person did not agree, so it was not done."
        case "failed":
            return f"The person could not be asked aloud here; {_BY_HAND}."
        case "busy":
            return "The person could not be asked, because another question is open."
        case _:
            return "The person gave no answer, so it was not done."
