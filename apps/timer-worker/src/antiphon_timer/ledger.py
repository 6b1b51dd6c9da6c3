"""All timers, in memory and in the store, and the events that tell of them.

What happens to a timer and the event that tells of it are written in one step. An event leaves when
it is written, and again after every connect and every start until the broker has taken it, always
with the same message id: who has seen that id drops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog
from antiphon_contracts import TIMER_EVENT, EngineError, Message, TimerEvent, encode
from antiphon_runtime import Bus

from antiphon_timer.clock import Clock
from antiphon_timer.entry import Entry

EventName = Literal[
    "set",
    "changed",
    "paused",
    "resumed",
    "ringing",
    "snoozed",
    "stopped",
    "cancelled",
    "missed",
]

RETRY_S = 5.0
"""How often it is tried again to write what the disk did not take."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it goes over the bus.

    Attributes:
        id: of its message.
        site_id: where it goes.
        payload: the message.
    """

    id: str
    site_id: str
    payload: bytes


@dataclass(slots=True)
class Write:
    """What is written in one step.

    Attributes:
        kept: timers, new or changed.
        gone: ids of timers that are deleted.
        events: what is told.
        answered: a request's message id and its answer as JSON; None if nobody asked.
    """

    kept: list[Entry] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answered: tuple[str, str] | None = None


class TimerStore(Protocol):
    """Where timers are kept; what is written outlives a power cut.

    Every method raises EngineError when the store fails.
    """

    def open(self) -> AbstractAsyncContextManager[None]:
        """Be usable while the block runs.

        Raises:
            ConfigError: it cannot be opened; the text says what mends it.
        """

    async def timers(self) -> list[Entry]:
        """Return all that are kept."""

    async def events(self) -> list[Event]:
        """Return the events that the broker has not taken, oldest first."""

    async def answer_to(self, message_id: str) -> str | None:
        """Return what a request was answered; None if it was not carried out."""

    async def write(self, write: Write) -> None:
        """Write all of it or nothing."""

    async def forget_events(self, ids: Iterable[str]) -> None:
        """The broker has taken these events."""


class Notes(Protocol):
    """Where a worker says that it works with less."""

    def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:
        """Say why."""

    def clear_note(self, name: str) -> None:
        """It works fully again."""


class Ledger:
    """All timers.

    Args:
        store: where they are kept.
        bus: where events go.
        clock: the time.
        notes: hears when nothing can be written.
    """

    def __init__(self, store: TimerStore, bus: Bus, clock: Clock, notes: Notes) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._notes = notes
        self._entries: dict[str, Entry] = {}
        self._unsent: dict[str, Event] = {}
        self._taken: set[str] = set()
        self._stir = asyncio.Event()
        self._unwritten = Write()
        self.on_change: Callable[[], None] = _nobody

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, entry_id: str) -> Entry | None:
        """Return a timer."""
        return self._entries.get(entry_id)

    async def load(self) -> None:
        """Read what is kept, and send what was not sent."""
        self._entries = {entry.id: entry for entry in await self._store.timers()}
        self._unsent = {event.id: event for event in await self._store.events()}
        self._bus.at_connect(self._send_again)
        if self._bus.connected:
            self._send_again()

    async def answer_to(self, message_id: str) -> str | None:
        """Return what a request was answered before; None if it was not."""
        return await self._store.answer_to(message_id)

    def event(self, name: EventName, entry: Entry) -> Event:
        """Return the event that tells what happened to a timer.

        Its id says which timer and which of the things that happened to it: however often it is
        made, it is the same.
        """
        message = Message(
            data=TimerEvent(event=name, timer=entry.shown(self._clock)),
            type=TIMER_EVENT.type,
            id=f"{entry.id}.{entry.times}.{name}",
            source=self._bus.source,
            site_id=entry.site_id,
        )
        return Event(message.id, entry.site_id, encode(message))

    async def write(self, write: Write) -> None:
        """Write, and tell of it.

        Raises:
            EngineError: it was not written, and did not happen.
        """
        await self._store.write(write)
        self._apply(write)

    async def write_anyway(self, write: Write) -> None:
        """Write, and tell of it; it happens even if nothing can be written.

        What time does cannot be refused. It is written as soon as that is possible; should the
        process be killed before, it happens again, with events of the same ids.
        """
        try:
            await self._store.write(write)
        except EngineError as error:
            log.warning("timers.unwritten", detail=str(error))
            self._notes.note("store", str(error))
            self._unwritten.kept += write.kept
            self._unwritten.gone += write.gone
            self._stir.set()
        self._apply(write)

    def _apply(self, write: Write) -> None:
        self._entries |= {entry.id: entry for entry in write.kept}
        for gone in write.gone:
            self._entries.pop(gone, None)
        for event in write.events:
            self._unsent[event.id] = event
            self._send(event)
        self.on_change()

    # Events

    def _send_again(self) -> None:
        for event in list(self._unsent.values()):
            self._send(event)

    def _send(self, event: Event) -> None:
        sent = self._bus.publish_raw(TIMER_EVENT, event.payload, site=event.site_id)

        def on_sent(outcome: asyncio.Future[None]) -> None:
            # What failed goes again at the next connect.
            if not outcome.cancelled() and outcome.exception() is None:
                self._unsent.pop(event.id, None)
                self._taken.add(event.id)
                self._stir.set()

        sent.add_done_callback(on_sent)

    async def keep(self) -> None:
        """Forget events that were sent, and write what could not be written; for ever."""
        while True:
            await self._clock.wait(self._stir, None)
            self._stir.clear()
            try:
                await self._keep()
            except EngineError as error:
                self._notes.note("store", str(error))
                await self._clock.wait(asyncio.Event(), RETRY_S)
                self._stir.set()

    async def _keep(self) -> None:
        if self._unwritten.kept or self._unwritten.gone:
            ids = {entry.id for entry in self._unwritten.kept}
            now = [entry for entry in self if entry.id in ids]
            gone = [*self._unwritten.gone, *(ids - {entry.id for entry in now})]
            self._unwritten = Write()
            try:
                await self._store.write(Write(kept=now, gone=gone))
            except EngineError:
                self._unwritten.kept += now
                self._unwritten.gone += gone
                raise
            self._notes.clear_note("store")
        taken, self._taken = self._taken, set()
        if taken:
            try:
                await self._store.forget_events(taken)
            except EngineError:
                self._taken |= taken
                raise


def _nobody() -> None:
    """Nobody wants to know."""
