"""Hearing: what is being spoken at which site, how it is silenced, and what of it was heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import structlog
from antiphon_contracts import (
    PLAYBACK_CONTROL,
    TTS_CANCEL,
    PlaybackControl,
    PlaybackStatus,
    TtsCancel,
    TtsStatus,
)
from antiphon_runtime import Bus

from antiphon_router.historian import Exchange, Historian
from antiphon_router.speech import Speech
from antiphon_router.turns import Site

log = structlog.get_logger(__name__)

INTERRUPT_TIMEOUT_S = 0.25
SWEEP_S = 1.0
MAX_SITES = 512
"""More than turns can run at once, so that there always is a site without one to forget."""
MAX_SPEECHES = 64
"""At one site, announcements for the most part; the oldest is then taken as heard."""


class Hearing:
    """All sites, and their speech.

    Args:
        bus: for silencing.
        historian: told what was heard.
    """

    def __init__(self, bus: Bus, historian: Historian) -> None:
        self._bus = bus
        self._historian = historian
        self._sites: OrderedDict[str, Site] = OrderedDict()

    def site(self, site_id: str) -> Site:
        """Return a site; the one that was silent for longest is forgotten for it if need be."""
        site = self._sites.setdefault(site_id, Site(site_id))
        self._sites.move_to_end(site_id)
        if len(self._sites) > MAX_SITES:
            idle = (old for old in self._sites.values() if not old.turns and old is not site)
            forgotten = min(idle, key=lambda old: bool(old.speeches), default=None)
            if forgotten is not None:
                self.take_as_heard(forgotten)
                del self._sites[forgotten.site_id]
        return site

    # What is spoken

    def attend(self, site: Site, speech: Speech) -> None:
        """Follow what becomes of a speech."""
        while len(site.speeches) >= MAX_SPEECHES:
            oldest = next(iter(site.speeches.values()))
            self._settle(site, oldest, oldest.text)
        site.speeches[speech.utterance_id] = speech

    def forget(self, site: Site, speech: Speech) -> None:
        """Nothing of it was spoken."""
        site.speeches.pop(speech.utterance_id, None)

    def on_synthesis(self, site_id: str, status: TtsStatus) -> None:
        """Note what became of a speech's synthesis."""
        site = self._sites.get(site_id)
        speech = site.speeches.get(status.utterance_id) if site else None
        if speech is not None:
            speech.on_synthesis(status)

    def on_playback(self, site_id: str, status: PlaybackStatus) -> None:
        """Note what was really heard."""
        site = self._sites.get(site_id)
        speech = site.speeches.get(status.utterance_id) if site else None
        if site is None or speech is None:
            return
        if status.state == "started":
            speech.on_playback_started()
        else:
            text, interrupted = speech.heard(status)
            self._settle(site, speech, text, interrupted=interrupted)

    # How it is silenced

    def cut_short(self, site: Site, speech: Speech) -> None:
        """The turn of a speech came to an early end: what was not heard yet will not be."""
        if speech.clauses:
            self._hush(site, speech.utterance_id)
        if not speech.playing:
            self._settle(site, speech, "", interrupted=True)

    async def silence(self, site: Site, *, surely: bool) -> None:
        """Stop all speech of a site and learn what was heard of it; takes 0.25 s at the most.

        Args:
            site: where.
            surely: also if nothing is known to be spoken there, e.g. after a restart.
        """
        speeches = list(site.speeches.values())
        if speeches or surely or site.former_speech:
            site.former_speech = False
            self._hush(site, None)
        for speech in speeches:
            if not speech.playing:
                self._settle(site, speech, "", interrupted=True)
        try:
            async with asyncio.timeout(INTERRUPT_TIMEOUT_S):
                for speech in speeches:
                    await speech.settled.wait()
        except TimeoutError:
            log.info("interrupt.unconfirmed", site_id=site.site_id)
        for speech in speeches:
            self._settle(site, speech, speech.heard_so_far(), interrupted=True)

    def hush_former(self, site: Site) -> None:
        """Stop what an earlier life of the router said, if it did."""
        if site.former_speech:
            site.former_speech = False
            self._hush(site, None)

    def _hush(self, site: Site, utterance_id: str | None) -> None:
        self._bus.publish(TTS_CANCEL, TtsCancel(utterance_id=utterance_id), site_id=site.site_id)
        self._bus.publish(
            PLAYBACK_CONTROL,
            PlaybackControl(action="stop", utterance_id=utterance_id),
            site_id=site.site_id,
        )

    # What was heard

    def take_as_heard(self, site: Site) -> None:
        """Record what is still being spoken as heard: the next turn's history needs it now.

        Should it be cut short later, the history says too much.
        """
        for speech in site.speeches.values():
            self._record(speech, speech.text)

    def end(self) -> None:
        """Record everything that is still being spoken."""
        for site in self._sites.values():
            self.take_as_heard(site)

    async def sweep(self) -> None:
        """Settle speech that nobody plays, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for site in list(self._sites.values()):
                self._sweep_site(site)

    def _sweep_site(self, site: Site) -> None:
        speeches = list(site.speeches.values())
        something_plays = any(speech.playing for speech in speeches)
        for speech in speeches:
            if something_plays and not speech.playing:
                speech.postpone()
            elif speech.is_overdue:
                self._settle(site, speech, speech.text)

    def _settle(self, site: Site, speech: Speech, text: str, *, interrupted: bool = False) -> None:
        if site.speeches.get(speech.utterance_id) is speech:
            del site.speeches[speech.utterance_id]
            self._record(speech, text, interrupted=interrupted)
            speech.settled.set()

    def _record(self, speech: Speech, text: str, *, interrupted: bool = False) -> None:
        if speech.question and not speech.recorded:
            speech.recorded = True
            self._historian.record(
                Exchange(speech.site_id, speech.turn_id, speech.question, text, interrupted)
            )
