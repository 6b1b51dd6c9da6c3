"""What the timer worker is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from antiphon_contracts import (
    ANNOUNCE,
    DIALOGUE_STATE,
    PLAYBACK_STATUS,
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    ConfigError,
)
from antiphon_runtime import Wiring, Worker, listen, running, serve

from antiphon_timer.clock import Clock, SystemClock
from antiphon_timer.ledger import Ledger, TimerStore
from antiphon_timer.ringing import Manner, Ringer
from antiphon_timer.service import Rules, TimerService
from antiphon_timer.settings import TimerSettings
from antiphon_timer.sounding import BusVoice, Loudspeakers
from antiphon_timer.sqlite import SqliteTimers
from antiphon_timer.telling import Teller
from antiphon_timer.zones import Zone

REMINDED_WITHIN_S = 420.0
"""A reminder that nobody heard is said again within this, after what rings at its site."""


def build(worker: Worker[TimerSettings]) -> Wiring:
    """Build the worker on the machine's own clock and disk.

    Raises:
        ConfigError: there is no such time zone.
    """
    path = worker.settings.path or worker.runtime.data_dir / "timers.sqlite"
    return wire(worker, SqliteTimers(path.absolute(), worker.health), SystemClock())


def wire(worker: Worker[TimerSettings], store: TimerStore, clock: Clock) -> Wiring:
    """Build the worker around a store and a clock.

    Raises:
        ConfigError: there is no such time zone.
    """
    settings, bus, health = worker.settings, worker.bus, worker.health
    ledger = Ledger(store, bus, clock, health)
    service = TimerService(ledger, clock, _rules(settings))
    speakers, voice = Loudspeakers(bus, clock.boot), BusVoice(bus)
    manner = Manner(volume=settings.volume, speaks=settings.speak)
    ringer = Ringer(ledger, speakers, voice, clock, manner, service.silence)
    teller = Teller(service, voice, clock)
    wanted = asyncio.Event()

    def on_ledger_change() -> None:
        ringer.stir()
        teller.stir()
        if len(ledger):
            wanted.set()
        health.engine = f"{sum(entry.state != 'missed' for entry in ledger)} timers"

    ledger.on_change = on_ledger_change

    async def tune() -> None:
        await wanted.wait()
        await speakers.tune()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with store.open():
            await ledger.load()
            await service.start()
            on_ledger_change()
            tasks = {"timers": service.run(), "ringer": ringer.run(), "ledger": ledger.keep()}
            async with running(**tasks, teller=teller.run(), tune=tune()):
                yield

    return Wiring(
        [
            serve(TIMER_SET, service.on_set),
            serve(TIMER_CHANGE, service.on_change),
            serve(TIMER_QUERY, service.on_query),
            listen(PLAYBACK_STATUS, ringer.on_playback),
            listen(DIALOGUE_STATE, ringer.on_state),
        ],
        requests=[ANNOUNCE],
        lifespan=lifespan,
    )


def _rules(settings: TimerSettings) -> Rules:
    try:
        Zone(settings.timezone)
    except ConfigError as error:
        msg = f"timezone in [timer]: {error}"
        raise ConfigError(msg) from None
    return Rules(
        ring_s={
            "timer": settings.timer_ring_s,
            "alarm": settings.alarm_ring_s,
            "reminder": settings.alarm_ring_s + REMINDED_WITHIN_S,
        },
        snooze_s=settings.snooze_s,
        late_s=settings.late_s,
        zone=settings.timezone,
    )
