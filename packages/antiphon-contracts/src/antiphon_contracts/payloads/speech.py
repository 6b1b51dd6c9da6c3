"""Payloads of listening and speaking."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload
from antiphon_contracts.level import Level

Rejection = Literal["silence", "noise", "too_short", "too_long", "undecodable", "engine", "busy"]


class WakeEvent(Payload):
    """A wake word was heard.

    Attributes:
        phrase: the wake phrase, e.g. `okay_nabu`.
        score: the model's confidence, 0 to 1.
        offset_ms: where the phrase ends, in ms of this site's audio stream.
    """

    phrase: str
    score: float = Field(ge=0, le=1)
    offset_ms: int = Field(ge=0)


class SttControl(Payload):
    """Tells the STT worker what to do with a site's audio stream.

    Attributes:
        action: open a listening window, close it, or gate the stream.
        reason: why, e.g. `wake`, `follow_up`, `playback`.
        window_s: how long the action holds, in seconds; None is until told otherwise.
    """

    action: Literal["listen", "stop", "gate"]
    reason: str = ""
    window_s: float | None = Field(default=None, ge=0)


class SttPartial(Payload):
    """What has been understood so far of an utterance that goes on.

    Attributes:
        utterance_id: the utterance.
        text: the text so far.
        stable_chars: length of the prefix that will not change any more.
    """

    utterance_id: str
    text: str
    stable_chars: int = Field(default=0, ge=0)


class SttFinal(Payload):
    """The transcript of an utterance, or why there is none.

    Attributes:
        utterance_id: the utterance; also the turn that it begins.
        text: the transcript; empty if rejected.
        language: ISO 639-1 code.
        confidence: exp of the mean log-probability of the tokens, 0 to 1.
        audio_ms: length of the recording.
        speech_ms: length of the speech found in it.
        decode_ms: time spent decoding, gating and resampling.
        transcribe_ms: time spent in the engine.
        rejected: why there is no transcript; None if there is one.
        detail: one sentence for people about the rejection.
    """

    utterance_id: str
    text: str = ""
    language: str = "en"
    confidence: float = Field(default=0.0, ge=0, le=1)
    audio_ms: int = Field(default=0, ge=0)
    speech_ms: int = Field(default=0, ge=0)
    decode_ms: float = Field(default=0.0, ge=0)
    transcribe_ms: float = Field(default=0.0, ge=0)
    rejected: Rejection | None = None
    detail: str = ""


class TtsSay(Payload):
    """One clause to be spoken.

    All clauses of one answer share `utterance_id` and are spoken in order of `seq`.

    Attributes:
        utterance_id: the answer that the clause is part of.
        seq: place of the clause, from 0.
        text: speakable text; may be empty when `last`.
        last: whether the answer ends here.
        voice: name of a voice; None is the worker's own.
        speed: rate of speech, 1.0 is the voice's own.
        priority: higher goes first: alarm 20, answer 10, announcement 0.
    """

    utterance_id: Level
    seq: int = Field(ge=0)
    text: str = Field(max_length=20_000)
    last: bool = False
    voice: str | None = None
    speed: float = Field(default=1.0, gt=0.2, lt=5)
    priority: int = Field(default=10, ge=0, le=100)


class TtsCancel(Payload):
    """Stops synthesis.

    Attributes:
        utterance_id: the answer to stop; None stops all of the envelope's site.
    """

    utterance_id: str | None = None


class TtsStatus(Payload):
    """What became of an answer's synthesis.

    `started` is sent with the first audio, `synthesised` when all audio was sent, `cancelled` and
    `failed` instead of it.

    Attributes:
        utterance_id: the answer.
        state: see above.
        seq: the last clause that was taken up.
        audio_ms: length of the audio sent so far.
        first_audio_ms: from receipt of the first clause to its first audio frame.
        detail: one sentence for people about a failure.
    """

    utterance_id: str
    state: Literal["started", "synthesised", "cancelled", "failed"]
    seq: int = Field(default=0, ge=0)
    audio_ms: int = Field(default=0, ge=0)
    first_audio_ms: float | None = None
    detail: str = ""


class PlaybackControl(Payload):
    """Tells a satellite's speaker what to do.

    Attributes:
        action: stop, pause, resume, set the volume, or duck under something else.
        utterance_id: only this answer; None is whatever is playing.
        volume: 0 to 1, with `volume` and `duck`.
    """

    action: Literal["stop", "pause", "resume", "volume", "duck"]
    utterance_id: str | None = None
    volume: float | None = Field(default=None, ge=0, le=1)


class PlaybackStatus(Payload):
    """The truth about what a satellite's speaker did.

    Attributes:
        utterance_id: the answer.
        state: started, finished (played to its end), stopped (cut short) or failed.
        played_ms: audio really played so far.
        detail: one sentence for people about a failure.
    """

    utterance_id: str
    state: Literal["started", "finished", "stopped", "failed"]
    played_ms: int = Field(default=0, ge=0)
    detail: str = ""


class CaptureControl(Payload):
    """Push-to-talk: records one utterance with a satellite's microphone.

    Attributes:
        action: start recording, stop it and send the utterance, or stop and throw it away.
        utterance_id: its id, and so the turn's, chosen by who starts it.
        max_s: recording stops and is sent by itself after this time, in seconds.
    """

    action: Literal["start", "stop", "discard"]
    utterance_id: Level
    max_s: float = Field(default=30.0, gt=0, le=120)


class CaptureStatus(Payload):
    """What became of a push-to-talk recording.

    Attributes:
        utterance_id: the utterance.
        state: `sent` means that it is on its way to the STT worker.
        audio_ms: recorded so far.
        detail: one sentence for people about a failure.
    """

    utterance_id: str
    state: Literal["started", "sent", "discarded", "failed"]
    audio_ms: int = Field(default=0, ge=0)
    detail: str = ""
