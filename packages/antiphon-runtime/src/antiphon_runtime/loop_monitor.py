"""The loop is watched: how late it runs, and what blocked it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from antiphon_contracts import LoopLag

from antiphon_runtime.tasks import running

log = structlog.get_logger(__name__)

TICK_S = 0.05
STALL_S = 0.05
KEPT_TICKS = 1200  # one minute


class LoopMonitor:
    """Measures event-loop lag and logs the stack of whatever blocks the loop for over 50 ms."""

    def __init__(self, *, stall_s: float = STALL_S) -> None:
        self._lags_s: deque[float] = deque(maxlen=KEPT_TICKS)
        self._stall_s = stall_s
        self._due = float("inf")  # on time.monotonic: when the next tick should be
        self._loop_thread = 0
        self._stopped = threading.Event()
        self.stalls = 0

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Measure while the block runs."""
        self._loop_thread = threading.get_ident()
        self._stopped.clear()
        watchdog = threading.Thread(target=self._watch_from_outside, name="loop-watchdog")
        watchdog.daemon = True
        watchdog.start()
        try:
            async with running(loop_monitor=self._tick()):
                yield
        finally:
            self._stopped.set()
            watchdog.join(1.0)

    def lag(self) -> LoopLag:
        """Return the lag of the last minute."""
        lags = sorted(self._lags_s)
        if not lags:
            return LoopLag()
        return LoopLag(
            p50_ms=round(lags[len(lags) // 2] * 1000, 3),
            p99_ms=round(lags[int(len(lags) * 0.99)] * 1000, 3),
            max_ms=round(lags[-1] * 1000, 3),
        )

    async def _tick(self) -> None:
        while True:
            self._due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._lags_s.append(max(0.0, time.monotonic() - self._due))

    def _watch_from_outside(self) -> None:
        reported = 0.0
        while not self._stopped.wait(TICK_S):
            due = self._due
            late_s = time.monotonic() - due
            if late_s < self._stall_s or due == reported:
                continue
            reported = due
            self.stalls += 1
            frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  (documented)
            stack = "".join(traceback.format_stack(frame)) if frame else "unknown"
            log.warning("loop.blocked", late_ms=round(late_s * 1000), stack=stack)
