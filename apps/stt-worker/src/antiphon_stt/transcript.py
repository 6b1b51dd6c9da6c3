"""What an engine made out, and whether to believe it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

# Whisper's own thresholds: openai/whisper, whisper/transcribe.py, arguments of transcribe().
MAX_COMPRESSION_RATIO = 2.4
MIN_AVG_LOGPROB = -1.0
MAX_NO_SPEECH_PROB = 0.6

# A phrase that Whisper is known to invent is believed only when it is surer of it than this.
WEAK_AVG_LOGPROB = -0.6
WEAK_NO_SPEECH_PROB = 0.5

PHANTOMS = frozenset(
    {
        "bye",
        "like and subscribe",
        "please subscribe",
        "please subscribe to my channel",
        "see you in the next video",
        "see you next time",
        "so",
        "subtitles by the amara org community",
        "thank you",
        "thank you for watching",
        "thank you so much for watching",
        "thank you very much",
        "thanks for watching",
        "the end",
        "you",
    }
)
"""What Whisper writes for sound without words: the closing lines of the videos it learnt from."""

_BRACKETED = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*")
_NO_WORD = re.compile(r"[\W_]+")
_UNSPACED_LANGUAGES = frozenset({"ja", "lo", "my", "th", "yue", "zh"})


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a transcript. A figure that the engine does not give is None.

    Attributes:
        text: the words.
        avg_logprob: mean log-probability of its tokens, at most 0.
        no_speech_prob: probability that there was no speech, 0 to 1.
        compression_ratio: how much zlib shrinks the text; high for endless repetition.
        tokens: number of tokens, the segment's weight in the transcript's confidence.
    """

    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    tokens: int = 1

    @property
    def believable(self) -> bool:
        """Whether a person probably said this, and the engine did not make it up from noise."""
        words = _NO_WORD.sub(" ", _BRACKETED.sub(" ", self.text)).strip().casefold()
        if not words or (self.compression_ratio or 0.0) > MAX_COMPRESSION_RATIO:
            return False
        logprob = 0.0 if self.avg_logprob is None else self.avg_logprob
        no_speech = self.no_speech_prob or 0.0
        if no_speech > MAX_NO_SPEECH_PROB and logprob < MIN_AVG_LOGPROB:
            return False
        is_weak = logprob < WEAK_AVG_LOGPROB or no_speech > WEAK_NO_SPEECH_PROB
        return not (is_weak and words in PHANTOMS)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an engine made out of one piece of speech.

    Attributes:
        segments: its stretches in order; none if nothing was made out.
        language: ISO 639-1 code.
    """

    segments: tuple[Segment, ...]
    language: str = "en"

    @property
    def text(self) -> str:
        """All words."""
        gap = "" if self.language in _UNSPACED_LANGUAGES else " "
        return gap.join(filter(None, (segment.text.strip() for segment in self.segments)))

    @property
    def confidence(self) -> float:
        """Exp of the mean log-probability of the tokens, 0 to 1; 0 if the engine gives none."""
        known = [(s.avg_logprob, s.tokens) for s in self.segments if s.avg_logprob is not None]
        weight = sum(tokens for _, tokens in known)
        if not weight:
            return 0.0
        mean = sum(logprob * tokens for logprob, tokens in known) / weight
        return min(1.0, math.exp(mean)) if math.isfinite(mean) else 0.0

    def believed(self) -> Transcript:
        """The transcript without the segments that the engine made up."""
        return replace(self, segments=tuple(s for s in self.segments if s.believable))
