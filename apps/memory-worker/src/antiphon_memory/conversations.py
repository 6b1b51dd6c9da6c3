"""Conversation history, whatever keeps it: append and read."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from antiphon_contracts import (
    HistoryAppend,
    HistoryDone,
    HistoryMessage,
    HistoryQuery,
    HistoryResults,
    Message,
)

from antiphon_memory.ranking import newest_within_budget

ROWS = 400
"""How many messages of a conversation are looked at, whatever the budget."""

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `ts` is in seconds since the epoch."""

    session_id: str
    role: Literal["user", "assistant"]
    text: str
    interrupted: bool
    ts: float


class ConversationStore(Protocol):
    """Where conversations are kept.

    Each write is atomic and done once per message id, also after the process was killed. Every
    method may raise EngineError.
    """

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be ready for the time of the block.

        Raises:
            ConfigError: it cannot be opened; the text says what mends it.
        """

    async def append(self, message_id: str, turn: Turn) -> None:
        """Store one message of a conversation."""

    async def newest(self, session_id: str, *, limit: int, since: float) -> list[Turn]:
        """Return a conversation's newest messages from `since` on, newest first."""

    async def prune(self, *, before: float, replies_before: float) -> None:
        """Delete older messages of conversations, and older outcomes of writes."""


class Conversations:
    """Handles requests about conversations.

    Args:
        store: keeps them.
        days: how long they are kept.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self, store: ConversationStore, *, days: float, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._kept_s = days * DAY_S
        self._now = now

    async def on_append(self, message: Message[HistoryAppend]) -> HistoryDone:
        """Store what was said."""
        said = message.data
        session_id = said.session_id or message.site_id
        turn = Turn(session_id, said.role, said.text, said.interrupted, ts=self._now())
        await self._store.append(message.id, turn)
        return HistoryDone()

    async def on_query(self, message: Message[HistoryQuery]) -> HistoryResults:
        """Return a conversation's newest messages within the budget, oldest first."""
        query = message.data
        oldest_s = min(query.max_age_s or self._kept_s, self._kept_s)
        turns = await self._store.newest(
            query.session_id or message.site_id, limit=ROWS, since=self._now() - oldest_s
        )
        kept = newest_within_budget(turns, lambda turn: turn.text, query.max_tokens)
        return HistoryResults(
            messages=tuple(
                HistoryMessage(
                    role=turn.role, text=turn.text, ts=turn.ts, interrupted=turn.interrupted
                )
                for turn in kept
            )
        )

    async def prune(self) -> None:
        """Delete what is older than is kept, and outcomes of writes after a day."""
        now = self._now()
        await self._store.prune(before=now - self._kept_s, replies_before=now - DAY_S)
