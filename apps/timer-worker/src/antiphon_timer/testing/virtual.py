"""A clock that tests set, and a store without a disk."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from antiphon_contracts import EngineError
from antiphon_runtime import running

from antiphon_timer.entry import Entry
from antiphon_timer.ledger import Event, Write

_ROUNDS = 40
"""Of the loop, after which what a moment set off has come to rest."""


class VirtualClock:
    """A `Clock` that stands still until it is told otherwise.

    Args:
        wall: seconds since the epoch.
        boot_id: see the port.
        boot: seconds since the start.
    """

    def __init__(self, wall: float, boot_id: str = "first", boot: float = 1_000.0) -> None:
        self.boot_id = boot_id
        self._boot = boot
        self._wall_ahead_s = wall - boot
        self._alarms: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def wall(self) -> float:
        """See the port."""
        return self._boot + self._wall_ahead_s

    def boot(self) -> float:
        """See the port."""
        return self._boot

    def set_wall(self, wall: float) -> None:
        """Have the wall clock jump."""
        self._wall_ahead_s = wall - self._boot
        for _, _, alarm in self._alarms:
            alarm.set()
        self._alarms = []

    def reboot(self, after_s: float, boot_id: str = "second") -> None:
        """Start the machine again after so long; nobody may wait meanwhile."""
        wall = self.wall() + after_s
        self.boot_id, self._boot = boot_id, 10.0
        self.set_wall(wall)

    async def wait(
        self,
        event: asyncio.Event,
        timeout_s: float | None,
        *,
        by_wall: bool = False,  # noqa: ARG002  (it is noticed at once)
    ) -> None:
        """See the port."""
        if timeout_s is None:
            await event.wait()
            return
        alarm, done = asyncio.Event(), asyncio.Event()
        self._count += 1
        heapq.heappush(self._alarms, (self._boot + timeout_s, self._count, alarm))
        async with running(event=_set_when(event, done), alarm=_set_when(alarm, done)):
            await done.wait()

    async def advance(self, seconds: float) -> None:
        """Let time pass, from one thing that is due to the next."""
        until = self._boot + seconds
        await settle()
        while self._alarms and self._alarms[0][0] <= until:
            due, _, alarm = heapq.heappop(self._alarms)
            self._boot = max(self._boot, due)
            alarm.set()
            await settle()
        self._boot = until
        await settle()


async def settle() -> None:
    """Return when what has been set off has come to rest."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


async def _set_when(event: asyncio.Event, done: asyncio.Event) -> None:
    await event.wait()
    done.set()


class MemoryTimers:
    """A `TimerStore` that outlives the worker, and not the process.

    Attributes:
        fails: whether nothing can be written.
    """

    def __init__(self) -> None:
        self.fails = False
        self._timers: dict[str, str] = {}
        self._events: dict[str, Event] = {}
        self._answers: dict[str, str] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """See the port."""
        yield

    async def timers(self) -> list[Entry]:
        """See the port."""
        return [Entry.model_validate_json(text) for text in self._timers.values()]

    async def events(self) -> list[Event]:
        """See the port."""
        return list(self._events.values())

    async def answer_to(self, message_id: str) -> str | None:
        """See the port."""
        return self._answers.get(message_id)

    async def write(self, write: Write) -> None:
        """See the port."""
        self._check()
        for gone in write.gone:
            self._timers.pop(gone, None)
        self._timers |= {entry.id: entry.model_dump_json() for entry in write.kept}
        self._events |= {event.id: event for event in write.events}
        if write.answered is not None:
            self._answers[write.answered[0]] = write.answered[1]

    async def forget_events(self, ids: Iterable[str]) -> None:
        """See the port."""
        self._check()
        for event_id in ids:
            self._events.pop(event_id, None)

    def _check(self) -> None:
        if self.fails:
            msg = "I cannot keep timers, because the disk is full; free some space."
            raise EngineError(msg, retryable=True)
