"""Asking: sends a question, as text or as sound, and collects everything that comes back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from antiphon_audio import Pcm, wav
from antiphon_contracts import (
    ANSWER,
    ASK_SITE,
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    TTS_SAY,
    TTS_STATUS,
    BusError,
    CaptureControl,
    CaptureStatus,
    ContractError,
    EngineError,
    Message,
    PlainAnswer,
    RequestTimeout,
    Stage,
    TtsSay,
    TtsStatus,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, listen, listen_raw
from pydantic import ValidationError

from antiphon.house import open_bus

ANSWER_TIMEOUT_S = 75.0
AUDIO_TIMEOUT_S = 60.0
KEPT_UTTERANCES = 32


@dataclass
class HeardSpeech:
    """The audio of one spoken answer, as it came.

    Attributes:
        frames: in order.
        first_at: loop time of the first frame.
        last_at: loop time of the end mark.
        status: what the TTS worker said of it last.
        first_audio_ms: what the TTS worker took for the first frame.
    """

    frames: list[Pcm] = field(default_factory=list)
    first_at: float | None = None
    last_at: float | None = None
    status: TtsStatus | None = None
    first_audio_ms: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pcm(self) -> Pcm | None:
        """All of it in one piece; None if there is none."""
        if not self.frames:
            return None
        samples = np.concatenate([frame.samples for frame in self.frames])
        return Pcm(samples, self.frames[0].rate_hz)


@dataclass(frozen=True)
class Asked:
    """A question and what came of it.

    Attributes:
        answer: as the router published it, with further stages.
        speech: the answer's sound; None if it was not spoken.
        first_audio_ms: from the end of the question to the answer's first sound.
    """

    answer: PlainAnswer
    speech: Pcm | None
    first_audio_ms: float | None

    def as_json(self, audio: Path | None) -> dict[str, Any]:
        """Return the machine-readable form of `antiphon ask --json`."""
        return {
            "turn_id": self.answer.turn_id,
            "transcript": self.answer.transcript,
            "answer": self.answer.answer,
            "route": self.answer.route,
            "error": self.answer.error,
            "stages": [stage.model_dump() for stage in self.answer.stages],
            "speech_end_to_first_audio_ms": self.first_audio_ms,
            "audio": None if audio is None else str(audio),
        }


class Questioner:
    """Asks at one site.

    Args:
        bus: of its own, not yet open.
        site_id: where it asks.
    """

    def __init__(self, bus: Bus, site_id: str) -> None:
        self._bus = bus
        self.site_id = site_id
        self._answers: dict[str, asyncio.Future[PlainAnswer]] = {}
        self._captures: dict[str, asyncio.Future[CaptureStatus]] = {}
        self._speech: OrderedDict[str, HeardSpeech] = OrderedDict()

    @asynccontextmanager
    async def asking(self, timeout_s: float) -> AsyncIterator[Questioner]:
        """Connect; questions can be asked while the block runs.

        Raises:
            BusError: the broker does not answer within `timeout_s`.
        """
        site = self.site_id
        self._bus.install(
            [
                listen_raw(ANSWER.narrowed(site=site), self._on_answer),
                listen_raw(AUDIO_OUT.narrowed(site=site), self._on_frame, queue_limit=100_000),
                listen(TTS_STATUS, self._on_synthesis),
                listen(CAPTURE_STATUS.narrowed(site=site), self._on_capture),
            ]
        )
        async with open_bus(self._bus, timeout_s):
            yield self

    # What comes back

    async def _on_answer(self, message: RawMessage) -> None:
        try:
            answer = PlainAnswer.model_validate(orjson.loads(message.payload))
        except (ValidationError, orjson.JSONDecodeError) as error:
            msg = "an answer that is none"
            raise ContractError(msg) from error
        for key in (answer.id, answer.turn_id):
            future = self._answers.get(key or "")
            if future is not None and not future.done():
                future.set_result(answer)

    def _heard(self, utterance_id: str) -> HeardSpeech:
        speech = self._speech.get(utterance_id)
        if speech is None:
            speech = self._speech[utterance_id] = HeardSpeech()
            if len(self._speech) > KEPT_UTTERANCES:
                self._speech.popitem(last=False)
        return speech

    async def _on_frame(self, message: RawMessage) -> None:
        speech, now = self._heard(message.slots["utterance"]), asyncio.get_running_loop().time()
        if not message.payload:
            speech.last_at = now
            speech.ended.set()
            return
        if speech.first_at is None:
            speech.first_at = now
        speech.frames.append(wav.unwrap(message.payload))

    async def _on_synthesis(self, message: Message[TtsStatus]) -> None:
        if message.site_id != self.site_id:
            return
        speech = self._heard(message.data.utterance_id)
        speech.status = message.data
        if message.data.first_audio_ms is not None:
            speech.first_audio_ms = message.data.first_audio_ms
        if message.data.state == "failed":
            speech.ended.set()

    async def _on_capture(self, message: Message[CaptureStatus]) -> None:
        future = self._captures.get(message.data.utterance_id)
        if future is not None and not future.done() and message.data.state != "started":
            future.set_result(message.data)

    # Asking

    async def ask_text(self, text: str, *, speak: bool = True) -> Asked:
        """Ask a question in writing.

        Raises:
            RequestTimeout: nobody answered in time.
        """
        ask_id = new_id()
        payload = orjson.dumps({"text": text, "id": ask_id, "speak": speak})
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._bus.publish_raw(ASK_SITE, payload, ttl_s=ANSWER_TIMEOUT_S, site=self.site_id)
        return await self._collect(ask_id, begun)

    async def ask_recording(self, recording: bytes) -> Asked:
        """Ask a question as a recording: WAV, FLAC, OGG or MP3.

        Raises:
            RequestTimeout: nobody answered in time.
            BusError: it is larger than a message may be.
        """
        utterance_id = new_id()
        begun = asyncio.get_running_loop().time()
        sent = self._bus.publish_raw(
            AUDIO_UTTERANCE,
            recording,
            ttl_s=ANSWER_TIMEOUT_S,
            site=self.site_id,
            utterance=utterance_id,
        )
        sent.add_done_callback(lambda done: self._on_refused(utterance_id, done))
        return await self._collect(utterance_id, begun)

    async def dictate(self, text: str) -> Pcm:
        """Return a text as the TTS worker speaks it; nobody is asked anything.

        Raises:
            EngineError: it could not be spoken.
            RequestTimeout: its sound did not come in time.
        """
        utterance_id = new_id()
        clause = TtsSay(utterance_id=utterance_id, seq=0, text=text, last=True)
        self._bus.publish(TTS_SAY, clause, site_id=self.site_id)
        heard = await self.speech(utterance_id)
        if heard.pcm is None:
            msg = "there is nothing to hear in that text"
            raise EngineError(msg)
        return heard.pcm

    async def ask_microphone(self, stop: asyncio.Future[None], max_s: float) -> Asked:
        """Ask with the satellite's microphone, until `stop` is done or `max_s` have passed.

        Raises:
            EngineError: there is no microphone, or it failed.
            RequestTimeout: no satellite or nobody answered in time.
        """
        utterance_id = new_id()
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[CaptureStatus] = loop.create_future()
        self._captures[utterance_id] = sent
        self._order(utterance_id, "start", max_s)
        await asyncio.wait((stop, sent), timeout=max_s, return_when=asyncio.FIRST_COMPLETED)
        if not sent.done():
            self._order(utterance_id, "stop", max_s)
        begun = loop.time()
        try:
            async with asyncio.timeout(5.0):
                status = await sent
        except TimeoutError:
            msg = f"no satellite serves the site {self.site_id!r}: is one running?"
            raise RequestTimeout(msg) from None
        finally:
            del self._captures[utterance_id]
        if status.state != "sent":
            raise EngineError(status.detail or "the recording failed")
        return await self._collect(utterance_id, begun)

    def _order(self, utterance_id: str, action: Any, max_s: float) -> None:
        order = CaptureControl(action=action, utterance_id=utterance_id, max_s=max_s)
        self._bus.publish(CAPTURE_CONTROL, order, site_id=self.site_id, ttl_s=5.0)

    def _on_refused(self, key: str, sent: asyncio.Future[None]) -> None:
        error = None if sent.cancelled() else sent.exception()
        future = self._answers.get(key)
        if error is not None and future is not None and not future.done():
            future.set_exception(error)

    async def speech(self, utterance_id: str, timeout_s: float = AUDIO_TIMEOUT_S) -> HeardSpeech:
        """Return a spoken answer's sound when it is complete.

        Raises:
            EngineError: it could not be spoken.
            RequestTimeout: its sound did not come to an end in time.
        """
        heard = self._heard(utterance_id)
        try:
            async with asyncio.timeout(timeout_s):
                await heard.ended.wait()
        except TimeoutError:
            msg = f"the answer's sound was not complete within {timeout_s:g} s"
            raise RequestTimeout(msg) from None
        if heard.status is not None and heard.status.state == "failed" and not heard.frames:
            raise EngineError(heard.status.detail or "the answer could not be spoken")
        return heard

    async def _collect(self, key: str, begun: float) -> Asked:
        future: asyncio.Future[PlainAnswer] = asyncio.get_running_loop().create_future()
        self._answers[key] = future
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await future
        except TimeoutError:
            msg = f"nobody answered within {ANSWER_TIMEOUT_S:g} s: see `antiphon status`"
            raise RequestTimeout(msg) from None
        finally:
            del self._answers[key]
        if answer.utterance_id is None or self._bus.presence.is_gone("tts"):
            return Asked(answer, None, None)
        heard = await self.speech(answer.utterance_id)
        first_ms = None if heard.first_at is None else (heard.first_at - begun) * 1000
        stages = _with_synthesis(answer.stages, heard, first_ms)
        return Asked(
            answer.model_copy(update={"stages": stages}),
            heard.pcm,
            None if first_ms is None else round(first_ms, 1),
        )


def _with_synthesis(
    stages: Sequence[Stage], heard: HeardSpeech, first_ms: float | None
) -> tuple[Stage, ...]:
    if first_ms is None:
        return tuple(stages)
    start_ms = first_ms - (heard.first_audio_ms or 0.0)
    return (
        *stages,
        Stage(name="tts", start_ms=round(start_ms, 2), end_ms=round(first_ms, 2)),
    )


def write_speech(asked: Asked, path: Path) -> Path | None:
    """Write an answer's sound as WAV; None if it has none.

    Raises:
        BusError: the file cannot be written.
    """
    if asked.speech is None:
        return None
    try:
        wav.write(path, asked.speech)
    except OSError as error:
        msg = f"{path} cannot be written: {error}"
        raise BusError(msg) from error
    return path
