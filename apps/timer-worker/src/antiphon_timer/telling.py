"""Telling people what was missed, once somebody is there who can speak."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon_timer import phrases
from antiphon_timer.clock import Clock
from antiphon_timer.entry import Entry
from antiphon_timer.service import TimerService
from antiphon_timer.sounding import Voice

AGAIN_S = 5.0
TRIED_FOR_S = 600.0
"""After this nobody is told any more; at the next start they are."""
HEARD_WITHIN_S = 150.0
UNHEARD_TIMES = 3


class Teller:
    """Tells what was missed, all of one site in one announcement.

    Args:
        service: knows what was missed.
        voice: who speaks.
        clock: the time.
    """

    def __init__(self, service: TimerService, voice: Voice, clock: Clock) -> None:
        self._service = service
        self._voice = voice
        self._clock = clock
        self._stir = asyncio.Event()
        self._given_up: set[str] = set()

    def stir(self) -> None:
        """Look again: something has changed."""
        self._stir.set()

    async def run(self) -> None:
        """Tell, for ever."""
        while True:
            self._stir.clear()
            by_site: dict[str, list[Entry]] = {}
            for entry in self._service.untold():
                if entry.id not in self._given_up:
                    by_site.setdefault(entry.site_id, []).append(entry)
            for site_id, entries in by_site.items():
                await self._tell(site_id, entries)
            if not by_site:
                await self._clock.wait(self._stir, None)

    async def _tell(self, site_id: str, entries: Sequence[Entry]) -> None:
        until = self._clock.boot() + TRIED_FOR_S
        unheard = 0
        while self._clock.boot() < until and unheard < UNHEARD_TIMES:
            late = [(entry, -entry.left_s(self._clock)) for entry in entries]
            outcome = await self._voice.say(
                site_id, phrases.missed(late), priority=0, within_s=HEARD_WITHIN_S
            )
            if outcome in {"heard", "interrupted"}:
                await self._service.note_told(entries)
                return
            unheard += outcome != "absent"
            await self._clock.wait(asyncio.Event(), AGAIN_S)
        self._given_up |= {entry.id for entry in entries}
