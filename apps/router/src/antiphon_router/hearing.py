"""Hearing: what is being spoken at which site, how it is silenced, and what of it was heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

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
from antiphon_router.rules import SiteRules
from antiphon_router.speech import Outcome, Speech
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
        rules_of: a site's rules.

    Attributes:
        on_change: told when something changed at a site.
        on_stop: told when everything at a site is to end.
        on_spoken: told what was spoken at a site, when that is over.
        before_speech: told before the first clause of a speech goes out.
    """

    def __init__(
        self, bus: Bus, historian: Historian, rules_of: Callable[[str], SiteRules]
    ) -> None:
        self._bus = bus
        self._historian = historian
        self._rules_of = rules_of
        self._sites: OrderedDict[str, Site] = OrderedDict()
        self.on_change: Callable[[Site], None] = _nobody
        self.on_stop: Callable[[Site], None] = _nobody
        self.on_spoken: Callable[[Site, str], None] = _nothing_kept
        self.before_speech: Callable[[Site], None] = _nobody

    def __iter__(self) -> Iterator[Site]:
        return iter(tuple(self._sites.values()))

    def site(self, site_id: str) -> Site:
        """Return a site; the one that was silent for longest is forgotten for it if need be."""
        site = self._sites.setdefault(site_id, Site(site_id))
        self._sites.move_to_end(site_id)
        if len(self._sites) > MAX_SITES:
            idle = (
                old
                for old in self._sites.values()
                if not (old.turns or old.window or old.status) and old is not site
            )
            forgotten = min(idle, key=lambda old: bool(old.speeches), default=None)
            if forgotten is not None:
                self.take_as_heard(forgotten)
                del self._sites[forgotten.site_id]
        return site

    # What is spoken

    def compose(
        self,
        site: Site,
        turn_id: str,
        question: str = "",
        *,
        priority: int = 10,
        voice: str | None = None,
    ) -> Speech:
        """Return a speech in the site's own voice."""
        rules = self._rules_of(site.site_id)
        return Speech(
            self._bus,
            site.site_id,
            turn_id,
            question,
            priority=priority,
            voice=voice or rules.voice,
            speed=rules.speed,
            hold=site.hold,
            before_first=partial(self._before, site),
        )

    def _before(self, site: Site) -> None:
        self.before_speech(site)

    def announce(self, site: Site, speech: Speech, text: str) -> bool:
        """Speak a whole text; returns whether there was anything to speak."""
        self.attend(site, speech)
        speech.finish(text)
        if not speech.clauses:
            self.forget(site, speech)
        return bool(speech.clauses)

    def attend(self, site: Site, speech: Speech) -> None:
        """Follow what becomes of a speech."""
        while len(site.speeches) >= MAX_SPEECHES:
            oldest = next(iter(site.speeches.values()))
            self._settle(site, oldest, oldest.answer)
        site.speeches[speech.utterance_id] = speech
        if site.hold:
            speech.on_held()
        self.on_change(site)

    def forget(self, site: Site, speech: Speech) -> None:
        """Nothing of it was spoken."""
        site.speeches.pop(speech.utterance_id, None)
        speech.settled.set()
        self.on_change(site)

    def on_synthesis(self, site_id: str, status: TtsStatus) -> None:
        """Note what became of a speech's synthesis."""
        site = self._sites.get(site_id)
        speech = site.speeches.get(status.utterance_id) if site else None
        if site is not None and speech is not None:
            speech.on_synthesis(status)
            self.on_change(site)

    def on_playback(self, site_id: str, status: PlaybackStatus) -> None:
        """Note what was really heard."""
        site = self._sites.get(site_id)
        speech = site.speeches.get(status.utterance_id) if site else None
        if site is None or speech is None:
            return
        if status.state == "started":
            speech.on_playback_started()
            if site.hold:
                # It was on its way when the site was held.
                self._pause(site)
            self.on_change(site)
        else:
            text, interrupted = speech.heard(status)
            speech.detail = status.detail or speech.detail
            outcome: Outcome = "interrupted" if interrupted else "heard"
            if status.state == "failed" or (interrupted and status.state == "finished"):
                outcome = "failed"
            self._settle(site, speech, text, interrupted=interrupted, outcome=outcome)

    # How it is held

    def pause(self, site: Site, *, wanted: bool) -> None:
        """Hold what is spoken, because a person said so or might be about to interrupt."""
        if wanted:
            site.hold.wanted, site.hold.listening = True, False
        else:
            site.hold.listening = True
        if site.busy and not site.hold.told:
            self._pause(site)
        for speech in site.speeches.values():
            speech.on_held()
        self.on_change(site)

    def _pause(self, site: Site) -> None:
        site.hold.told = True
        sent = [speech for speech in site.speeches.values() if speech.is_sent]
        # By its name a satellite also holds what has not reached it yet.
        is_coming = bool(sent) and not any(speech.playing for speech in sent)
        self._control(site, "pause", sent[0].utterance_id if is_coming else None)

    def resume(self, site: Site, *, wanted: bool) -> None:
        """Go on where it was held; what a person holds goes on only if a person says so."""
        site.hold.listening = False
        if wanted:
            site.hold.wanted = False
        if not site.hold:
            if site.speaking:
                self.before_speech(site)
            if site.hold.told:
                self._control(site, "resume")
            self._release(site)
        self.on_change(site)

    def _release(self, site: Site) -> None:
        site.hold.listening = site.hold.wanted = site.hold.told = False
        for speech in list(site.speeches.values()):
            speech.on_released()

    # How it is silenced

    def cut_short(self, site: Site, speech: Speech) -> None:
        """The turn of a speech came to an early end: what was not heard yet will not be."""
        speech.mute()
        if speech.clauses:
            self._hush(site, speech.utterance_id)
        if not speech.playing:
            self._settle(site, speech, "", interrupted=True, outcome="interrupted")

    async def silence(self, site: Site, *, surely: bool) -> None:
        """Stop all speech of a site and learn what was heard of it; takes 0.25 s at the most.

        Args:
            site: where.
            surely: also if nothing is known to be spoken there, e.g. after a restart.
        """
        speeches = list(site.speeches.values())
        if surely:
            self.on_stop(site)
        for speech in speeches:
            speech.mute()
        if speeches or surely or site.former_speech:
            site.former_speech = False
            self._hush(site, None)
        for speech in speeches:
            if not speech.playing:
                self._settle(site, speech, "", interrupted=True, outcome="interrupted")
        try:
            async with asyncio.timeout(INTERRUPT_TIMEOUT_S):
                for speech in speeches:
                    await speech.settled.wait()
        except TimeoutError:
            log.info("interrupt.unconfirmed", site_id=site.site_id)
        for speech in speeches:
            self._lose(site, speech)
        self._release(site)
        self.on_change(site)

    def lose(self, site: Site) -> None:
        """The satellite is gone: nothing more is heard of what it had."""
        for speech in list(site.speeches.values()):
            if speech.playing:
                speech.mute()
                self._lose(site, speech)
        self._release(site)

    def _lose(self, site: Site, speech: Speech) -> None:
        text = speech.heard_so_far()
        self._settle(site, speech, text, interrupted=True, outcome="interrupted")

    def hush_former(self, site: Site) -> None:
        """Stop what an earlier life of the router said, if it did."""
        if site.former_speech:
            site.former_speech = False
            self._hush(site, None)

    def _hush(self, site: Site, utterance_id: str | None) -> None:
        self._bus.publish(TTS_CANCEL, TtsCancel(utterance_id=utterance_id), site_id=site.site_id)
        self._control(site, "stop", utterance_id=utterance_id)

    def _control(
        self,
        site: Site,
        action: Literal["stop", "pause", "resume"],
        utterance_id: str | None = None,
    ) -> None:
        order = PlaybackControl(action=action, utterance_id=utterance_id)
        self._bus.publish(PLAYBACK_CONTROL, order, site_id=site.site_id)

    # What was heard

    def take_as_heard(self, site: Site) -> None:
        """Record what is still being spoken as heard: the next turn's history needs it now.

        Should it be cut short later, the history says too much.
        """
        for speech in site.speeches.values():
            self._record(speech, speech.answer)

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
                self._settle(site, speech, speech.answer)

    def _settle(
        self,
        site: Site,
        speech: Speech,
        text: str,
        *,
        interrupted: bool = False,
        outcome: Outcome = "unheard",
    ) -> None:
        if site.speeches.get(speech.utterance_id) is not speech:
            return
        del site.speeches[speech.utterance_id]
        speech.outcome = outcome
        self._record(speech, text, interrupted=interrupted)
        self.on_spoken(site, speech.text)
        if outcome == "heard" and speech.live and not site.speaking:
            site.follow_up_due = True
        speech.settled.set()
        self.on_change(site)

    def _record(self, speech: Speech, text: str, *, interrupted: bool = False) -> None:
        if speech.question and not speech.recorded:
            speech.recorded = True
            self._historian.record(
                Exchange(speech.site_id, speech.turn_id, speech.question, text, interrupted)
            )


def _nobody(_site: Site) -> None:
    """Nobody listens."""


def _nothing_kept(_site: Site, _text: str) -> None:
    """Nobody keeps it."""
