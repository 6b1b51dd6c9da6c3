"""Health: what a worker says about itself, retained, once a second."""

from __future__ import annotations

import asyncio
import math
import os
import time
from pathlib import Path
from typing import Literal, NamedTuple

from antiphon_contracts import HEALTH, Health, __version__, encode

from antiphon_runtime.breaker import BreakerState
from antiphon_runtime.bus import Bus
from antiphon_runtime.loop_monitor import LoopMonitor
from antiphon_runtime.transport import Will

HEARTBEAT_S = 1.0
"""Beats fall on the full seconds of the clock, those of all workers together: whoever listens wakes
once a second instead of once for each. Waking is most of what an idle worker costs.
"""

State = Literal["starting", "ready", "degraded", "stopping", "gone"]


def until_next_beat_s(now: float) -> float:
    """Return how long to wait for the next beat, over 0 and at most `HEARTBEAT_S`.

    Args:
        now: the wall clock, in seconds.
    """
    return HEARTBEAT_S - now % HEARTBEAT_S


def last_will(worker: str, kind: str, base: str) -> Will:
    """Return the will by which the broker says that a worker is gone."""
    message = HEALTH.message(Health(worker=worker, kind=kind, state="gone"), source=worker)
    prefix = f"{base}/" if base else ""
    return Will(prefix + HEALTH.at(worker=worker), encode(message))


class _Note(NamedTuple):
    """A sentence, and until when it is true, by the monotonic clock."""

    sentence: str
    until: float


class HealthReporter:
    """Publishes the health of one worker.

    A worker with notes is `degraded` instead of `ready`: it works with less, and they say why.

    Args:
        bus: where it is published.
        worker: the worker's id.
        kind: the worker's kind.
        monitor: how late the loop runs.
        ready_file: touched with each beat while the worker is connected and serves, for a
            supervisor that looks at its age.
    """

    def __init__(
        self,
        bus: Bus,
        worker: str,
        kind: str,
        monitor: LoopMonitor,
        *,
        ready_file: Path | None = None,
    ) -> None:
        self._bus = bus
        self._worker = worker
        self._kind = kind
        self._monitor = monitor
        self._ready_file = ready_file
        self._begun = time.monotonic()
        self._state: State = "starting"
        self._notes: dict[str, _Note] = {}
        self._breakers: dict[str, BreakerState] = {}
        self._changed = asyncio.Event()
        self._muted = False
        self.engine = ""
        bus.at_connect(self._on_connect)

    @property
    def state(self) -> State:
        """The state as it is published."""
        self._forget_old_notes()
        return "degraded" if self._state == "ready" and self._notes else self._state

    def enter(self, state: State) -> None:
        """Change the state and say so at once."""
        self._state = state
        if self._bus.connected:
            self.publish()
        else:
            self._changed.set()

    def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:
        """Say that the worker works with less, and why.

        Args:
            name: of the note; a second one of that name replaces the first.
            sentence: for people.
            for_s: after how long it is no longer true unless noted again; None is never.
        """
        until = math.inf if for_s is None else time.monotonic() + for_s
        known = self._notes.get(name)
        self._notes[name] = _Note(sentence, until)
        if known is None or known.sentence != sentence:
            self._changed.set()

    def _forget_old_notes(self) -> None:
        now = time.monotonic()
        for name in [name for name, note in self._notes.items() if note.until < now]:
            del self._notes[name]

    def clear_note(self, name: str) -> None:
        """The worker works fully again."""
        if self._notes.pop(name, None) is not None:
            self._changed.set()

    def show_breaker(self, name: str, state: BreakerState | None) -> None:
        """Show the state of a circuit breaker; None is no longer there."""
        if state is None:
            self._breakers.pop(name, None)
        else:
            self._breakers[name] = state
        self._changed.set()

    def show_muted(self, muted: bool) -> None:  # noqa: FBT001  (it is what is shown)
        """Show whether the microphone is muted; it is no trouble."""
        self._muted = muted
        self._changed.set()

    def snapshot(self) -> Health:
        """Return the health as it is now."""
        return Health(
            worker=self._worker,
            kind=self._kind,
            state=self.state,
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._begun, 1),
            loop=self._monitor.lag(),
            queues=self._bus.queue_depths,
            counters=dict(self._bus.counters),
            breakers=dict(self._breakers),
            notes=tuple(note.sentence for note in self._notes.values()),
            engine=self.engine,
            muted=self._muted,
        )

    def publish(self) -> asyncio.Future[None]:
        """Publish the health as it is now."""
        return self._bus.publish(HEALTH, self.snapshot(), worker=self._worker)

    def _on_connect(self) -> None:
        # The broker may have published our will meanwhile; and whoever hears anything else from us
        # may ask at once, and must know that we are there.
        self.publish()

    async def beat(self) -> None:
        """Publish once a second and at every change, for ever."""
        while True:
            self._changed.clear()
            if self._bus.connected:
                self.publish()
                await self._touch()
            try:
                async with asyncio.timeout(until_next_beat_s(time.time())):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _touch(self) -> None:
        if self._ready_file is None or self._state != "ready":
            return
        try:
            await asyncio.to_thread(self._ready_file.touch)
        except OSError as error:
            if "ready_file" not in self._notes:
                reason = error.strerror
                self.note("ready_file", f"{self._ready_file} cannot be written: {reason}")
