"""Live listening: a window at a site, opened by order, is answered with one final."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog
from antiphon_contracts import (
    ContractError,
    EngineError,
    Message,
    Rejection,
    SiteStatus,
    SttControl,
    SttFinal,
    SttPartial,
)
from antiphon_runtime import ModelThread, RawMessage, running

from antiphon_stt.follower import LiveRules, VoiceStream
from antiphon_stt.guess import Guesser
from antiphon_stt.recogniser import Recogniser
from antiphon_stt.site_ear import RATE_HZ, SiteEar
from antiphon_stt.turn_detector import TurnDetector
from antiphon_stt.window import Tools, Window

STORED_IDS = 256
FORGET_S = 60.0
NOTED_S = 10.0
MAX_DEAF_S = 600.0
BEHIND_MS = 500
"""So long after the end of a wake phrase an order comes, where its place cannot be found."""
PHRASE_MS = 800
_SAMPLES_PER_MS = RATE_HZ // 1000

log = structlog.get_logger(__name__)


class VoiceDetector(Protocol):
    """Detects voices; `antiphon_audio.Vad` is one."""

    def stream(self) -> VoiceStream:
        """Begin with a stream of sound."""
        ...


class Voice(Protocol):
    """Tells the world what is heard."""

    def say(self, site_id: str, partial: SttPartial) -> object:
        """Send a partial."""
        ...

    def finish(self, site_id: str, final: SttFinal) -> object:
        """Send a final."""
        ...


class Notes(Protocol):
    """Says that the worker works with less, and why."""

    def note(self, name: str, sentence: str, *, for_s: float) -> None:
        """Say so for a while."""
        ...


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """How much live listening is taken on.

    Attributes:
        max_sites: sites whose sound is kept.
        max_waiting: transcriptions that may wait; more are told busy.
        timeout_s: how long one may take, waiting included.
    """

    max_sites: int = 32
    max_waiting: int = 8
    timeout_s: float = 20.0


class LiveService:
    """Listens at sites.

    Args:
        recogniser: the engine, loaded elsewhere.
        open_detector: loads what detects voices.
        turns: tells whether somebody has finished.
        voice: where partials and finals go.
        notes: hears of sites that are not listened to well; None is nobody.
        rules: how speech is listened to.
        limits: how much is taken on.
        language: ISO 639-1 code of what is spoken; None lets the engine find out.
        prompt: words to expect.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        open_detector: Callable[[], VoiceDetector],
        turns: TurnDetector,
        voice: Voice,
        *,
        notes: Notes | None = None,
        rules: LiveRules | None = None,
        limits: LiveLimits | None = None,
        language: str | None = None,
        prompt: str = "",
    ) -> None:
        self._recogniser = recogniser
        self._open_detector = open_detector
        self._turns = turns
        self._voice = voice
        self._notes = notes
        self._rules = rules or LiveRules()
        self._limits = limits or LiveLimits()
        self._language = language
        self._prompt = prompt
        self._ears: dict[str, SiteEar] = {}
        self._windows: dict[str, Window] = {}
        self._answered: OrderedDict[tuple[str, str], None] = OrderedDict()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load what detects voices; orders can be taken while the block runs."""
        limits = self._limits
        with ModelThread("stt-live", queue_limit=4 * limits.max_sites) as thread:
            detector = await thread.call(self._open_detector)
            await thread.call(self._turns.load)
            guesser = Guesser(
                self._recogniser,
                self._turns,
                thread,
                language=self._language,
                prompt=self._prompt,
                timeout_s=limits.timeout_s,
                max_waiting=limits.max_waiting,
            )
            self._tools = Tools(
                self._rules, thread, detector.stream, self._turns, guesser, self._voice.say
            )
            async with guesser.lifespan(), running() as self._group:
                try:
                    yield
                finally:
                    for window in self._windows.values():
                        window.close("cancelled", "The speech recogniser stops.")

    async def on_frame(self, message: RawMessage) -> None:
        """Take a microphone's frame.

        Raises:
            ContractError: it is none.
        """
        now = _now()
        site_id = message.site_id
        ear = self._ear(site_id, now)
        piece = None if ear is None else ear.hear(message.payload, now)
        window = self._windows.get(site_id)
        if piece is not None and window is not None:
            window.push(piece, now)
        if ear is not None and ear.is_shared(now):
            self._note(
                f"shared:{site_id}",
                f"Two microphones send from the site {site_id!r}: start one of the satellites "
                "with another --site.",
            )

    async def on_control(self, message: Message[SttControl]) -> None:
        """Obey an order.

        Raises:
            ContractError: it names no utterance.
        """
        order, site_id = message.data, message.site_id
        log.info("live.order", site_id=site_id, action=order.action, reason=order.reason)
        if order.action == "listen":
            if not order.utterance_id:
                raise ContractError("An order to listen names the utterance that it awaits.")
            self._listen(site_id, order)
        elif order.action == "stop":
            window = self._windows.get(site_id)
            if window and order.utterance_id in {"", window.order.utterance_id}:
                window.close("cancelled", "The window was closed by order.")
        elif (ear := self._ear(site_id, _now())) is not None:
            wanted = MAX_DEAF_S if order.window_s is None else order.window_s
            ear.deafen(min(wanted, MAX_DEAF_S))

    async def on_site_status(self, message: Message[SiteStatus]) -> None:
        """A site that sends nothing more is not waited for, and forgotten."""
        status, site_id = message.data, message.site_id
        if status.streaming and not status.muted:
            return
        window = self._windows.get(site_id)
        if window is not None:
            window.close("lost", "The site's microphone was switched off.")
        self._ears.pop(site_id, None)

    def _listen(self, site_id: str, order: SttControl) -> None:
        open_window = self._windows.get(site_id)
        key = (site_id, order.utterance_id)
        if key in self._answered or (
            open_window is not None and open_window.order.utterance_id == order.utterance_id
        ):
            log.info("live.order_repeated", utterance_id=order.utterance_id)
            return
        if open_window is not None:
            open_window.close("cancelled", "Another window was opened.")
        now = _now()
        ear = self._ear(site_id, now)
        if ear is None:
            detail = "Too many sites speak at once: say it again in a moment."
            self._finish(site_id, _rejected(order, "busy", detail))
            return
        window = self._windows[site_id] = self._open(order, site_id, ear, now)
        self._group.create_task(self._answer(window), name=f"stt-window-{order.utterance_id}")

    def _open(self, order: SttControl, site_id: str, ear: SiteEar, now: float) -> Window:
        start, phrase_begin = _places(order, ear)
        window = Window(order, site_id, start, phrase_begin, self._tools, now)
        for piece in ear.since(window.earliest):
            window.push(piece, now, is_past=True)
        return window

    async def _answer(self, window: Window) -> None:
        """See that the window gets one final, whatever happens."""
        detail = "The utterance could not be worked on to the end: say it again."
        final = _rejected(window.order, "engine", detail)
        try:
            final = await window.listen()
        except EngineError as error:
            final = _rejected(window.order, "engine", str(error))
        except Exception as error:
            log.exception("live.crashed", error=type(error).__name__)
        finally:
            if self._windows.get(window.site_id) is window:
                del self._windows[window.site_id]
            self._finish(window.site_id, final)

    def _finish(self, site_id: str, final: SttFinal) -> None:
        self._answered[site_id, final.utterance_id] = None
        if len(self._answered) > STORED_IDS:
            self._answered.popitem(last=False)
        log.info(
            "live.final",
            utterance_id=final.utterance_id,
            site_id=site_id,
            rejected=final.rejected,
            speech_ms=final.speech_ms,
            transcribe_ms=final.transcribe_ms,
            endpoint_ms=final.endpoint_ms,
            final_ms=final.final_ms,
        )
        self._voice.finish(site_id, final)

    def _note(self, name: str, sentence: str) -> None:
        if self._notes is not None:
            self._notes.note(name, sentence, for_s=NOTED_S)

    def _ear(self, site_id: str, now: float) -> SiteEar | None:
        """The site's ear; None if there are too many."""
        ear = self._ears.get(site_id)
        if ear is not None:
            return ear
        idle = [
            name
            for name, known in self._ears.items()
            if name not in self._windows and now - known.heard_at > FORGET_S
        ]
        for name in idle:
            del self._ears[name]
        if len(self._ears) >= self._limits.max_sites:
            self._note(
                "sites",
                f"The site {site_id!r} is not listened to: more than {self._limits.max_sites} "
                "sites send sound (max_sites in [stt]).",
            )
            return None
        ear = self._ears[site_id] = SiteEar(now)
        return ear


def _places(order: SttControl, ear: SiteEar) -> tuple[int, int | None]:
    """Where to begin to listen, and where the wake phrase begins, in samples."""
    end = ear.end or 0
    start = end if order.start_ms is None else order.start_ms * _SAMPLES_PER_MS
    length_ms = PHRASE_MS
    if order.start_ms is not None and order.phrase_begin_ms is not None:
        length_ms = max(0, order.start_ms - order.phrase_begin_ms)
    if order.start_ms is not None and not ear.knows(order.stream, start):
        # The order came some time after what it means, on a clock that is not this stream's.
        start = max(ear.begin, end - BEHIND_MS * _SAMPLES_PER_MS) if order.phrase else end
    if not order.phrase:
        return start, None
    return start, max(0, start - length_ms * _SAMPLES_PER_MS)


def _rejected(order: SttControl, reason: Rejection, detail: str) -> SttFinal:
    return SttFinal(
        utterance_id=order.utterance_id, rejected=reason, detail=detail, reason=order.reason
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
