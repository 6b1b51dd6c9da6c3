"""Clocks: the one on the wall, which may jump, and the one that counts since the start."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Protocol

LOOK_S = 1.0
REST_S = 15.0
"""The longest sleep: a machine that was suspended is late by no more."""
SET_S = 0.5
"""By so much at once the wall clock does not drift: it was set."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the timers know of time."""

    @property
    def boot_id(self) -> str:
        """Names the time from one start of the machine to the next; `boot` counts within it."""

    def wall(self) -> float:
        """Return seconds since the epoch; may jump, either way."""

    def boot(self) -> float:
        """Return seconds since the machine was started; only grows, also while it sleeps."""

    async def wait(
        self, event: asyncio.Event, timeout_s: float | None, *, by_wall: bool = False
    ) -> None:
        """Return when the event is set, after a time, or when the wall clock was set.

        Args:
            event: see above.
            timeout_s: of the clock that counts; None waits for the event alone.
            by_wall: whether it matters when the wall clock is set; it is noticed within a second
                then.
        """


class SystemClock:
    """The machine's own clocks.

    Where the system names no boot, each process has a boot of its own: what it left is judged by
    the wall clock then.
    """

    def __init__(self) -> None:
        self._boot_id = _boot_id()
        # macOS has no CLOCK_BOOTTIME; its monotonic clock stands still while the machine sleeps.
        self._clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    @property
    def boot_id(self) -> str:
        """See the port."""
        return self._boot_id

    def wall(self) -> float:
        """See the port."""
        return time.time()

    def boot(self) -> float:
        """See the port."""
        return time.clock_gettime(self._clock)

    async def wait(
        self, event: asyncio.Event, timeout_s: float | None, *, by_wall: bool = False
    ) -> None:
        """See the port."""
        if timeout_s is None:
            await event.wait()
            return
        until, ahead_s = self.boot() + timeout_s, self.wall() - self.boot()
        longest_s = LOOK_S if by_wall else REST_S
        while (left_s := until - self.boot()) > 0 and not event.is_set():
            if abs(self.wall() - self.boot() - ahead_s) >= SET_S:
                return
            with suppress(TimeoutError):
                # The loop's clock stands still while the machine sleeps.
                async with asyncio.timeout(min(left_s, longest_s)):
                    await event.wait()


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex
