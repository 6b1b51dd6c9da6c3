"""Push to talk: one recording at a time, sent whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal, Protocol

import numpy as np
from antiphon_audio import Pcm, resample, wav
from antiphon_contracts import (
    AntiphonError,
    CaptureControl,
    CaptureStatus,
    Message,
)
from antiphon_runtime import running

from antiphon_satellite.service.ports import Microphone, Notes, Samples

RATE_HZ = 16_000
OPEN_S = 5.0
SEND_S = 10.0
PATIENCE_S = 2.0
MAX_UNSENT = 4
MAX_RATE_HZ = 192_000

MUTED = "The microphone is muted; `antiphon unmute` lets it listen again."

State = Literal["started", "sent", "discarded", "failed"]


class Mouth(Protocol):
    """What must be silent while the microphone listens."""

    def hold(self) -> None:
        """Stop, and begin nothing new."""

    def release(self) -> None:
        """Go on."""


class Recording:
    """The `Sink` of one recording; it is full after `max_s` of sound."""

    def __init__(self, utterance_id: str, max_s: float) -> None:
        self.utterance_id = utterance_id
        self.max_s = max_s
        self.discarded = False
        self.detail = ""
        self.opened = asyncio.Event()
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._pieces: list[Samples] = []
        self._count = 0
        self._rate_hz = 0

    def attach(self, rate_hz: int) -> None:
        """See the port."""
        self._rate_hz = rate_hz
        self.opened.set()
        if self._is_full():
            self.over.set()

    def push(self, samples: Samples) -> None:
        """See the port."""
        if self._is_full():
            return
        self._pieces.append(samples)
        self._count += len(samples)
        if self._is_full():
            self._loop.call_soon_threadsafe(self.over.set)

    def _is_full(self) -> bool:
        return self._count >= self.max_s * (self._rate_hz or MAX_RATE_HZ)

    @property
    def audio_ms(self) -> int:
        """Sound recorded so far."""
        if not self._rate_hz:
            return 0
        return min(round(1000 * self._count / self._rate_hz), round(1000 * self.max_s))

    def encoded(self) -> bytes:
        """Return the recording as a WAV at 16 kHz; empty bytes if there is no sound."""
        if not self._pieces or not self._rate_hz:
            return b""
        samples = np.concatenate(self._pieces)[: round(self.max_s * self._rate_hz)]
        return wav.wrap(resample(Pcm(samples, self._rate_hz), RATE_HZ))


class Capture:
    """What one site's microphone records on demand.

    The device is open only while a recording goes on.

    Args:
        microphone: the device.
        mouth: held silent meanwhile.
        report: publishes a status.
        send: publishes a recording (id, WAV); done when the broker has it. What still waits for a
            broker is taken back by cancelling.
        health: hears when the device fails.
    """

    def __init__(
        self,
        microphone: Microphone,
        mouth: Mouth,
        *,
        report: Callable[[CaptureStatus], None],
        send: Callable[[str, bytes], asyncio.Future[None]],
        health: Notes,
    ) -> None:
        self._microphone = microphone
        self._mouth = mouth
        self._report = report
        self._send = send
        self._health = health
        self._muted = False
        self._recording: Recording | None = None
        self._begun = asyncio.Event()
        self._finished: asyncio.Queue[Recording] = asyncio.Queue(MAX_UNSENT)
        self._on_its_way: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Record when asked to while the block runs."""
        async with running(capture=self._serve(), capture_post=self._post()):
            yield

    async def on_control(self, message: Message[CaptureControl]) -> None:
        """Obey `capture/<site>/control`."""
        order = message.data
        if order.action == "start":
            self._start(order)
            return
        recording = self._recording
        if recording is None or recording.utterance_id != order.utterance_id:
            self._say(order.utterance_id, "failed", detail="It is not being recorded.")
            return
        recording.discarded = order.action == "discard"
        recording.over.set()

    def mute(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        """Record and send nothing, from now on; or do so again.

        What is being recorded, or has not been sent yet, is thrown away.
        """
        self._muted = muted
        for sent in tuple(self._on_its_way) if muted else ():
            sent.cancel()
        recording = self._recording
        if muted and recording is not None:
            recording.discarded = True
            recording.detail = MUTED
            recording.over.set()

    def _start(self, order: CaptureControl) -> None:
        if self._muted:
            self._say(order.utterance_id, "failed", detail=MUTED)
            return
        if self._recording is not None:
            self._say(order.utterance_id, "failed", detail="already recording")
            return
        self._recording = Recording(order.utterance_id, order.max_s)
        self._mouth.hold()
        self._begun.set()

    async def _serve(self) -> None:
        while True:
            await self._begun.wait()
            self._begun.clear()
            recording = self._recording
            if recording is None:
                continue
            try:
                if not recording.over.is_set():
                    await self._record(recording)
            except AntiphonError as error:
                self._health.note("microphone", str(error))
                self._say_of(recording, "failed", str(error))
            except asyncio.CancelledError:
                self._say_of(recording, "failed", "The satellite is stopping.")
                raise
            else:
                await self._finished.put(recording)
            finally:
                self._recording = None
                self._mouth.release()

    async def _record(self, recording: Recording) -> None:
        async with running(microphone=self._microphone.record(recording)):
            try:
                async with asyncio.timeout(OPEN_S):
                    await recording.opened.wait()
                self._health.clear_note("microphone")
                self._say_of(recording, "started")
                # Sound ends the recording; the timer is for a device that gives none.
                async with asyncio.timeout(recording.max_s + PATIENCE_S):
                    await recording.over.wait()
            except TimeoutError:
                return

    async def _post(self) -> None:
        """Send what is recorded; meanwhile the next recording may begin."""
        while True:
            recording = await self._finished.get()
            if self._muted:
                self._say_of(recording, "discarded", MUTED)
            elif recording.discarded:
                self._say_of(recording, "discarded", recording.detail)
            else:
                await self._deliver(recording)

    async def _deliver(self, recording: Recording) -> None:
        payload = await asyncio.to_thread(recording.encoded)
        if not payload:
            self._say_of(recording, "failed", "No sound came from the microphone.")
            return
        if self._muted:
            self._say_of(recording, "discarded", MUTED)
            return
        try:
            sent = self._send(recording.utterance_id, payload)
        except AntiphonError as refused:
            self._say_of(recording, "failed", str(refused))
            return
        self._on_its_way.add(sent)
        sent.add_done_callback(self._on_its_way.discard)
        # Not given up after that: it may still be on its way.
        await asyncio.wait((sent,), timeout=SEND_S)
        if not sent.done():
            self._say_of(recording, "sent", "The broker has not confirmed it yet.")
        elif sent.cancelled():
            self._say_of(recording, "discarded", MUTED)
        elif (error := sent.exception()) is not None:
            self._say_of(recording, "failed", str(error))
        else:
            self._say_of(recording, "sent")

    def _say_of(self, recording: Recording, state: State, detail: str = "") -> None:
        self._say(recording.utterance_id, state, audio_ms=recording.audio_ms, detail=detail)

    def _say(self, utterance_id: str, state: State, *, audio_ms: int = 0, detail: str = "") -> None:
        self._report(
            CaptureStatus(utterance_id=utterance_id, state=state, audio_ms=audio_ms, detail=detail)
        )
