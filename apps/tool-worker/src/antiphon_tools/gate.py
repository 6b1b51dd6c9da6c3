"""How many calls run at once, and which of those that wait goes next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from antiphon_contracts import Busy

Priority = Literal["low", "normal", "high"]
_RANK: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}


@dataclass(eq=False)
class _Waiter:
    source: str
    rank: int
    turn: asyncio.Future[None]


class Gate:
    """Lets calls in: so many overall, so many for each source, high priority first.

    Args:
        overall: how many may be in at once.
        waiting: how many may wait; where one of a higher priority comes, the last of the lowest
            priority has to go.
        limit_of: takes a source; returns how many of its calls may be in at once.
    """

    def __init__(self, overall: int, waiting: int, limit_of: Callable[[str], int]) -> None:
        self._overall = overall
        self._waiting_limit = waiting
        self._limit_of = limit_of
        self._inside: Counter[str] = Counter()
        self._waiters: list[_Waiter] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @asynccontextmanager
    async def entered(self, source: str, priority: Priority) -> AsyncIterator[None]:
        """Be inside while the block runs.

        Raises:
            Busy: too many wait already.
        """
        await self._enter(source, _RANK[priority])
        try:
            yield
        finally:
            self._inside[source] -= 1
            if not self._inside[source]:
                del self._inside[source]
            self._admit()

    async def _enter(self, source: str, rank: int) -> None:
        if self._has_room(source) and not any(w.rank <= rank for w in self._waiters_of(source)):
            self._inside[source] += 1
            return
        self._make_place(rank)
        waiter = _Waiter(source, rank, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._waiters.sort(key=lambda other: other.rank)  # stable: first come, first served
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._inside[source] -= 1  # it was let in at the moment of the cancel
                self._admit()
            raise

    def _make_place(self, rank: int) -> None:
        if len(self._waiters) < self._waiting_limit:
            return
        last = self._waiters[-1] if self._waiters else None
        if last is None or last.rank <= rank:
            raise Busy("too many tools are at work")
        self._waiters.remove(last)
        last.turn.set_exception(Busy("too many tools are at work"))

    def _admit(self) -> None:
        for waiter in list(self._waiters):
            if self._has_room(waiter.source):
                self._waiters.remove(waiter)
                if not waiter.turn.done():
                    self._inside[waiter.source] += 1
                    waiter.turn.set_result(None)

    def _waiters_of(self, source: str) -> list[_Waiter]:
        return [waiter for waiter in self._waiters if waiter.source == source]

    def _has_room(self, source: str) -> bool:
        is_full = self._inside.total() >= self._overall
        return not is_full and self._inside[source] < self._limit_of(source)
