"""Listening: when a site is listened to, and what becomes of what is heard there."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import structlog
from antiphon_contracts import (
    PLAYBACK_CONTROL,
    Health,
    Message,
    PlaybackControl,
    SiteStatus,
    SttFinal,
    SttPartial,
    WakeEvent,
)
from antiphon_runtime import Bus

from antiphon_router.arbitration import Groups
from antiphon_router.echo import Echo
from antiphon_router.hearing import Hearing
from antiphon_router.intents import Grammar
from antiphon_router.preparing import Preparing
from antiphon_router.rules import LiveRules
from antiphon_router.speculation import Speculation
from antiphon_router.states import States
from antiphon_router.turns import Site
from antiphon_router.windows import Window, WindowEnd, Windows

TEND_S = 0.5
AGAIN_AFTER_S = 1.0
"""A window that was answered with trouble is not opened again at once."""
SATELLITE_SILENT_AFTER_S = 2.5
SPEECH_MS = 500
"""After a wake word, so much speech that was not understood deserves an apology."""
SAME_EVENTS = 64

Verdict = Literal["turn", "apology", "nothing"]

log = structlog.get_logger(__name__)


class Listening:
    """Opens and closes every site's windows.

    Args:
        bus: for the orders.
        hearing: the sites, and what is spoken there.
        grammar: the fast path.
        speculation: begins replies early.
        preparing: makes the first words of what needs no language model ready.
        groups: sites that hear each other.
        rules: of live conversation.
    """

    def __init__(
        self,
        bus: Bus,
        hearing: Hearing,
        grammar: Grammar,
        speculation: Speculation,
        preparing: Preparing,
        groups: Groups,
        rules: LiveRules,
    ) -> None:
        self._bus = bus
        self._hearing = hearing
        self._grammar = grammar
        self._speculation = speculation
        self._preparing = preparing
        self._groups = groups
        self._rules = rules
        self._echo = Echo()
        self._states = States(bus)
        self.windows = Windows(bus)
        self._changed: set[Site] = set()
        self._events: deque[tuple[str, str, int]] = deque(maxlen=SAME_EVENTS)
        self._recognisers: dict[str, int] = {}
        self._beats: dict[str, float] = {}
        hearing.on_change = self.on_change
        hearing.on_spoken = self._on_spoken
        hearing.before_speech = self._before_speech
        hearing.on_stop = self._on_stop

    # What comes in

    async def on_wake(self, message: Message[WakeEvent]) -> None:
        """Listen where a wake word was heard, and interrupt what goes on there."""
        event, site_id = message.data, message.site_id
        if self._rules.of(site_id).mode == "off":
            return
        heard = (site_id, event.stream, event.offset_ms)
        if heard in self._events:
            self._bus.counters["wakes_doubled"] += 1
            return
        self._events.append(heard)
        if not await self._groups.wins(site_id, event, self._listens):
            self._bus.counters["wakes_elsewhere"] += 1
            return
        self.listen(self._hearing.site(site_id), event)

    def on_button(self, site: Site) -> None:
        """Listen as after a wake word, where the site ever does."""
        if self._rules.of(site.site_id).mode != "off":
            self.listen(site)

    def listen(self, site: Site, event: WakeEvent | None = None) -> None:
        """Listen as after a wake word; what is spoken is held until it is clear what was said."""
        site.follow_up_due = False
        self._speculation.withdraw(site.site_id)
        busy = site.busy
        # What is about to be spoken would deafen the site to who speaks now.
        self._hearing.pause(site, wanted=False)
        self.windows.ungate(site, tail_s=0.0)
        self.windows.open(
            site,
            "barge_in" if busy else "wake",
            self._rules.listen_s,
            event=event,
            by_word=True,
        )
        self.on_change(site)

    async def on_partial(self, message: Message[SttPartial]) -> None:
        """Hold what is spoken when somebody speaks; begin early with what may be all."""
        partial = message.data
        site = self._hearing.site(message.site_id)
        window = site.window
        if window is None or window.utterance_id != partial.utterance_id:
            return
        if partial.seq <= window.last_seq:
            return
        window.last_seq = partial.seq
        text = partial.text.strip()
        if not (text and not window.by_word and self._is_own(site, text)):
            window.begun = window.begun or bool(text) or not site.speaking
            if window.begun and (text or not site.speaking) and not site.hold:
                self._hearing.pause(site, wanted=False)
        if partial.candidate and text:
            self._speculate(site, window, text)
        else:
            self._speculation.withdraw(site.site_id)
        self.on_change(site)

    def _speculate(self, site: Site, window: Window, text: str) -> None:
        site_id, turn_id = site.site_id, window.utterance_id
        may = self._rules.speculate and window.reason != "question"
        intent = self._grammar.recognize(text) if may else None
        if not may or self._is_own(site, text):
            self._speculation.withdraw(site_id)
        elif intent is not None:
            self._speculation.withdraw(site_id)
            self._preparing.answer(site_id, turn_id, intent, last_answer=site.last_answer)
        elif site.busy:
            # During an interruption the history lacks what was interrupted.
            self._speculation.withdraw(site_id)
        else:
            self._speculation.begin(site_id, turn_id, text)

    def on_final(self, site_id: str, final: SttFinal) -> Verdict:
        """Close the window that was answered and say whether a turn begins with the words."""
        site = self._hearing.site(site_id)
        window = self.windows.take(site, final.utterance_id)
        self.on_change(site)
        words = final.text.strip() if final.rejected is None else ""
        if window is None:
            return self._on_unexpected(site, final, words)
        is_own = bool(words) and window.reason != "wake" and self._is_own(site, words)
        if is_own:
            self._bus.counters["echoes_dropped"] += 1
        if window.on_end is not None:
            self._on_answer(site, window, final, "" if is_own else words)
            return "nothing"
        if words and not is_own:
            site.arriving.append(final.utterance_id)
            return "turn"
        self._on_nothing(site, window, final, is_own=is_own)
        if final.rejected in {"engine", "busy"}:
            return "apology"
        said = final.speech_ms > SPEECH_MS and not is_own
        misheard = final.rejected not in {"no_speech", "cancelled", "lost", "silence"}
        return "apology" if window.reason == "wake" and said and misheard else "nothing"

    def _on_unexpected(self, site: Site, final: SttFinal, words: str) -> Verdict:
        """A window that was closed here is over; one of an earlier life has its words at last."""
        if self.windows.is_known(final.utterance_id):
            self._bus.counters["finals_late"] += 1
            return "nothing"
        if not words or final.reason == "question":
            return "nothing"
        site.arriving.append(final.utterance_id)
        return "turn"

    def _on_nothing(self, site: Site, window: Window, final: SttFinal, *, is_own: bool) -> None:
        """Nobody said anything: what was held goes on."""
        self._speculation.withdraw(site.site_id)
        self._hearing.resume(site, wanted=False)
        if is_own and window.reason == "follow_up":
            site.follow_up_due = True
        if final.rejected in {"engine", "busy", "cancelled", "lost"}:
            site.not_before = _now() + AGAIN_AFTER_S

    def _on_answer(self, site: Site, window: Window, final: SttFinal, words: str) -> None:
        self._hearing.resume(site, wanted=False)
        why = final.rejected or ("" if words else "echo")
        window.end(WindowEnd(words, why, final.confidence))

    async def on_status(self, message: Message[SiteStatus]) -> None:
        """Note what a site's microphone is for."""
        site = self._hearing.site(message.site_id)
        former, site.status = site.status, message.data
        site.satellite = message.source
        if former is None:
            # An earlier life of the router may have held it.
            self._control(site, PlaybackControl(action="resume"))
        volume = self._rules.of(site.site_id).volume
        if volume is not None and (former is None or former.stream != message.data.stream):
            self._control(site, PlaybackControl(action="volume", volume=volume))
        same = former is not None and former.stream == message.data.stream
        if not message.data.streaming or (site.window is not None and former and not same):
            self._lose_window(site)
        self.on_change(site)

    async def on_health(self, message: Message[Health]) -> None:
        """Note which satellites and recognisers are there."""
        health = message.data
        if health.kind == "satellite":
            gone = health.state == "gone"
            self._beats[health.worker] = float("-inf") if gone else _now()
            self._look_for_satellites()
        elif health.kind == "stt" and health.pid:
            if self._recognisers.get(health.worker, health.pid) != health.pid:
                self._lose_windows()
            self._recognisers[health.worker] = health.pid

    def known_sites(self) -> list[str]:
        """Return the sites that have a satellite."""
        found = [s.site_id for s in self._hearing if s.status is not None or s.satellite]
        if not found and any(at > float("-inf") for at in self._beats.values()):
            found = ["default"]
        return sorted(found)

    def ask(self, site: Site, listen_s: float, ended: asyncio.Future[WindowEnd]) -> None:
        """Listen to a person's answer; the future gets it, and no turn begins with it."""

        def on_end(end: WindowEnd) -> None:
            if not ended.done():
                ended.set_result(end)

        self.windows.ungate(site)
        self.windows.open(site, "question", listen_s, on_end=on_end)
        self.on_change(site)

    def may_listen(self, site: Site) -> bool:
        """Whether a window at the site can hear anything."""
        return site.streams and self._rules.of(site.site_id).mode != "off"

    # What follows from it

    def on_change(self, site: Site) -> None:
        """Look at a site anew, when what happens now has happened."""
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._look_at_changed)
        self._changed.add(site)

    def _look_at_changed(self) -> None:
        changed, self._changed = self._changed, set()
        for site in changed:
            self._look_at(site)

    def _look_at(self, site: Site) -> None:
        """Open, close and gate what the site's situation asks for, and tell its state."""
        self._close_superfluous(site)
        if site.streams and not site.echo_cancelled and site.speaking and not site.hold:
            self.windows.gate(site)
        elif site.gated_until and (site.hold or not site.speaking):
            self.windows.ungate(site)
        if site.window is None and self.may_listen(site) and _now() >= site.not_before:
            self._open_due(site)
        self._states.tell(site)
        if site.is_calm:
            site.calm.set()

    def _close_superfluous(self, site: Site) -> None:
        """A window that nobody speaks into ends where it makes no sense any more."""
        window = site.window
        if window is None or window.is_attentive:
            return
        if window.reason == "barge_in":
            superfluous = not site.speaking
        else:
            superfluous = site.busy and not site.echo_cancelled
        if superfluous:
            self.windows.close(site)

    def _open_due(self, site: Site) -> None:
        if site.busy:
            if site.echo_cancelled and site.speaking and not site.hold:
                self.windows.open(site, "barge_in", None)
            return
        due, site.follow_up_due = site.follow_up_due, False
        if self._rules.of(site.site_id).mode == "open":
            self.windows.open(site, "open", None)
        elif due and self._rules.follow_up_s:
            self.windows.open(site, "follow_up", self._rules.follow_up_s)

    def _before_speech(self, site: Site) -> None:
        if site.streams and not site.echo_cancelled:
            self.windows.gate(site)

    def _on_stop(self, site: Site) -> None:
        site.follow_up_due = False
        self.windows.close(site, "interrupted")

    def _on_spoken(self, site: Site, text: str) -> None:
        self._echo.remember(site.site_id, text)

    def _is_own(self, site: Site, text: str) -> bool:
        speaking = [speech.text for speech in site.speeches.values()]
        return self._echo.is_own(site.site_id, text, speaking)

    def _listens(self, site_id: str) -> bool:
        return self.may_listen(self._hearing.site(site_id))

    def _control(self, site: Site, order: PlaybackControl) -> None:
        self._bus.publish(PLAYBACK_CONTROL, order, site_id=site.site_id)

    # What nobody tells

    async def tend(self) -> None:
        """Look after every site, for ever: partners die without a word."""
        while True:
            await asyncio.sleep(TEND_S)
            self._echo.forget_old()
            self._look_for_satellites()
            if self._bus.presence.is_gone("stt"):
                self._lose_windows()
            for site in self._hearing:
                self._tend_site(site)

    def _tend_site(self, site: Site) -> None:
        if site.window is not None and _now() > site.window.overdue_at:
            self._lose_window(site)
        orphaned = site.hold.listening and site.window is None and not site.arriving
        if orphaned and not any(turn.voice for turn in site.turns):
            self._hearing.resume(site, wanted=False)
        self._look_at(site)

    def _look_for_satellites(self) -> None:
        if not self._bus.connected:
            return
        since = _now() - SATELLITE_SILENT_AFTER_S
        for site in self._hearing:
            was_away, site.away = site.away, self._beats.get(site.satellite, since) < since
            if site.away and not was_away:
                self._lose_satellite(site)
            elif was_away and not site.away:
                self.on_change(site)

    def _lose_satellite(self, site: Site) -> None:
        log.warning("satellite.gone", site_id=site.site_id)
        self._lose_window(site)
        self._hearing.lose(site)
        self.on_change(site)

    def _lose_windows(self) -> None:
        """The recogniser is gone, or another one now: it knows of no window."""
        for site in self._hearing:
            site.gated_until = 0.0
            if site.window is not None:
                site.not_before = _now() + AGAIN_AFTER_S
                self._lose_window(site)

    def _lose_window(self, site: Site) -> None:
        self._speculation.withdraw(site.site_id)
        self.windows.close(site, "lost")
        site.follow_up_due = False
        self._hearing.resume(site, wanted=False)
        self.on_change(site)


def _now() -> float:
    return asyncio.get_running_loop().time()
