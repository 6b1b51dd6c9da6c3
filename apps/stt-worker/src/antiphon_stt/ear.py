"""The ear: from a recording's bytes to the speech in it, or the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from antiphon_audio import AudioTooLong, Pcm, Span, decode, level_dbfs
from antiphon_contracts import MAX_MESSAGE_BYTES, ContractError, Rejection

RATE_HZ = 16_000
PAD_MS = 400
"""Left around speech and of each pause, on either side; the `speech_pad_ms` of faster-whisper."""


class SpeechGate(Protocol):
    """Finds speech; `antiphon_audio.Vad` is one."""

    def spans(self, pcm: Pcm) -> list[Span]:
        """Return the stretches of speech in 16 kHz sound, in order, without overlap."""
        ...


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard in one recording.

    Attributes:
        speech: the speech at 16 kHz, long pauses shortened; empty if rejected.
        audio_ms: length of the recording; 0 if it was not decoded.
        speech_ms: length of the speech in it.
        decode_ms: time that this took.
        rejected: why there is nothing to transcribe; None if there is.
        detail: one sentence for people about the rejection.
    """

    speech: Pcm
    audio_ms: int = 0
    speech_ms: int = 0
    decode_ms: float = 0.0
    rejected: Rejection | None = None
    detail: str = ""


class Ear:
    """Decodes recordings and finds the speech in them. Blocks: call it in a thread.

    Args:
        open_gate: loads what finds speech.
        max_audio_s: longer recordings are refused.
        min_audio_ms: shorter ones, too.
        silence_dbfs: recordings without speech are silence below this level, noise above it.
    """

    def __init__(
        self,
        open_gate: Callable[[], SpeechGate],
        *,
        max_audio_s: float,
        min_audio_ms: int,
        silence_dbfs: float,
    ) -> None:
        self._open_gate = open_gate
        self._gate: SpeechGate | None = None
        self._max_audio_s = max_audio_s
        self._min_audio_ms = min_audio_ms
        self._silence_dbfs = silence_dbfs

    def load(self) -> SpeechGate:
        """Load and warm up what finds speech; once.

        Raises:
            ConfigError: it is not installed or broken.
        """
        if self._gate is None:
            gate = self._open_gate()
            gate.spans(Pcm.silence(500, RATE_HZ))
            self._gate = gate
        return self._gate

    def listen(self, data: bytes) -> Hearing:
        """Hear a whole recording: WAV, FLAC, OGG or MP3 of any rate and channels."""
        begun = time.perf_counter()
        hearing = self._hear(data)
        return replace(hearing, decode_ms=1000.0 * (time.perf_counter() - begun))

    def _hear(self, data: bytes) -> Hearing:
        nothing = Pcm.silence(0, RATE_HZ)
        try:
            pcm = decode(
                data,
                rate_hz=RATE_HZ,
                max_duration_s=self._max_audio_s,
                max_bytes=MAX_MESSAGE_BYTES,
            )
        except AudioTooLong as error:
            return Hearing(nothing, rejected="too_long", detail=str(error))
        except ContractError as error:
            return Hearing(nothing, rejected="undecodable", detail=str(error))
        heard = Hearing(nothing, audio_ms=int(pcm.duration_ms))
        if heard.audio_ms < self._min_audio_ms:
            detail = f"The recording is too short: it lasts {heard.audio_ms} ms."
            return replace(heard, rejected="too_short", detail=detail)
        spans = self.load().spans(pcm)
        if spans:
            speech_ms = sum(span.end_ms - span.start_ms for span in spans)
            return replace(heard, speech=speech_only(pcm, spans), speech_ms=speech_ms)
        if level_dbfs(pcm) < self._silence_dbfs:
            detail = "Nothing was heard: the recording is silent."
            return replace(heard, rejected="silence", detail=detail)
        detail = "No speech was heard, only noise."
        return replace(heard, rejected="noise", detail=detail)


def speech_only(pcm: Pcm, spans: Sequence[Span], *, pad_ms: int = PAD_MS) -> Pcm:
    """The sound of `spans` with `pad_ms` around each, so that no pause is over twice as long."""
    parts = []
    taken = 0
    for span in spans:
        start = max(taken, (span.start_ms - pad_ms) * pcm.rate_hz // 1000)
        end = (span.end_ms + pad_ms) * pcm.rate_hz // 1000
        parts.append(pcm.samples[start:end])
        taken = end
    return Pcm(np.concatenate(parts), pcm.rate_hz)
