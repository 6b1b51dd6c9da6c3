"""The historian: writes what was said, and what was really heard, into the history."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

import structlog
from antiphon_contracts import HISTORY_APPEND, BusError, HistoryAppend
from antiphon_runtime import Bus

APPEND_TIMEOUT_S = 5.0
MAX_WAITING = 256
MAX_CHARS = 100_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what was heard of its answer.

    Attributes:
        site_id: where it took place.
        turn_id: its turn.
        question: what the person said.
        answer: what was heard; empty if nothing was.
        interrupted: whether the answer was cut short.
    """

    site_id: str
    turn_id: str
    question: str
    answer: str
    interrupted: bool = False


class Historian:
    """Appends to the history, in order and in the background.

    A memory worker that is slow or away costs the history, not the turn: at most 256 exchanges
    wait, then the oldest is given up.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[Exchange] = deque()
        self._unwritten: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def record(self, exchange: Exchange) -> None:
        """Have an exchange appended when those before it are."""
        if len(self._waiting) >= MAX_WAITING:
            self._done(self._waiting.popleft())
            self._bus.counters["history_given_up"] += 1
        self._waiting.append(exchange)
        self._unwritten[exchange.site_id] += 1
        self._changed.set()

    async def caught_up(self, site_id: str | None, timeout_s: float) -> None:
        """Return when all of a site (None: of every site) is written, at the latest in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._unwritten if site_id is None else site_id in self._unwritten:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("history.behind", waiting=len(self._waiting))

    async def write(self) -> None:
        """Write what was recorded, for ever."""
        while True:
            while not self._waiting:
                self._changed.clear()
                await self._changed.wait()
            exchange = self._waiting.popleft()
            try:
                await self._append(exchange)
            finally:
                self._done(exchange)

    def _done(self, exchange: Exchange) -> None:
        self._unwritten -= Counter({exchange.site_id: 1})
        self._changed.set()

    async def _append(self, exchange: Exchange) -> None:
        rows = []
        if exchange.question:
            rows.append(HistoryAppend(role="user", text=exchange.question[:MAX_CHARS]))
        if exchange.answer:
            answer = exchange.answer[:MAX_CHARS]
            cut = exchange.interrupted
            rows.append(HistoryAppend(role="assistant", text=answer, interrupted=cut))
        try:
            for row in rows:
                done = await self._bus.request(
                    HISTORY_APPEND,
                    row,
                    timeout_s=APPEND_TIMEOUT_S,
                    site_id=exchange.site_id,
                    turn_id=exchange.turn_id,
                )
                if done.error is not None:
                    log.warning("history.refused", turn_id=exchange.turn_id, detail=done.error)
        except BusError as error:
            log.warning("history.not_written", turn_id=exchange.turn_id, detail=str(error))
