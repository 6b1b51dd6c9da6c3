"""Where live speech begins, pauses and ends, from the probability of speech in each 32 ms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

RATE_HZ = 16_000
WINDOW_SAMPLES = 512
_SAMPLES_PER_MS = RATE_HZ // 1000


class Heard(Enum):
    """What a window of sound changed."""

    BEGAN = "began"
    PAUSED = "paused"
    RESUMED = "resumed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """How speech is told from what is not.

    Attributes:
        threshold: probability from which a window is speech.
        release: speech goes on while it is at least this; as in Silero's own reference code.
        min_speech_ms: what is shorter is no speech (a click).
        pause_ms: silence from which a pause is reported.
        resume_ms: speech that ends a pause.
        max_silence_ms: silence that ends an utterance, unless it is told to have less patience.
        max_utterance_ms: what lasts longer is ended.
    """

    threshold: float = 0.5
    release: float = 0.35
    min_speech_ms: int = 96
    pause_ms: int = 128
    resume_ms: int = 64
    max_silence_ms: int = 900
    max_utterance_ms: int = 30_000


class Endpointer:
    """Follows one utterance. All places count in samples of the stream.

    Args:
        rules: how speech is told from what is not.
        origin: where the first window begins.

    Attributes:
        patience_ms: silence that ends the utterance; may be set during a pause, and is the rules'
            `max_silence_ms` again when speech resumes.
        begin: where speech began; None while it has not.
        end: up to where speech was heard.
        heard: up to where sound was heard.
        speech_ms: how much of it was speech.
        is_paused: whether the person has fallen silent.
    """

    def __init__(self, rules: EndpointRules, origin: int) -> None:
        self._rules = rules
        self.restart(origin)

    def restart(self, origin: int) -> None:
        """Wait for speech anew."""
        self.patience_ms = self._rules.max_silence_ms
        self.begin: int | None = None
        self.end = self.heard = origin
        self.speech_ms = 0
        self.is_paused = False
        self._run = 0

    @property
    def silence_ms(self) -> int:
        """Sound since the end of speech."""
        return (self.heard - self.end) // _SAMPLES_PER_MS

    @property
    def is_quiet(self) -> bool:
        """Whether the last window was no speech."""
        return not self._run

    @property
    def is_over(self) -> bool:
        """Whether the silence lasts long enough; nothing follows it that may be speech."""
        return self.is_paused and self.is_quiet and self.silence_ms >= self.patience_ms

    def feed(self, probability: float) -> Heard | None:
        """Take the next window; return what it changed."""
        rules = self._rules
        talking = self._run > 0 or (self.begin is not None and not self.is_paused)
        is_speech = probability >= (rules.release if talking else rules.threshold)
        self.heard += WINDOW_SAMPLES
        self._run = self._run + 1 if is_speech else 0
        run_ms = self._run * WINDOW_SAMPLES // _SAMPLES_PER_MS
        if self.begin is None:
            return self._await_speech(run_ms)
        if is_speech and not self.is_paused:
            self._extend(WINDOW_SAMPLES)
        if self.is_paused and is_speech and run_ms >= rules.resume_ms:
            return self._resume()
        if self.is_over or self._is_too_long():
            return Heard.ENDED
        if not self.is_paused and self.silence_ms >= rules.pause_ms:
            self.is_paused = True
            return Heard.PAUSED
        return None

    def _await_speech(self, run_ms: int) -> Heard | None:
        if run_ms < self._rules.min_speech_ms:
            self.end = self.heard
            return None
        self.begin = self.heard - self._run * WINDOW_SAMPLES
        self._extend(self._run * WINDOW_SAMPLES)
        return Heard.BEGAN

    def _resume(self) -> Heard:
        self.is_paused = False
        self.patience_ms = self._rules.max_silence_ms
        self._extend(self._run * WINDOW_SAMPLES)
        return Heard.RESUMED

    def _extend(self, samples: int) -> None:
        self.end = self.heard
        self.speech_ms += samples // _SAMPLES_PER_MS

    def _is_too_long(self) -> bool:
        begin = self.heard if self.begin is None else self.begin
        return self.heard - begin >= self._rules.max_utterance_ms * _SAMPLES_PER_MS
