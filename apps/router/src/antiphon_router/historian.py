"""The historian: writes what was said, and what was really heard, into the history."""

from __future__ import annotations

import structlog
from antiphon_contracts import HISTORY_APPEND, BusError, HistoryAppend
from antiphon_runtime import Bus

APPEND_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class Historian:
    """Appends to the history; a memory worker that is away costs the history, not the turn."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def record(
        self,
        *,
        site_id: str,
        turn_id: str,
        question: str,
        answer: str,
        interrupted: bool,
    ) -> None:
        """Append a question and what was heard of its answer, in this order."""
        rows = []
        if question:
            rows.append(HistoryAppend(role="user", text=question))
        if answer:
            rows.append(HistoryAppend(role="assistant", text=answer, interrupted=interrupted))
        try:
            for row in rows:
                await self._bus.request(
                    HISTORY_APPEND,
                    row,
                    timeout_s=APPEND_TIMEOUT_S,
                    site_id=site_id,
                    turn_id=turn_id,
                )
        except BusError as error:
            log.warning("history.not_written", turn_id=turn_id, detail=str(error))
