"""One site's ear: its microphone's stream, put together and searched for wake phrases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from antiphon_audio import Pcm, Place, StreamReader, Stretch, level_dbfs
from numpy.typing import NDArray

from antiphon_wake.detector import Phrase, PhraseStream, Score
from antiphon_wake.edges import PER_MS, RATE_HZ, phrase_begin, phrase_end

RING = 2 * RATE_HZ
PIECE = RATE_HZ * 160 // 1000
"""Sound that is searched at once, in samples: silence for lost frames comes in long stretches."""

RISEN = 0.5
REARM = 0.5
"""A phrase may count again when its score was below this part of the threshold: scores stay high
for more than a second after a phrase, and waver (seen with `hey_mycroft`)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an ear listens for.

    Attributes:
        phrases: names.
        thresholds: score from which each counts.
        refractory_s: how long after one phrase no other counts.
    """

    phrases: tuple[str, ...]
    thresholds: Mapping[str, float]
    refractory_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """A wake phrase that was heard; times in samples of the stream."""

    phrase: str
    score: float
    stream: str
    begin: int
    end: int
    detected: int
    level_dbfs: float


@dataclass(slots=True)
class _Trace:
    """One phrase's scores: since when it has risen, and whether it may count."""

    risen_at: int = 0
    is_risen: bool = False
    is_armed: bool = True


@dataclass(slots=True)
class _Listening:
    """A stretch without a gap that is being searched.

    Attributes:
        phrases: the engine's state.
        origin: place in the stream where it began.
        ring: the last 2 s.
        heard_to: samples of the stream up to the end of `ring`.
    """

    phrases: PhraseStream
    origin: int
    heard_to: int
    ring: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    traces: dict[str, _Trace] = field(default_factory=dict)


class Ear:
    """Searches one site's stream.

    Not thread-safe: one call at a time.

    Args:
        known: the engine's phrases.
        open_stream: opens the engine for a stream.
        wish: what to listen for.
    """

    def __init__(
        self,
        known: Mapping[str, Phrase],
        open_stream: Callable[[Sequence[str]], PhraseStream],
        wish: Wish,
    ) -> None:
        self._known = known
        self._open = open_stream
        self._wish = wish
        self._reader = StreamReader()
        self._now: _Listening | None = None
        self._deaf_to = -1

    @property
    def lost(self) -> int:
        """Samples of the stream that were lost on the way so far."""
        return self._reader.lost

    def change(self, wish: Wish) -> None:
        """Listen for something else from now on."""
        is_other = wish.phrases != self._wish.phrases
        self._wish = wish
        if is_other:
            self.forget()

    def forget(self) -> None:
        """Let go of the engine's state; the next sound begins anew."""
        if self._now is not None:
            self._now.phrases.close()
            self._now = None

    def take(self, frame: bytes) -> list[Stretch]:
        """Put a frame to the stream; return the pieces to search, in order.

        Raises:
            ContractError: it is no frame.
        """
        stretch = self._reader.push(frame)
        return [] if stretch is None else list(_pieces(stretch))

    def search(self, piece: Stretch) -> Heard | None:
        """Return the phrase that is heard at the end of a piece, if any.

        Raises:
            EngineError: a model cannot be used.
        """
        now = self._now
        if piece.anew or now is None or now.heard_to != piece.place.offset:
            now = self._begin(piece)
        now.ring = np.concatenate((now.ring, piece.samples))[-RING:]
        now.heard_to = piece.end
        heard = None
        for score in now.phrases.push(piece.samples):
            if self._counts(now, score) and heard is None:
                heard = self._place(now, score, piece.place.stream)
        return heard

    def _begin(self, piece: Stretch) -> _Listening:
        self.forget()
        if piece.anew:
            self._deaf_to = -1
        offset = piece.place.offset
        self._now = _Listening(self._open(self._wish.phrases), offset, offset)
        return self._now

    def _counts(self, now: _Listening, score: Score) -> bool:
        trace = now.traces.setdefault(score.phrase, _Trace())
        at = now.origin + score.end
        if score.newest >= RISEN and not trace.is_risen:
            trace.risen_at = at
        trace.is_risen = score.newest >= RISEN
        threshold = self._wish.thresholds[score.phrase]
        if score.value < REARM * threshold:
            trace.is_armed = True
        if score.value < threshold:
            return False
        if not trace.is_armed:
            return False
        # Whether it counts or not: one phrase is one event.
        trace.is_armed = False
        if at < self._deaf_to:
            return False
        self._deaf_to = at + int(self._wish.refractory_s * RATE_HZ)
        return True

    def _place(self, now: _Listening, score: Score, stream: str) -> Heard:
        lag = self._known[score.phrase].lag
        sure_at = now.origin + score.end
        risen_at = now.traces[score.phrase].risen_at or sure_at
        guess = sure_at - PER_MS * lag.sure_ms + risen_at - PER_MS * lag.rise_ms
        # Places in the ring, which is all that loudness can be looked up in.
        ring_at = now.heard_to - len(now.ring)
        sound = now.ring[: max(0, sure_at - ring_at)]
        end = phrase_end(sound, round(guess / 2) - ring_at)
        begin = phrase_begin(sound, end, lag.length_ms)
        return Heard(
            score.phrase,
            min(1.0, score.value),
            stream,
            begin=max(0, ring_at + begin),
            end=max(0, ring_at + end),
            detected=sure_at,
            level_dbfs=round(level_dbfs(Pcm(sound[begin:end], RATE_HZ)), 1),
        )


def _pieces(stretch: Stretch) -> Iterator[Stretch]:
    if len(stretch.samples) <= PIECE:
        yield stretch
        return
    for begin in range(0, len(stretch.samples), PIECE):
        place = Place(stretch.place.stream, stretch.place.offset + begin)
        yield Stretch(place, stretch.samples[begin : begin + PIECE], stretch.anew and not begin)
