"""A house with a timer worker in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from antiphon_contracts import (
    ANNOUNCE,
    AUDIO_OUT,
    HEALTH,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    TIMER_CHANGE,
    TIMER_EVENT,
    TIMER_QUERY,
    TIMER_SET,
    Announce,
    Announced,
    AnnouncedAt,
    Health,
    Message,
    PlaybackStatus,
    Timer,
    TimerChange,
    TimerDone,
    TimerQuery,
    TimerSelector,
    TimerSet,
)
from antiphon_runtime import serve
from antiphon_runtime.testing.house import Heard, House

from antiphon_timer import TimerSettings
from antiphon_timer.sounding import load_chimes
from antiphon_timer.testing.virtual import MemoryTimers, VirtualClock, settle
from antiphon_timer.wiring import wire

PARIS = ZoneInfo("Europe/Paris")
SATURDAY = datetime(2026, 11, 21, 18, tzinfo=PARIS).timestamp()


class TimerHome:
    """What tests do at home.

    Attributes:
        house: the bus.
        clock: stands still until it is told otherwise.
        store: outlives the worker.
        events: what was told of timers.
        controls: orders to loudspeakers.
        frames: the sound.
        announced: what the router was asked to say.
        outcome: how an announcement ends.
        router_waits: whether an announcement ends only when `router_may_speak` is set.
        router_may_speak: see above.
    """

    def __init__(self, house: House, clock: VirtualClock, store: MemoryTimers) -> None:
        self.house = house
        self.clock = clock
        self.store = store
        self.events: Heard = Heard()
        self.controls: Heard = Heard()
        self.frames: Heard = Heard()
        self.announced: list[Announce] = []
        self.outcome = "heard"
        self.router_waits = False
        self.router_may_speak = asyncio.Event()
        self._worker = AsyncExitStack()

    async def start(self, **settings: Any) -> None:
        """Start the worker."""
        given = TimerSettings(**{"timezone": "Europe/Paris", **settings})
        await self._worker.enter_async_context(
            self.house.resident("timer", given, lambda worker: wire(worker, self.store, self.clock))
        )
        await settle()

    async def stop(self) -> None:
        """Stop it."""
        await self._worker.aclose()

    async def hire_router(self) -> None:
        """Have somebody there who speaks."""

        async def on_announce(message: Message[Announce]) -> Announced:
            self.announced.append(message.data)
            (site,) = message.data.sites
            if self.router_waits:
                await self.router_may_speak.wait()
            return Announced(
                sites=(AnnouncedAt.model_validate({"site": site, "state": self.outcome}),)
            )

        await self.house.serve(serve(ANNOUNCE, on_announce), source="router-1")
        await self.router_is("ready")

    async def router_is(self, state: str) -> None:
        """Have the router's health told."""
        health = {"worker": "router-1", "kind": "router", "state": state}
        self.house.bus.publish(HEALTH, Health.model_validate(health), worker="router-1")
        await settle()

    async def set(
        self, *, site: str = "kitchen", message_id: str | None = None, **asked: Any
    ) -> TimerDone:
        """Set a timer."""
        return await self.house.bus.request(
            TIMER_SET, TimerSet(**asked), timeout_s=5, site_id=site, message_id=message_id
        )

    async def do(
        self,
        action: str,
        *,
        site: str = "kitchen",
        every: bool = False,
        seconds: float | None = None,
        message_id: str | None = None,
        **which: Any,
    ) -> TimerDone:
        """Change timers."""
        change = TimerChange.model_validate(
            {"action": action, "which": TimerSelector(**which), "every": every, "seconds": seconds}
        )
        return await self.house.bus.request(
            TIMER_CHANGE, change, timeout_s=5, site_id=site, message_id=message_id
        )

    async def timers(self, *, site: str = "kitchen", **which: Any) -> list[Timer]:
        """Ask which there are; an error is none of them."""
        query = TimerQuery(which=TimerSelector(**which))
        found = await self.house.bus.request(TIMER_QUERY, query, timeout_s=5, site_id=site)
        return list(found.timers)

    @property
    def happened(self) -> list[str]:
        """The events so far."""
        return [message.data.event for message in self.events]

    @property
    def chimes(self) -> list[str]:
        """The utterances that were played, in order."""
        return list(dict.fromkeys(frame.slots["utterance"] for frame in self.frames))

    def plays(self, state: str, utterance: str, played_ms: int = 500, **more: Any) -> None:
        """Have the satellite tell of its loudspeaker."""
        status = PlaybackStatus.model_validate(
            {"utterance_id": utterance, "state": state, "played_ms": played_ms, **more}
        )
        self.house.say(PLAYBACK_STATUS, status, site_id="kitchen")


@asynccontextmanager
async def timer_home(*, started: bool = True) -> AsyncIterator[TimerHome]:
    """Yield a house with a timer worker."""
    await load_chimes()  # in virtual time a thread is too late
    async with House(requests=[TIMER_SET, TIMER_CHANGE, TIMER_QUERY]) as house:
        home = TimerHome(house, VirtualClock(SATURDAY), MemoryTimers())
        home.events = await house.hear(TIMER_EVENT)
        home.controls = await house.hear(PLAYBACK_CONTROL)
        home.frames = await house.hear_raw(AUDIO_OUT)
        if started:
            await home.start()
        try:
            yield home
        finally:
            await home.stop()
