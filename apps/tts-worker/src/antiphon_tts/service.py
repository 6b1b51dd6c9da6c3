"""Speech: clauses in, frames of sound out, one utterance at a time for each site.

`Speech.on_say`, `on_prepare` and `on_cancel` only take note; `Speech.speak` and `prepare` do the
work in the background.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog
from antiphon_audio import Pcm, split, wav
from antiphon_contracts import (
    AntiphonError,
    EngineError,
    Message,
    TtsCancel,
    TtsPrepare,
    TtsSay,
    TtsStatus,
)

from antiphon_tts.preparations import FORGOTTEN_AFTER_S
from antiphon_tts.utterance import Address, Clause, Utterance
from antiphon_tts.voice import Voice

log = structlog.get_logger(__name__)

FRAME_MS = 80
END_OF_AUDIO = b""

_REMEMBERED = 1024
# A minute of speech is made in three seconds. Frames leave in small handfuls with a breath between
# them, at up to 128 times the speed of speech, so that a receiver's bounded queue keeps up.
_HANDFUL_FRAMES = 8
_BREATH_S = 0.005

End = Literal["synthesised", "cancelled", "failed"]
Key = tuple[str, str]


class Outlet(Protocol):
    """Where sound and its status go."""

    def frame(self, address: Address, payload: bytes) -> Awaitable[None]:
        """Start to send a frame; waiting for it raises BusError if it cannot be sent."""

    def status(self, address: Address, status: TtsStatus) -> None:
        """Say what becomes of an utterance."""


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """How long is waited and how much may wait; see the settings of the same names."""

    gap_timeout_s: float = 5.0
    idle_timeout_s: float = 60.0
    chunk_timeout_s: float = 30.0
    max_utterances: int = 64
    max_clauses: int = 2_000
    max_chars: int = 100_000


class Speech:
    """All utterances that are being said or wait for it."""

    def __init__(self, outlet: Outlet, limits: SpeechLimits) -> None:
        self._outlet = outlet
        self._limits = limits
        self._open: dict[Key, Utterance] = {}  # in order of arrival
        self._ended: OrderedDict[Key, None] = OrderedDict()
        self._speaking: dict[str, Utterance] = {}  # by site
        self._scopes: dict[Key, asyncio.Timeout] = {}
        self._news = asyncio.Event()
        self._to_prepare: TtsPrepare | None = None
        self._prepare_by = 0.0
        self._preparable = asyncio.Event()

    # What comes in

    async def on_say(self, message: Message[TtsSay]) -> None:
        """Queue a clause; what belongs to an ended utterance is dropped."""
        say, now = message.data, _now()
        address = Address(message.site_id, say.utterance_id, message.turn_id)
        if address.key in self._ended:
            log.debug("say.after_end", utterance_id=say.utterance_id, seq=say.seq)
            return
        utterance = self._open.get(address.key)
        if utterance is None:
            utterance = self._begin(address, say.priority, now)
        if not self._has_room_for(say):
            self._end(utterance, "failed", "Too much is waiting to be said; try again later.")
            return
        clause = Clause(say.seq, say.text, say.last, say.voice, say.speed)
        if _same_sound(self._to_prepare, say):
            self._to_prepare = None  # it would come too late
        if not utterance.add(clause, now):
            log.info("say.repeated", utterance_id=say.utterance_id, seq=say.seq)
        self._news.set()

    def _begin(self, address: Address, priority: int, now: float) -> Utterance:
        utterance = Utterance(
            address, priority, now, self._limits.gap_timeout_s, self._limits.idle_timeout_s
        )
        self._open[address.key] = utterance
        return utterance

    def _has_room_for(self, say: TtsSay) -> bool:
        waiting = self._open.values()
        return (
            len(self._open) <= self._limits.max_utterances
            and sum(u.waiting_clauses for u in waiting) < self._limits.max_clauses
            and sum(u.waiting_chars for u in waiting) + len(say.text) <= self._limits.max_chars
        )

    async def on_prepare(self, message: Message[TtsPrepare]) -> None:
        """Make a clause ready when nothing is spoken; one that still waits is forgotten for it."""
        self._to_prepare = message.data
        self._prepare_by = _now() + FORGOTTEN_AFTER_S
        self._preparable.set()

    async def on_cancel(self, message: Message[TtsCancel]) -> None:
        """Stop an utterance of the envelope's site, or all of them, at once.

        The cancel of an utterance that was not heard of is kept: it will not be spoken.
        """
        site_id, utterance_id = message.site_id, message.data.utterance_id
        if utterance_id is None:
            for utterance in [u for u in self._open.values() if u.address.site_id == site_id]:
                self._end(utterance, "cancelled")
            return
        key = (site_id, utterance_id)
        if key in self._open:
            self._end(self._open[key], "cancelled")
        elif key not in self._ended:
            self._remember(key)
            address = Address(site_id, utterance_id, message.turn_id)
            self._outlet.status(address, TtsStatus(utterance_id=utterance_id, state="cancelled"))

    # The end of an utterance

    def _end(self, utterance: Utterance, state: End, detail: str = "") -> None:
        """End the audio, say how it ended, and forget the utterance; once."""
        if utterance.closed:
            return
        utterance.closed = True
        address = utterance.address
        self._open.pop(address.key, None)
        self._remember(address.key)
        if self._speaking.get(address.site_id) is utterance:
            del self._speaking[address.site_id]
        self._outlet.frame(address, END_OF_AUDIO)
        self._outlet.status(address, self._status(utterance, state, detail))
        scope = self._scopes.get(address.key)
        if scope is not None and not scope.expired():
            scope.reschedule(_now())
        log.info(
            "utterance.ended",
            utterance_id=address.utterance_id,
            state=state,
            audio_ms=round(utterance.audio_ms),
            skipped=utterance.skipped,
            detail=detail,
        )
        self._news.set()

    def _status(
        self, utterance: Utterance, state: Literal["started"] | End, detail: str = ""
    ) -> TtsStatus:
        first = utterance.first_audio_ms
        return TtsStatus(
            utterance_id=utterance.address.utterance_id,
            state=state,
            seq=utterance.taken_seq,
            audio_ms=round(utterance.audio_ms),
            first_audio_ms=None if first is None else round(first, 1),
            detail=detail,
        )

    def _remember(self, key: Key) -> None:
        self._ended[key] = None
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def end_all(self) -> None:
        """End everything that is open, as failed: the worker stops."""
        for utterance in list(self._open.values()):
            self._end(utterance, "failed", "The voice was stopped.")

    # Speaking

    async def speak(self, voice: Voice) -> None:
        """Speak what is queued, for ever; each task that runs this speaks to one site at a time."""
        while True:
            utterance = await self._choose()
            address = utterance.address
            structlog.contextvars.bind_contextvars(turn_id=address.turn_id, site_id=address.site_id)
            try:
                await self._speak_all(voice, utterance)
            finally:
                if self._speaking.get(address.site_id) is utterance:
                    del self._speaking[address.site_id]

    async def prepare(self, voice: Voice) -> None:
        """Make ready what is asked for while nothing is spoken, one clause at a time, for ever."""
        while True:
            await self._preparable.wait()
            while not voice.idle.is_set():
                await voice.idle.wait()
            wanted, self._to_prepare = self._to_prepare, None
            self._preparable.clear()
            if wanted is not None and _now() < self._prepare_by:
                await self._prepare(voice, wanted)

    async def _prepare(self, voice: Voice, wanted: TtsPrepare) -> None:
        """Make one clause ready: a boundary of queued work. Should it fail, `speak` tells of it."""
        try:
            await voice.prepare(Clause(0, wanted.text, voice=wanted.voice, speed=wanted.speed))
        except Exception as error:  # noqa: BLE001  (nobody waits for it, and speaking goes on)
            log.debug("prepare.failed", error=type(error).__name__)

    async def _choose(self) -> Utterance:
        """Wait for an utterance that has something to say at a site that is quiet."""
        while True:
            now = _now()
            quiet = [u for u in self._open.values() if u.address.site_id not in self._speaking]
            ready = [u for u in quiet if u.due_at() <= now]
            if ready:
                # max() keeps the first of equals, and so the order of arrival.
                chosen = max(ready, key=lambda utterance: utterance.priority)
                self._speaking[chosen.address.site_id] = chosen
                return chosen
            await self._wait_news(min((u.due_at() for u in quiet), default=None))

    async def _wait_news(self, until: float | None) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._news.wait()
        except TimeoutError:
            return

    async def _speak_all(self, voice: Voice, utterance: Utterance) -> None:
        while not utterance.closed:
            if utterance.due_at() > _now():
                await self._wait_news(utterance.due_at())
                continue
            skipped = utterance.skipped
            clause = utterance.take(_now())
            if utterance.skipped > skipped:
                log.warning("say.clauses_missing", lost=utterance.skipped - skipped)
            if clause is None:
                silent = "" if utterance.is_complete else "The end of the answer never came."
                self._end(utterance, "synthesised", silent)
                return
            await self._speak_or_fail(voice, utterance, clause)

    async def _speak_or_fail(self, voice: Voice, utterance: Utterance, clause: Clause) -> None:
        """Speak one clause: the boundary of queued work, where every error becomes a status."""
        try:
            async with aclosing(voice.speak(clause)) as pieces:
                while await self._send_next(pieces, utterance):
                    pass
        except AntiphonError as error:
            log.warning("speech.failed", error=type(error).__name__, detail=str(error))
            self._end(utterance, "failed", str(error))
        except Exception as error:
            log.exception("speech.crashed")
            self._end(utterance, "failed", f"The voice broke down ({type(error).__name__}).")

    async def _send_next(self, pieces: AsyncGenerator[Pcm, None], utterance: Utterance) -> bool:
        """Send the next piece of sound; false when there is none or the utterance has ended."""
        key = utterance.address.key
        try:
            async with asyncio.timeout(self._limits.chunk_timeout_s) as scope:
                self._scopes[key] = scope  # `_end` pulls it in, and so interrupts what follows
                piece = await anext(pieces, None)
                if piece is not None:
                    await self._send(utterance, piece)
        except TimeoutError:
            if utterance.closed:
                return False
            msg = "The voice took too long for a piece of the answer."
            raise EngineError(msg, retryable=True) from None
        finally:
            self._scopes.pop(key, None)
        return piece is not None and not utterance.closed

    async def _send(self, utterance: Utterance, piece: Pcm) -> None:
        for number, frame in enumerate(split(piece, FRAME_MS), start=1):
            await self._outlet.frame(utterance.address, wav.wrap(frame))
            utterance.audio_ms += frame.duration_ms
            if utterance.first_audio_ms is None:
                utterance.first_audio_ms = 1000.0 * (_now() - utterance.begun_at)
                self._outlet.status(utterance.address, self._status(utterance, "started"))
            if number % _HANDFUL_FRAMES == 0:
                await asyncio.sleep(_BREATH_S)


def _same_sound(prepare: TtsPrepare | None, say: TtsSay) -> bool:
    if prepare is None or say.seq > 0:
        return False
    return (prepare.text, prepare.voice, prepare.speed) == (say.text, say.voice, say.speed)


def _now() -> float:
    return asyncio.get_running_loop().time()
