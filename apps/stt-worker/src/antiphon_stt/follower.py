"""Follows a stream on behalf of one window: its sound, the voices in it, where speech ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from antiphon_audio import Pcm
from antiphon_contracts import SttControl
from antiphon_runtime import ModelThread
from numpy.typing import NDArray

from antiphon_stt.endpointing import RATE_HZ, WINDOW_SAMPLES, Endpointer, EndpointRules, Heard
from antiphon_stt.site_ear import Piece
from antiphon_stt.sound import Sound

LEAD_MS = 256
"""Heard before the window begins, so that the voice detector is in its stride."""
ONE_BREATH_MS = 700
"""Speech that begins so soon behind a wake phrase is transcribed together with it."""
PHRASE_MARGIN_MS = 150
PHRASE_TAIL_MS = 120
KEPT_MS = 500
FAR_OFF_S = 4.0
_SAMPLES_PER_MS = RATE_HZ // 1000


class VoiceStream(Protocol):
    """Voice activity of sound in pieces; `antiphon_audio.VadStream` is one."""

    def push(self, samples: NDArray[np.int16]) -> list[float]:
        """Take samples; return the probability of speech in each 32 ms completed."""
        ...


@dataclass(frozen=True, slots=True)
class LiveRules:
    """How live speech is listened to.

    Attributes:
        endpoint: how speech is told from what is not.
        preroll_ms: transcribed before speech seems to begin.
        tail_ms: transcribed after it seems to end.
        draft_s: speech between two drafts of the text so far; 0 is no drafts.
    """

    endpoint: EndpointRules = field(default_factory=EndpointRules)
    preroll_ms: int = 320
    tail_ms: int = 192
    draft_s: float = 1.5


class Follower:
    """Hears what comes.

    Args:
        order: what is listened for.
        start: where to begin, in samples of the stream.
        phrase_begin: where the wake phrase begins; None if there is none.
        rules: how to listen.
        thread: where voices are detected.
        open_voice: begins to detect voices.

    Attributes:
        stream: name of the stream.
        endpoint: where speech begins and ends.
    """

    def __init__(
        self,
        order: SttControl,
        start: int,
        phrase_begin: int | None,
        rules: LiveRules,
        thread: ModelThread,
        open_voice: Callable[[], VoiceStream],
    ) -> None:
        self.stream = order.stream
        self._has_phrase = bool(order.phrase)
        self._start = start
        self._phrase_begin = phrase_begin
        self._rules = rules
        self._thread = thread
        self._open_voice = open_voice
        self._begin_at(start)

    @property
    def earliest(self) -> int:
        """From where on the stream is needed, in samples."""
        begin = self._start if self._phrase_begin is None else self._phrase_begin
        margin_ms = PHRASE_MARGIN_MS if self._has_phrase else LEAD_MS
        return max(0, begin - margin_ms * _SAMPLES_PER_MS)

    def take(self, pieces: Sequence[Piece]) -> bool:
        """Take what the site heard; return whether speech was cut off by a break."""
        return any(self._take(piece) for piece in pieces)

    def _take(self, piece: Piece) -> bool:
        is_first = self._sound.begin == self._sound.end
        follows = piece.offset == self._sound.end and piece.stream == self.stream
        is_cut = not (is_first or follows) and self.endpoint.begin is not None
        if not follows and not is_cut:
            self.stream = piece.stream
            is_far = abs(piece.offset - self._start) > FAR_OFF_S * RATE_HZ
            if not is_first or is_far:
                self._start, self._phrase_begin = piece.offset, None
            self._begin_at(piece.offset)
        self._sound.append(piece.samples)
        self._unheard.append(piece.samples)
        return is_cut

    def _begin_at(self, place: int) -> None:
        self._sound = Sound(place)
        self._unheard: deque[NDArray[np.int16]] = deque()
        self._odds: deque[float] = deque()
        self._voice = self._open_voice()
        self.endpoint = Endpointer(self._rules.endpoint, place)

    async def detect(self) -> None:
        """Detect voices in the sound taken so far."""
        if self._unheard:
            samples = np.concatenate(self._unheard)
            self._unheard.clear()
            self._odds.extend(await self._thread.call(self._voice.push, samples))

    def changes(self) -> Iterator[Heard]:
        """Yield what the sound detected so far changes; the rest is kept when left early."""
        while self._odds:
            odds = self._odds.popleft()
            is_before = self.endpoint.heard + WINDOW_SAMPLES // 2 < self._deaf_to
            change = self.endpoint.feed(0.0 if is_before else odds)
            if change is not None:
                yield change
        if self.endpoint.begin is None:
            self._sound.forget(min(self._sound.end, self._needed_from()))

    def speech(self) -> Pcm:
        """All that was said, for transcription; with the wake phrase if in one breath."""
        spoken_from = self._spoken_from
        begin = spoken_from - self._rules.preroll_ms * _SAMPLES_PER_MS
        if not self._has_phrase:
            begin = max(begin, self._start)
        elif self.is_one_breath:
            begin = min(begin, self.earliest)
        return self._sound.cut(begin, self.endpoint.end + self._rules.tail_ms * _SAMPLES_PER_MS)

    @property
    def is_one_breath(self) -> bool:
        """Whether `speech` begins with the wake phrase."""
        near = self._spoken_from - self._start < ONE_BREATH_MS * _SAMPLES_PER_MS
        return self._phrase_begin is not None and near

    @property
    def begin_ms(self) -> int:
        """Where speech begins in the stream."""
        return self._spoken_from // _SAMPLES_PER_MS

    @property
    def end_ms(self) -> int:
        """Where speech ends in the stream."""
        return self.endpoint.end // _SAMPLES_PER_MS

    @property
    def _spoken_from(self) -> int:
        return self.endpoint.end if self.endpoint.begin is None else self.endpoint.begin

    @property
    def _deaf_to(self) -> int:
        """Speech before it is none of the utterance, but may be the end of a wake phrase."""
        return self._start + (PHRASE_TAIL_MS * _SAMPLES_PER_MS if self._has_phrase else 0)

    def _needed_from(self) -> int:
        kept_ms = self._rules.preroll_ms + KEPT_MS
        recent = self.endpoint.heard - kept_ms * _SAMPLES_PER_MS
        one_breath = self._start + (ONE_BREATH_MS + KEPT_MS) * _SAMPLES_PER_MS
        return recent if self.endpoint.heard > one_breath else min(recent, self.earliest)
