"""The loop is watched: how late it runs, and what blocked it."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import FrameType

import structlog
from antiphon_contracts import LoopLag

log = structlog.get_logger(__name__)

# Each ping wakes a thread and the loop; at 50 a second that alone was over 1 % of a core in each
# worker. A block of 800 ms is always found, a shorter one the more likely the longer it is.
PING_S = 0.5
STALL_S = 0.05
KEPT_PINGS = 120  # one minute


class LoopMonitor:
    """Measures event-loop lag and logs the stack of whatever blocks the loop for over 50 ms.

    A thread asks the loop to answer, every `ping_s` on average. How long the answer takes is the
    lag; if it takes over `stall_s`, the thread looks at what the loop's thread is doing then.
    """

    def __init__(self, *, stall_s: float = STALL_S, ping_s: float = PING_S) -> None:
        self._lags_s: deque[float] = deque(maxlen=KEPT_PINGS)
        self._stall_s = stall_s
        self._ping_s = ping_s
        self._loop_thread = 0
        self._answered = threading.Event()
        self._stopped = threading.Event()
        self.stalls = 0

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Measure while the block runs."""
        self._loop_thread = threading.get_ident()
        self._stopped.clear()
        watchdog = threading.Thread(
            target=self._watch_from_outside,
            args=(asyncio.get_running_loop(),),
            name="loop-watchdog",
            daemon=True,
        )
        watchdog.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._answered.set()

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

    def _answer(self, asked: float) -> None:
        self._lags_s.append(time.monotonic() - asked)
        self._answered.set()

    def _watch_from_outside(self, loop: asyncio.AbstractEventLoop) -> None:
        # Uneven, so that work of the same rhythm is not missed for ever.
        while not self._stopped.wait(self._ping_s * random.uniform(0.5, 1.5)):  # noqa: S311  (no secret)
            self._answered.clear()
            asked = time.monotonic()
            with suppress(RuntimeError):  # the loop is closed: the block ended
                loop.call_soon_threadsafe(self._answer, asked)
            if not self._answered.wait(self._stall_s) and not self._stopped.is_set():
                self._report(asked)
                self._answered.wait()

    def _report(self, asked: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  (documented)
        if frame is None or _is_waiting(frame):
            return  # late because others use the processor: the lag says so
        self.stalls += 1
        log.warning(
            "loop.blocked",
            late_ms=round((time.monotonic() - asked) * 1000),
            stack="".join(traceback.format_stack(frame)),
        )


def _is_waiting(frame: FrameType) -> bool:
    """Whether the loop waits for its selector, having nothing to do."""
    return frame.f_code.co_name == "select" and frame.f_globals.get("__name__") == "selectors"
