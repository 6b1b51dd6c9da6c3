"""Ringing: chimes with pauses between them at every site where something rings.

At one site one thing sounds at a time, an alarm before a timer. Each chime is an utterance of its
own, so that in the pauses words can be spoken, and a wake word heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from antiphon_contracts import DialogueState, Message, PlaybackStatus

from antiphon_timer import phrases
from antiphon_timer.clock import Clock
from antiphon_timer.entry import Entry
from antiphon_timer.ledger import Ledger
from antiphon_timer.sounding import Loudspeakers, Voice

PAUSE_S = 2.5
"""Between two chimes: long enough for "okay nabu, stop" to begin in."""
RISE_S = 20.0
QUIETEST = 0.35
"""So loud, of the full, it begins; after `RISE_S` it is as loud as it gets."""
HELD_S = 12.0
"""For so long it is silent while people speak with the house at its site."""
SPOKEN_WITHIN_S = 8.0
"""The ringing waits for its own words no longer."""
ALARM_PRIORITY = 20
REMINDED_WITHIN_S = 150.0
AGAIN_S = 60.0
"""A reminder that was not heard is said again after this."""
REMINDED_TIMES = 2

_ORDER = {"alarm": 0, "timer": 1, "reminder": 2}


@dataclass(frozen=True, slots=True)
class Manner:
    """How it rings.

    Attributes:
        volume: the loudest, 0 to 1.
        speaks: whether anything is spoken.
    """

    volume: float = 0.8
    speaks: bool = True


class Ringer:
    """Rings what the ledger says is ringing.

    Args:
        ledger: the timers.
        speakers: where it rings.
        voice: who speaks.
        clock: the time.
        manner: how it rings.
        silence: ends the ringing of what was heard, or said often enough, or stopped by a button.
    """

    def __init__(
        self,
        ledger: Ledger,
        speakers: Loudspeakers,
        voice: Voice,
        clock: Clock,
        manner: Manner,
        silence: Callable[[Sequence[Entry]], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._speakers = speakers
        self._voice = voice
        self._clock = clock
        self._manner = manner
        self._silence = silence
        self._changed = asyncio.Event()
        self._stirred: dict[str, asyncio.Event] = {}
        self._at_work: set[str] = set()
        self._spoken: set[str] = set()
        self._speaking: set[str] = set()
        self._reminding: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def stir(self) -> None:
        """Look again what rings: something has changed."""
        self._changed.set()
        for event in self._stirred.values():
            event.set()

    async def on_playback(self, message: Message[PlaybackStatus]) -> None:
        """Note what a satellite plays; its button stops what rings there.

        While our own words are on their way, it is the router that makes room for them.
        """
        site_id = message.site_id
        if self._speakers.on_playback(message) and site_id not in self._speaking:
            await self._silence([entry for entry in self._ledger if entry.site_id == site_id])

    async def on_state(self, message: Message[DialogueState]) -> None:
        """Note what goes on at a site."""
        if self._speakers.on_state(message):
            self.stir()

    async def run(self) -> None:
        """Ring, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for name, work in self._missing():
                    self._at_work.add(name)
                    group.create_task(self._attend(name, work), name=name)
                await self._changed.wait()

    def _missing(self) -> Iterator[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """Yield the tasks that ought to run and do not."""
        for site_id in {entry.site_id for entry in self._sounding()}:
            if f"ring:{site_id}" not in self._at_work:
                yield f"ring:{site_id}", partial(self._ring, site_id)
        for entry in self._ledger:
            is_due = entry.state == "ringing" and entry.kind == "reminder"
            name = f"remind:{entry.id}.{entry.times}"
            if is_due and name not in self._at_work:
                yield name, partial(self._remind, entry)

    async def _attend(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        finally:
            self._at_work.discard(name)
            self._changed.set()  # it may have begun to ring again just now

    def _sounding(self, site_id: str | None = None) -> list[Entry]:
        return [
            entry
            for entry in self._ledger
            if entry.state == "ringing"
            and entry.kind != "reminder"
            and site_id in {None, entry.site_id}
        ]

    # Timers and alarms

    async def _ring(self, site_id: str) -> None:
        event = self._stirred[site_id] = asyncio.Event()
        begun = self._clock.boot()
        self._speakers.make_way(site_id)
        try:
            while entries := self._sounding(site_id):
                loudest = min(entries, key=lambda entry: _ORDER[entry.kind])
                loudness = self._loudness(self._clock.boot() - begun)
                length_s = await self._speakers.chime(site_id, loudest.kind, loudness)
                await self._rest(site_id, event, length_s)
                await self._speak(site_id, event)
                await self._rest(site_id, event, PAUSE_S)
                await self._hold(site_id, event)
        finally:
            del self._stirred[site_id]
            self._speakers.hush(site_id)

    def _loudness(self, since_s: float) -> float:
        share = min(1.0, since_s / RISE_S)
        return self._manner.volume * (QUIETEST + (1 - QUIETEST) * share)

    async def _rest(self, site_id: str, event: asyncio.Event, for_s: float) -> None:
        """Wait; what ends the ringing ends the waiting."""
        until = self._clock.boot() + for_s
        while (left_s := until - self._clock.boot()) > 0 and self._sounding(site_id):
            event.clear()
            await self._clock.wait(event, left_s)

    async def _hold(self, site_id: str, event: asyncio.Event) -> None:
        """Be silent while people speak with the house, for a while."""
        until = self._clock.boot() + HELD_S
        while self._speakers.is_talking(site_id) and self._sounding(site_id):
            left_s = until - self._clock.boot()
            if left_s <= 0:
                return
            event.clear()
            await self._clock.wait(event, left_s)

    async def _speak(self, site_id: str, event: asyncio.Event) -> None:
        """Have the words of what began to ring spoken, once."""
        self._spoken &= {entry.id for entry in self._ledger if entry.state == "ringing"}
        new = [entry for entry in self._sounding(site_id) if entry.id not in self._spoken]
        self._spoken |= {entry.id for entry in new}
        text = phrases.ringing_together(new)
        if not text or not self._manner.speaks:
            return
        said = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            saying = group.create_task(self._say(site_id, text, said), name="say")
            until = self._clock.boot() + SPOKEN_WITHIN_S
            while not said.is_set() and self._sounding(site_id):
                left_s = until - self._clock.boot()
                if left_s <= 0:
                    break
                event.clear()
                await self._clock.wait(event, left_s)
            saying.cancel()

    async def _say(self, site_id: str, text: str, said: asyncio.Event) -> None:
        self._speaking.add(site_id)
        try:
            await self._voice.say(site_id, text, priority=ALARM_PRIORITY, within_s=SPOKEN_WITHIN_S)
        finally:
            self._speaking.discard(site_id)
        said.set()
        self.stir()

    # Reminders

    async def _remind(self, entry: Entry) -> None:
        name = f"{entry.id}.{entry.times}"
        event = self._stirred[name] = asyncio.Event()
        try:
            for number in range(REMINDED_TIMES):
                if number:
                    await self._rest_of(entry, event, AGAIN_S)
                # Of several, one after the other.
                turn = self._reminding.setdefault(entry.site_id, asyncio.Lock())
                async with turn:
                    await self._wait_for_silence(entry, event)
                    if not self._rings(entry) or await self._was_reminded(entry, event):
                        break
        finally:
            del self._stirred[name]
        if self._rings(entry):
            await self._silence([entry])

    async def _was_reminded(self, entry: Entry, event: asyncio.Event) -> bool:
        site_id = entry.site_id
        length_s = await self._speakers.chime(site_id, "reminder", self._manner.volume)
        await self._rest_of(entry, event, length_s)
        if not self._manner.speaks or not self._rings(entry):
            return False
        text = phrases.ringing(entry)
        outcome = await self._voice.say(site_id, text, priority=0, within_s=REMINDED_WITHIN_S)
        # A person may cut it short, and has heard it; what rings here may not.
        return outcome == "heard" or (outcome == "interrupted" and not self._sounding(site_id))

    async def _wait_for_silence(self, entry: Entry, event: asyncio.Event) -> None:
        """Wait until nothing else rings at a reminder's site."""
        while self._sounding(entry.site_id) and self._rings(entry):
            event.clear()
            await self._clock.wait(event, None)

    def _rings(self, entry: Entry) -> bool:
        now = self._ledger.find(entry.id)
        return now is not None and now.state == "ringing" and now.times == entry.times

    async def _rest_of(self, entry: Entry, event: asyncio.Event, for_s: float) -> None:
        until = self._clock.boot() + for_s
        while (left_s := until - self._clock.boot()) > 0 and self._rings(entry):
            event.clear()
            await self._clock.wait(event, left_s)
