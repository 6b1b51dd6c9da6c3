"""What is known about a question: memories and the conversation so far."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from antiphon_contracts import (
    HISTORY_QUERY,
    MEMORY_QUERY,
    BusError,
    ContractError,
    HistoryQuery,
    HistoryResults,
    LlmRequest,
    MemoryQuery,
    MemoryResult,
    MemoryResults,
    Message,
    Payload,
    RequestTopic,
)
from antiphon_runtime.bus import Bus

from antiphon_llm.service.profiles import Profile

P = TypeVar("P", bound=Payload)
R = TypeVar("R", MemoryResults, HistoryResults)

NO_HISTORY = HistoryResults()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What was found, as far as it was found in time."""

    notes: tuple[MemoryResult, ...] = ()
    history: HistoryResults = NO_HISTORY

    def for_profile(self, profile: Profile) -> Known:
        """Return what of it a profile has use for."""
        alike = [note for note in self.notes if note.score >= profile.notes_min_score]
        history = self.history if profile.history_tokens else NO_HISTORY
        return Known(tuple(alike[: profile.notes_limit]), history)


def conversation_of(request: Message[LlmRequest]) -> str:
    """Return whose conversation a request belongs to."""
    return request.data.session_id or request.site_id


class ContextSource:
    """Asks the memory worker for memories and history, both at once.

    Args:
        bus: MEMORY_QUERY and HISTORY_QUERY must be declared to it.
        timeout_s: how long each may take.
    """

    def __init__(self, bus: Bus, *, timeout_s: float) -> None:
        self._bus = bus
        self._timeout_s = timeout_s

    async def gather(self, request: Message[LlmRequest], profiles: Sequence[Profile]) -> Known:
        """Return what is known, enough for the profile that wants most.

        What fails or is late is left out and logged, never raised.
        """
        notes_limit = max(profile.notes_limit for profile in profiles)
        history_tokens = max(profile.history_tokens for profile in profiles)
        async with asyncio.TaskGroup() as group:
            notes = group.create_task(self._notes(request, notes_limit), name="context:notes")
            history = group.create_task(
                self._history(request, history_tokens), name="context:history"
            )
        return Known(notes.result(), history.result())

    async def _notes(
        self, request: Message[LlmRequest], notes_limit: int
    ) -> tuple[MemoryResult, ...]:
        if not request.data.use_rag:
            return ()
        query = MemoryQuery(text=request.data.text, top_k=notes_limit)
        found = await self._ask(MEMORY_QUERY, query, request)
        return () if found is None else found.results

    async def _history(self, request: Message[LlmRequest], history_tokens: int) -> HistoryResults:
        if not history_tokens:
            return NO_HISTORY
        query = HistoryQuery(session_id=conversation_of(request), max_tokens=history_tokens)
        found = await self._ask(HISTORY_QUERY, query, request) or NO_HISTORY
        messages = found.messages
        # The question may have been appended already; it stands in the prompt once.
        if messages and messages[-1].role == "user" and messages[-1].text == request.data.text:
            return found.model_copy(update={"messages": messages[:-1]})
        return found

    async def _ask(
        self, topic: RequestTopic[P, R], query: P, request: Message[LlmRequest]
    ) -> R | None:
        """Return the answer; None, and a log line, if there is none. One branch never fails."""
        try:
            found = await self._bus.request(
                topic,
                query,
                timeout_s=self._timeout_s,
                turn_id=request.turn_id,
                site_id=request.site_id,
            )
        except (BusError, ContractError) as error:
            log.warning(
                "context.missing",
                topic=topic.pattern,
                error=type(error).__name__,
                detail=str(error),
            )
            return None
        if found.error is not None:
            log.warning("context.missing", topic=topic.pattern, detail=found.error)
            return None
        return found
