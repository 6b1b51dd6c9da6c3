"""Playback: utterances in the order of their first frame, one at a time, and the truth about each.

Status `played_ms`: for `finished` everything, reported once it has been heard; for `stopped` what
the device had taken, because that much still sounds; for `failed` what had left the device when it
was lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import structlog
from antiphon_audio import Pcm, wav
from antiphon_contracts import (
    ContractError,
    EngineError,
    Message,
    PlaybackControl,
    PlaybackStatus,
)
from antiphon_runtime import RawMessage, running

from antiphon_satellite.service.limits import PlaybackLimits
from antiphon_satellite.service.playout import Playout
from antiphon_satellite.service.ports import Notes, Speaker
from antiphon_satellite.service.utterance import Utterance

RATES_HZ = range(1_000, 192_001)
MAX_ID_CHARS = 128
MAX_WAITING = 64
MAX_REMEMBERED = 512
MAX_REOPEN_S = 30.0

State = Literal["started", "finished", "stopped", "failed"]

log = structlog.get_logger(__name__)


class Playback:
    """What one site's speaker plays.

    Args:
        speaker: the device.
        report: publishes a status.
        health: hears when the device is lost and found.
        limits: times and sizes.
        volume: the volume at the start, 0 to 1.
        counters: counts what was dropped.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        speaker: Speaker,
        report: Callable[[PlaybackStatus], None],
        health: Notes,
        limits: PlaybackLimits | None = None,
        *,
        volume: float = 1.0,
        counters: Counter[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._speaker = speaker
        self._report = report
        self._health = health
        self._limits = limits or PlaybackLimits()
        self._counters = Counter[str]() if counters is None else counters
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._attached = asyncio.Event()
        self._playout = Playout(self._stir, self._on_attach, clock=clock)
        self._waiting: OrderedDict[str, Utterance] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()
        self._current: Utterance | None = None
        self._trouble = ""
        self._lost_ms = 0
        self._primed_at_s: float | None = None
        self._paused_at_s: float | None = None
        self._to_pause: str | None = None
        self._held = False
        self._volume, self._duck = volume, 1.0
        self._set_gain()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Play while the block runs."""
        async with running(speaker=self._drive(), playback=self._serve()):
            yield

    # What comes in

    async def on_frame(self, message: RawMessage) -> None:
        """Take a frame of `audio/<site>/out/<utterance>`; an empty one ends the utterance."""
        utterance_id = message.slots["utterance"]
        if len(utterance_id) > MAX_ID_CHARS:
            self._counters["frames_malformed"] += 1
            return
        if utterance_id in self._over:
            self._counters["frames_ignored"] += 1
            return
        pcm = None
        if message.payload:
            pcm = self._decoded(message.payload)
            if pcm is None:
                return
        utterance = self._utterance(utterance_id)
        if utterance is None:
            return
        if pcm is None:
            utterance.ended = True
        else:
            self._store(utterance, pcm)
        self._changed.set()

    def _decoded(self, payload: bytes) -> Pcm | None:
        try:
            pcm = wav.unwrap(payload)
        except ContractError as error:
            self._counters["frames_malformed"] += 1
            log.debug("playback.frame_malformed", reason=str(error))
            return None
        if pcm.rate_hz not in RATES_HZ:
            self._counters["frames_malformed"] += 1
            return None
        return pcm

    def _utterance(self, utterance_id: str) -> Utterance | None:
        current = self._current
        if current is not None and current.utterance_id == utterance_id and not current.ended:
            return current
        known = self._waiting.get(utterance_id)
        if known is None:
            if len(self._waiting) >= MAX_WAITING:
                self._finish(utterance_id, "failed", 0, "Too many answers wait to be played.")
                return None
            known = self._waiting[utterance_id] = Utterance(utterance_id, self._clock())
        return known

    def _store(self, utterance: Utterance, pcm: Pcm) -> None:
        waiting = [*self._waiting.values(), *([self._current] if self._current else [])]
        held = sum(each.waiting_bytes for each in waiting)
        if held + pcm.samples.nbytes > self._limits.buffer_bytes:
            self._counters["frames_overflow"] += 1
            utterance.detail = "Too much sound came at once; some of it was dropped."
            return
        utterance.add(pcm, self._clock())

    async def on_control(self, message: Message[PlaybackControl]) -> None:
        """Obey `playback/<site>/control`.

        Raises:
            ContractError: `volume` without a volume.
        """
        order = message.data
        if order.action == "stop":
            self.stop(order.utterance_id)
        elif order.action == "volume":
            if order.volume is None:
                msg = "The order to set the volume lacks the volume, 0 to 1."
                raise ContractError(msg)
            self._volume, self._duck = order.volume, 1.0
            self._set_gain()
        elif order.action == "duck":
            self._duck = self._limits.duck_volume if order.volume is None else order.volume
            self._set_gain()
        elif order.action == "pause":
            self._pause(order.utterance_id)
        else:
            self._resume(order.utterance_id)

    def stop(self, utterance_id: str | None = None) -> None:
        """Cut an utterance short, or all; what comes of it later is ignored.

        The device gets no further sample from its next pull on.
        """
        for waiting in [utterance_id] if utterance_id else list(self._waiting):
            if self._waiting.pop(waiting, None) is not None:
                self._finish(waiting, "stopped", 0)
        current = self._current
        if current is not None and utterance_id in {None, current.utterance_id}:
            current.stopped = True
            current.clear()
            self._playout.cut()
            self._ignore(current.utterance_id)
        if utterance_id in {None, self._to_pause}:
            self._to_pause = None
        if utterance_id is not None:
            self._ignore(utterance_id)
        self._changed.set()

    def hold(self) -> None:
        """Stop everything, and begin nothing new until `release`."""
        self._held = True
        self.stop()

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        self._changed.set()

    def _pause(self, utterance_id: str | None) -> None:
        current = self._current
        if current is not None and utterance_id in {None, current.utterance_id}:
            self._playout.pause()
            if self._paused_at_s is None:
                self._paused_at_s = self._clock()
            self._changed.set()
        elif utterance_id is not None and utterance_id not in self._over:
            # Its first frame is still on the way, or it waits behind another.
            self._to_pause = utterance_id
        else:
            # A pause while nothing plays must not silence the next answer.
            self._counters["pauses_ignored"] += 1

    def _resume(self, utterance_id: str | None) -> None:
        # Whatever is named: an answer that ended while ducked must not leave the next one so.
        self._duck = 1.0
        self._set_gain()
        current = self._current
        if utterance_id in {None, self._to_pause}:
            self._to_pause = None
        if current is not None and utterance_id in {None, current.utterance_id}:
            self._paused_at_s = None
            self._playout.resume()
        self._changed.set()

    def _set_gain(self) -> None:
        self._playout.set_gain(self._volume * self._duck)

    # The device

    async def _drive(self) -> None:
        """Keep the device open, for ever."""
        pause_s = self._limits.reopen_s
        while True:
            try:
                await self._speaker.play(self._playout)
                self._trouble = f"The speaker {self._speaker.name} ended by itself."
            except EngineError as error:
                self._trouble = str(error)
            finally:
                self._lose_current()
            if self._attached.is_set():
                pause_s = self._limits.reopen_s
            self._attached.clear()
            log.warning("speaker.lost", device=self._speaker.name, reason=self._trouble)
            self._health.note("speaker", self._trouble)
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_REOPEN_S, 2 * pause_s)

    def _on_attach(self) -> None:
        self._attached.set()
        self._health.clear_note("speaker")

    def _lose_current(self) -> None:
        self._lost_ms = self._playout.heard_ms
        self._playout.detach()

    def _stir(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    # One utterance after the other

    async def _serve(self) -> None:
        while True:
            self._current = await self._next()
            self._primed_at_s = self._paused_at_s = None
            if self._to_pause == self._current.utterance_id:
                self._to_pause = None
                self._paused_at_s = self._clock()
            try:
                await self._play(self._current)
            finally:
                self._current = None
                self._playout.unload()

    async def _next(self) -> Utterance:
        while self._held or not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popitem(last=False)[1]

    async def _play(self, utterance: Utterance) -> None:
        try:
            async with asyncio.timeout(self._limits.device_wait_s):
                await self._attached.wait()
            self._playout.load(utterance.utterance_id, paused=self._paused_at_s is not None)
            state = await self._attend(utterance)
        except TimeoutError:
            state = "failed"
            utterance.detail = self._trouble or "The speaker does not open."
            self._lost_ms = 0
        except asyncio.CancelledError:
            # The device may have been closed before this task.
            played_ms = self._playout.taken_ms if self._playout.loaded else self._lost_ms
            self._finish(utterance.utterance_id, "stopped", played_ms, "The satellite is stopping.")
            raise
        played_ms = self._lost_ms if state == "failed" else self._playout.taken_ms
        self._finish(utterance.utterance_id, state, played_ms, utterance.detail)

    async def _attend(self, utterance: Utterance) -> State:
        """Feed the device until the utterance is over; look again whenever something changes."""
        announced = False
        starvations = 0
        while True:
            self._changed.clear()
            if not announced and self._playout.started:
                announced = True
                self._say(utterance.utterance_id, "started", self._playout.heard_ms)
            if utterance.stopped:
                return "stopped"
            if not self._playout.loaded:
                utterance.detail = self._trouble or "The speaker was lost."
                return "failed"
            if self._playout.settled and not self._playout.unheard_s:
                return "finished"
            self._check_patience(utterance)
            self._feed(utterance)
            self._counters["playback_gaps"] += self._playout.starvations - starvations
            starvations = self._playout.starvations
            await self._wait(self._next_look_s(utterance))

    def _feed(self, utterance: Utterance) -> None:
        while self._playout.wanted and utterance.waits:
            self._playout.push(utterance.take(self._playout.rate_hz))
        if utterance.ended and not utterance.waits:
            self._playout.push(utterance.finish())
            self._playout.close()
        elif self._playout.flowing:
            self._primed_at_s = None
        elif self._playout.level_s:
            now_s = self._clock()
            self._primed_at_s = self._primed_at_s or now_s + self._limits.jitter_s
            if self._playout.level_s >= self._limits.jitter_s or now_s >= self._primed_at_s:
                self._primed_at_s = None
                self._playout.flow()

    def _check_patience(self, utterance: Utterance) -> None:
        now_s = self._clock()
        if not utterance.ended and now_s >= utterance.last_frame_s + self._limits.end_timeout_s:
            utterance.ended = True
            utterance.detail = "The end of the answer never came; what had come was played."
            self._counters["ends_missing"] += 1
            self._ignore(utterance.utterance_id)
        if self._paused_at_s is not None and now_s >= self._paused_at_s + self._limits.max_pause_s:
            self.stop(utterance.utterance_id)
            utterance.detail = "It was paused for too long."

    def _next_look_s(self, utterance: Utterance) -> float | None:
        """Seconds until something is due that no event tells of."""
        now_s = self._clock()
        due: list[float] = []
        if not utterance.ended:
            due.append(utterance.last_frame_s + self._limits.end_timeout_s)
        if self._primed_at_s is not None and not self._playout.flowing:
            due.append(self._primed_at_s)
        if self._paused_at_s is not None:
            due.append(self._paused_at_s + self._limits.max_pause_s)
        if self._playout.settled:
            due.append(now_s + self._playout.unheard_s)
        return max(0.001, min(due) - now_s) if due else None

    async def _wait(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    # What is said about it

    def _finish(self, utterance_id: str, state: State, played_ms: int, detail: str = "") -> None:
        if state != "finished":
            self._ignore(utterance_id)
        self._say(utterance_id, state, played_ms, detail)

    def _say(self, utterance_id: str, state: State, played_ms: int, detail: str = "") -> None:
        self._report(
            PlaybackStatus(
                utterance_id=utterance_id, state=state, played_ms=played_ms, detail=detail
            )
        )

    def _ignore(self, utterance_id: str) -> None:
        self._over[utterance_id] = None
        self._over.move_to_end(utterance_id)
        while len(self._over) > MAX_REMEMBERED:
            self._over.popitem(last=False)
