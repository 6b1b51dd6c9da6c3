"""Payloads of listening and speaking."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several
from antiphon_contracts.level import Level

Rejection = Literal[
    "silence",
    "noise",
    "too_short",
    "too_long",
    "undecodable",
    "engine",
    "busy",
    "no_speech",
    "unlikely",
    "cancelled",
    "lost",
]
"""Why an utterance has no transcript.

`no_speech`: the listening window passed without a word. `unlikely`: the engine does not believe its
own words. `cancelled`: the window was closed by order. `lost`: the microphone's stream broke off.
"""


class WakeEvent(Payload):
    """A wake word was heard.

    Attributes:
        phrase: the wake phrase, e.g. `okay_nabu`.
        score: the model's confidence, 0 to 1.
        stream: the microphone stream (see `audio/<site>/in`); empty if its frames name none.
        begin_ms: where the phrase probably begins, in ms of that stream.
        offset_ms: where the phrase probably ends, in ms of that stream.
        detected_ms: up to where the stream was heard when the model was sure, in ms of it.
        level_dbfs: loudness of the phrase, for arbitration between sites; None if not measured.
    """

    phrase: str = Field(max_length=128)
    score: float = Field(ge=0, le=1)
    stream: str = Field(default="", max_length=64)
    begin_ms: int = Field(default=0, ge=0)
    offset_ms: int = Field(ge=0)
    detected_ms: int = Field(default=0, ge=0)
    level_dbfs: float | None = None


class WakeControl(Payload):
    """Tells the wake worker what to listen for at a site, until it is told otherwise.

    Attributes:
        enabled: whether to listen at all; None leaves it as it is.
        phrases: the wake phrases; none leaves them as they are.
        threshold: score from which a phrase counts, 0 to 1; None leaves it as it is.
    """

    enabled: bool | None = None
    phrases: Several[str] = ()
    threshold: float | None = Field(default=None, gt=0, le=1)


class SttControl(Payload):
    """Tells the STT worker what to do with a site's microphone stream.

    `listen` opens a window: one utterance is awaited, and exactly one `stt/final` with its id is
    the answer, whatever happens. At most one window is open at a site; a second `listen` closes the
    first as `cancelled`. The same order again is ignored.

    Attributes:
        action: open a window, close it, or turn a deaf ear to the site.
        utterance_id: id of the awaited utterance, and so of its turn; with `listen`. With `stop`,
            the window to close; empty closes whichever is open.
        reason: why the window is open.
        stream: the microphone stream that `start_ms` counts in; empty is whichever runs.
        start_ms: where to begin to listen; may lie up to some seconds back. None is now.
        phrase_begin_ms: where a wake phrase that is not to be transcribed begins; None if there is
            none.
        phrase: the wake phrase, which does not belong into the transcript; empty if there is none.
        window_s: with `listen`, how long speech may take to begin: `no_speech` after that; None
            waits for ever. With `gate`, how long to be deaf at the longest; 0 ends it.
    """

    action: Literal["listen", "stop", "gate"]
    utterance_id: str = Field(default="", max_length=128)
    reason: Literal["", "wake", "follow_up", "question", "barge_in", "open", "playback"] = ""
    stream: str = Field(default="", max_length=64)
    start_ms: int | None = Field(default=None, ge=0)
    phrase_begin_ms: int | None = Field(default=None, ge=0)
    phrase: str = Field(default="", max_length=128)
    window_s: float | None = Field(default=None, ge=0, le=3_600)


class SttPartial(Payload):
    """What has been understood so far of an utterance that goes on.

    Attributes:
        utterance_id: the utterance.
        seq: place of the partial, from 0; QoS 0 may lose some.
        text: the text so far; empty says that speech has begun.
        stable_chars: length of the prefix that will not change any more.
        candidate: whether the person has fallen silent, and this will be the final unless they go
            on. A later partial of the utterance withdraws it.
        language: ISO 639-1 code.
        confidence: as in `stt/final`; 0 if not known.
    """

    utterance_id: str
    seq: int = Field(default=0, ge=0)
    text: str = ""
    stable_chars: int = Field(default=0, ge=0)
    candidate: bool = False
    language: str = "en"
    confidence: float = Field(default=0.0, ge=0, le=1)


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
        reason: of a live utterance, why its window was open; empty for a recording.
        stream: of a live utterance, the microphone stream.
        start_ms: of a live utterance, where its speech begins in the stream.
        end_ms: of a live utterance, where its speech ends in the stream.
        endpoint_ms: of a live utterance, sound heard between the end of speech and the decision
            that it was the end.
        final_ms: of a live utterance, from that decision to this final.
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
    reason: str = ""
    stream: str = ""
    start_ms: int = Field(default=0, ge=0)
    end_ms: int = Field(default=0, ge=0)
    endpoint_ms: float = Field(default=0.0, ge=0)
    final_ms: float = Field(default=0.0, ge=0)


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


class TtsPrepare(Payload):
    """Make this sound ready; it may never be said.

    Nothing is heard of it. A `tts/say` that begins with the same words in the same voice begins
    sooner then. It is made only while nothing is spoken, and forgotten if it is not said soon.

    Attributes:
        text: the first clause of what will probably be said, exactly as it would be sent.
        voice: name of a voice; None is the worker's own.
        speed: rate of speech, 1.0 is the voice's own.
    """

    text: str = Field(max_length=20_000)
    voice: str | None = None
    speed: float = Field(default=1.0, gt=0.2, lt=5)


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


class SiteStatus(Payload):
    """What a satellite's microphone is for (retained).

    Attributes:
        streaming: whether its frames come on `audio/<site>/in`.
        stream: the stream's name while it does.
        muted: whether the microphone is muted.
        echo_cancelled: whether the assistant's own voice is taken out of the stream, so that people
            may speak while it speaks.
    """

    streaming: bool
    stream: str = ""
    muted: bool = False
    echo_cancelled: bool = False


class AudioLevel(Payload):
    """How loud a microphone hears, some times a second.

    Attributes:
        rms_dbfs: root mean square, -120 to 0.
        peak_dbfs: the loudest sample.
        bands_dbfs: level of each octave from 125 Hz to 8 kHz, low to high; may be empty.
    """

    rms_dbfs: float
    peak_dbfs: float
    bands_dbfs: Several[float] = ()
