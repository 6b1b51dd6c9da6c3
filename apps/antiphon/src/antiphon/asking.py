"""Asking: sends a question, as text or as sound, and collects everything that comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from antiphon_contracts import (
    ANSWER,
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    HEALTH,
    TTS_SAY,
    TTS_STATUS,
    AntiphonError,
    CaptureControl,
    CaptureStatus,
    EngineError,
    Health,
    Message,
    PlainAnswer,
    RequestTimeout,
    Stage,
    TtsSay,
    TtsStatus,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, listen, listen_raw

from antiphon.heard_speech import Ears, HeardSpeech
from antiphon.house import open_bus
from antiphon.plain_answers import ANSWER_TIMEOUT_S, PlainAnswers

if TYPE_CHECKING:
    from antiphon_audio import Pcm

T = TypeVar("T")

AUDIO_TIMEOUT_S = 60.0
CAPTURE_BEGIN_S = 3.0
CAPTURE_END_S = 5.0


@dataclass(frozen=True)
class Asked:
    """A question and what came of it.

    Attributes:
        answer: as the router published it, with further stages.
        speech: the answer's sound; None if it was not spoken.
        first_audio_ms: from the end of the question to the answer's first sound.
        note: why the sound is missing or cut short, for people; empty if nothing is to be said.
    """

    answer: PlainAnswer
    speech: Pcm | None
    first_audio_ms: float | None
    note: str = ""

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
            "note": self.note,
        }


class Questioner:
    """Asks at one site.

    Args:
        bus: of its own, not yet open.
        site_id: where it asks.
        on_answer: called with each answer as soon as it is there; its sound comes later.
    """

    def __init__(
        self,
        bus: Bus,
        site_id: str,
        on_answer: Callable[[PlainAnswer], None] = lambda _answer: None,
    ) -> None:
        self._bus = bus
        self.site_id = site_id
        self._tell = on_answer
        self._answers = PlainAnswers(bus)
        self._captures: dict[str, _Capture] = {}
        self._ears = Ears()

    @asynccontextmanager
    async def asking(self, timeout_s: float) -> AsyncIterator[Questioner]:
        """Connect; questions can be asked while the block runs.

        Raises:
            BusError: the broker does not answer within `timeout_s`.
            ContractError: the site's name cannot stand in a topic.
        """
        site = self.site_id
        self._bus.install(
            [
                listen_raw(ANSWER.narrowed(site=site), self._answers.on_answer),
                listen_raw(AUDIO_OUT.narrowed(site=site), self._on_frame, queue_limit=100_000),
                listen(TTS_STATUS, self._on_synthesis),
                listen(HEALTH, self._on_health),
                listen(CAPTURE_STATUS.narrowed(site=site), self._on_capture),
            ]
        )
        async with open_bus(self._bus, timeout_s):
            yield self

    # What comes back

    async def _on_frame(self, message: RawMessage) -> None:
        self._ears.on_frame(message)

    async def _on_synthesis(self, message: Message[TtsStatus]) -> None:
        if message.site_id == self.site_id:
            self._ears.on_synthesis(message.data)

    async def _on_health(self, message: Message[Health]) -> None:
        self._ears.on_health(message.data)

    async def _on_capture(self, message: Message[CaptureStatus]) -> None:
        capture = self._captures.get(message.data.utterance_id)
        if capture is None:
            return
        capture.begun.set()
        if message.data.state != "started" and not capture.ended.done():
            capture.ended.set_result(message.data)

    # Asking

    async def ask_text(self, text: str, *, speak: bool = True) -> Asked:
        """Ask a question in writing.

        Raises:
            RequestTimeout: nobody answered in time.
        """
        begun = asyncio.get_running_loop().time()
        with self._answers.asking(text, self.site_id, speak=speak) as question:
            return await self._collect(question.answer, question.sent, begun)

    async def ask_recording(self, recording: bytes) -> Asked:
        """Ask a question as a recording: WAV, FLAC, OGG or MP3.

        Raises:
            RequestTimeout: nobody answered in time.
            BusError: it is larger than a message may be.
        """
        utterance_id = new_id()
        with self._answers.expecting(utterance_id) as answer:
            begun = asyncio.get_running_loop().time()
            sent = self._bus.publish_raw(
                AUDIO_UTTERANCE,
                recording,
                ttl_s=ANSWER_TIMEOUT_S,
                site=self.site_id,
                utterance=utterance_id,
            )
            return await self._collect(answer, sent, begun)

    async def dictate(self, text: str) -> Pcm:
        """Return a text as the TTS worker speaks it; nobody is asked anything.

        Raises:
            EngineError: it could not be spoken.
            WorkerGone: there is no TTS worker.
            RequestTimeout: its sound did not come in time.
        """
        utterance_id = new_id()
        clause = TtsSay(utterance_id=utterance_id, seq=0, text=text, last=True)
        self._bus.publish(TTS_SAY, clause, site_id=self.site_id)
        heard = await self._ears.speech(utterance_id, AUDIO_TIMEOUT_S)
        sound = heard.pcm
        if sound is None:
            msg = "there is nothing to hear in that text"
            raise EngineError(msg)
        return sound

    async def ask_microphone(self, stop: asyncio.Future[None], max_s: float) -> Asked:
        """Ask with the satellite's microphone, until `stop` is done or `max_s` have passed.

        Cancelled while it records, it has the recording thrown away.

        Raises:
            EngineError: there is no microphone, or it failed.
            RequestTimeout: no satellite or nobody answered in time.
        """
        utterance_id = new_id()
        with self._answers.expecting(utterance_id) as answer:
            await self._record(utterance_id, stop, max_s)
            loop = asyncio.get_running_loop()
            sent: asyncio.Future[None] = loop.create_future()  # the satellite has sent it
            return await self._collect(answer, sent, loop.time())

    async def _record(self, utterance_id: str, stop: asyncio.Future[None], max_s: float) -> None:
        capture = self._captures[utterance_id] = _Capture()
        try:
            self._order(utterance_id, "start", max_s)
            await self._in_time(capture.begun.wait(), CAPTURE_BEGIN_S)
            await asyncio.wait(
                (stop, capture.ended), timeout=max_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not capture.ended.done():
                self._order(utterance_id, "stop", max_s)
            status = await self._in_time(capture.ended, CAPTURE_END_S)
        except asyncio.CancelledError:
            self._order(utterance_id, "discard", max_s)
            raise
        finally:
            del self._captures[utterance_id]
        if status.state != "sent":
            raise EngineError(status.detail or "the recording failed")

    async def _in_time(self, waited_for: Awaitable[T], timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await waited_for
        except TimeoutError:
            msg = f"no satellite serves the site {self.site_id!r}: see `antiphon status`"
            raise RequestTimeout(msg) from None

    def _order(
        self, utterance_id: str, action: Literal["start", "stop", "discard"], max_s: float
    ) -> None:
        order = CaptureControl(action=action, utterance_id=utterance_id, max_s=max_s)
        self._bus.publish(CAPTURE_CONTROL, order, site_id=self.site_id, ttl_s=5.0)

    async def _collect(
        self, future: asyncio.Future[PlainAnswer], sent: asyncio.Future[None], begun: float
    ) -> Asked:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await asyncio.wait((future, sent), return_when=asyncio.FIRST_COMPLETED)
                if sent.done() and not future.done():
                    sent.result()  # raises if the broker refused it
                answer = await future
        except TimeoutError:
            msg = f"nobody answered within {ANSWER_TIMEOUT_S:g} s: see `antiphon status`"
            raise RequestTimeout(msg) from None
        self._tell(answer)
        if answer.utterance_id is None:
            return Asked(answer, None, None)
        try:
            heard = await self._ears.speech(answer.utterance_id, AUDIO_TIMEOUT_S)
            sound = heard.pcm
        except AntiphonError as error:
            return Asked(answer, None, None, f"the answer was not spoken: {error}")
        return _spoken(answer, heard, sound, begun)


@dataclass
class _Capture:
    """A recording that a satellite makes for us."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Future[CaptureStatus] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


def _spoken(answer: PlainAnswer, heard: HeardSpeech, sound: Pcm | None, begun: float) -> Asked:
    first_ms = None if heard.first_at is None else (heard.first_at - begun) * 1000
    stages = _with_synthesis(answer.stages, heard, first_ms)
    return Asked(
        answer.model_copy(update={"stages": stages}),
        sound,
        None if first_ms is None else round(first_ms, 1),
        "the answer was interrupted" if heard.end == "cancelled" else "",
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
        ConfigError: the file cannot be written.
    """
    if asked.speech is None:
        return None
    from antiphon_audio import wav  # noqa: PLC0415  (numpy is for whoever hears something)

    wav.write(path, asked.speech)
    return path
