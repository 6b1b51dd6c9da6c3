"""Heard speech: the sound of spoken answers, as it comes over the bus."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from antiphon_contracts import EngineError, Health, RequestTimeout, TtsStatus, WorkerGone
from antiphon_runtime import RawMessage

if TYPE_CHECKING:
    from antiphon_audio import Pcm

KEPT_UTTERANCES = 32
END_GRACE_S = 2.0  # the end mark is QoS 0 and may be lost; the status behind it is not
GONE_GRACE_S = 1.5  # what a dying worker had sent is still on its way

End = Literal["complete", "cancelled", "failed"]


@dataclass
class HeardSpeech:
    """The sound of one utterance, as it came.

    Attributes:
        frames: WAV-framed, in order.
        first_at: loop time of the first frame.
        end: how it ended; None while it goes on.
        detail: why it failed, for people.
        first_audio_ms: what the TTS worker took for the first frame.
        changed: something of the above has changed.
        spoken: the TTS worker says that all was sent.
        orphaned: the TTS worker died when some of it had come.
    """

    frames: list[bytes] = field(default_factory=list)
    first_at: float | None = None
    end: End | None = None
    detail: str = ""
    first_audio_ms: float | None = None
    spoken: bool = False
    orphaned: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_over(self) -> bool:
        """Whether it has ended, however."""
        return self.end is not None

    @property
    def pcm(self) -> Pcm | None:
        """All of it in one piece; None if there is none.

        Raises:
            ContractError: a frame is no sound.
        """
        if not self.frames:
            return None
        import numpy as np  # noqa: PLC0415  (it would double the time to send a question)
        from antiphon_audio import Pcm, wav  # noqa: PLC0415  (needs numpy)

        sounds = [wav.unwrap(frame) for frame in self.frames]
        return Pcm(np.concatenate([sound.samples for sound in sounds]), sounds[0].rate_hz)


class Ears:
    """Collects the sound of all utterances of one site, and knows whether anybody can speak."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, HeardSpeech] = OrderedDict()
        self._awaited: set[str] = set()
        self._speakers: dict[str, str] = {}

    # What comes in

    def on_frame(self, message: RawMessage) -> None:
        """Take in a frame of sound, or the empty one at the end."""
        speech = self._of(message.slots["utterance"])
        if not message.payload:
            speech.end = speech.end or "complete"
            speech.changed.set()
            return
        if speech.first_at is None:
            speech.first_at = asyncio.get_running_loop().time()
        speech.frames.append(message.payload)

    def on_synthesis(self, status: TtsStatus) -> None:
        """Take in what the TTS worker says of an utterance."""
        speech = self._of(status.utterance_id)
        if status.first_audio_ms is not None:
            speech.first_audio_ms = status.first_audio_ms
        if status.state == "synthesised":
            speech.spoken = True
        elif status.state != "started":
            speech.end = status.state
            speech.detail = status.detail
        speech.changed.set()

    def on_health(self, health: Health) -> None:
        """Take in the health of any worker."""
        if health.kind == "tts":
            self._speakers[health.worker] = health.state
            for speech in self._heard.values():
                if self.nobody_speaks and speech.first_at is not None:
                    speech.orphaned = True  # whoever comes back begins with the next one
                speech.changed.set()

    @property
    def nobody_speaks(self) -> bool:
        """Whether no TTS worker is there."""
        return all(state == "gone" for state in self._speakers.values())

    def _of(self, utterance_id: str) -> HeardSpeech:
        speech = self._heard.get(utterance_id)
        if speech is None:
            speech = self._heard[utterance_id] = HeardSpeech()
            foreign = [key for key in self._heard if key not in self._awaited]
            if len(foreign) > KEPT_UTTERANCES:
                del self._heard[foreign[0]]
        return speech

    # Waiting

    async def speech(self, utterance_id: str, timeout_s: float) -> HeardSpeech:
        """Return an utterance's sound when it has ended, however.

        Raises:
            EngineError: it could not be spoken.
            WorkerGone: there is no TTS worker.
            RequestTimeout: no end came in time.
        """
        with self._awaiting(utterance_id) as speech:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._until_end(speech)
            except TimeoutError:
                msg = f"the answer's sound was not complete within {timeout_s:g} s"
                raise RequestTimeout(msg) from None
        if speech.end == "failed":
            raise EngineError(speech.detail or "the answer could not be spoken")
        return speech

    @contextmanager
    def _awaiting(self, utterance_id: str) -> Iterator[HeardSpeech]:
        """Keep an utterance while the block runs, whatever else is spoken; then forget it."""
        self._awaited.add(utterance_id)
        try:
            yield self._of(utterance_id)
        finally:
            self._awaited.discard(utterance_id)
            self._heard.pop(utterance_id, None)

    async def _until_end(self, speech: HeardSpeech) -> None:
        while not speech.is_over():
            speech.changed.clear()
            if speech.spoken:
                await _change(speech, END_GRACE_S)
                if not speech.is_over():
                    speech.end = "complete"
            elif speech.orphaned or self.nobody_speaks:
                await _change(speech, GONE_GRACE_S)
                if not (speech.is_over() or speech.spoken):
                    self._raise_if_lost(speech)
            else:
                await speech.changed.wait()

    def _raise_if_lost(self, speech: HeardSpeech) -> None:
        if speech.orphaned:
            raise WorkerGone("the TTS worker died while it spoke")
        if self.nobody_speaks:
            raise WorkerGone("no TTS worker is there")


async def _change(speech: HeardSpeech, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await speech.changed.wait()
