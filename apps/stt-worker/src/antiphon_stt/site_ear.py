"""A site's ear: its microphone's last seconds, and what is to be unheard of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from antiphon_audio import StreamReader
from numpy.typing import NDArray

RATE_HZ = 16_000
KEPT_S = 4.0
FAR_AHEAD_S = 2.0
LEFT_STREAMS = 4
RETURNS = 3
RETURNS_WITHIN_S = 30.0
"""A microphone's stream has a new name whenever it begins anew. Where one comes back so often that
another had taken the place of, two microphones send from one site."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Sound of a stream.

    Attributes:
        stream: the stream's name.
        offset: samples of the stream before it.
        samples: 16 kHz, int16, shape (n,).
        is_anew: whether it is not the continuation of the piece before.
        is_deaf: whether it was heard with a deaf ear.
    """

    stream: str
    offset: int
    samples: NDArray[np.int16]
    is_anew: bool = False
    is_deaf: bool = False

    @property
    def end(self) -> int:
        """Samples of the stream up to its end."""
        return self.offset + len(self.samples)

    def after(self, place: int) -> Piece | None:
        """What of it lies behind `place`; None if nothing."""
        if place <= self.offset:
            return self
        if place >= self.end:
            return None
        rest = self.samples[place - self.offset :]
        return Piece(self.stream, place, rest, is_deaf=self.is_deaf)


class SiteEar:
    """Takes one site's frames and keeps the last seconds.

    Args:
        now: the loop's clock.

    Attributes:
        stream: name of the stream that runs; empty if it has none.
        end: samples of it so far; None before the first frame.
        heard_at: when the last frame came, by the loop's clock.
    """

    def __init__(self, now: float) -> None:
        self.stream = ""
        self.end: int | None = None
        self.heard_at = now
        self._reader = StreamReader()
        self._recent: deque[Piece] = deque()
        self._kept = 0
        self._deaf_left = 0
        self._left: deque[str] = deque(maxlen=LEFT_STREAMS)
        self._returned_at: deque[float] = deque(maxlen=RETURNS)

    @property
    def begin(self) -> int:
        """From where on sound is kept."""
        return self._recent[0].offset if self._recent else (self.end or 0)

    @property
    def is_deaf(self) -> bool:
        """Whether what comes next is to be unheard."""
        return self._deaf_left > 0

    def hear(self, frame: bytes, now: float) -> Piece | None:
        """Take a frame; return what it adds, or None.

        Raises:
            ContractError: it is no frame of a microphone.
        """
        stretch = self._reader.push(frame)
        self.heard_at = now
        if stretch is None:
            return None
        place, samples = stretch.place, stretch.samples
        if self.end is not None and place.stream != self.stream:
            self._switch(place.stream, now)
        piece = Piece(place.stream, place.offset, samples, stretch.anew, self.is_deaf)
        self._deaf_left = max(0, self._deaf_left - len(samples))
        if piece.is_anew:
            self._recent.clear()
            self._kept = 0
        self._keep(piece)
        return piece

    def is_shared(self, now: float) -> bool:
        """Whether two microphones send from this site."""
        returned = self._returned_at
        return len(returned) == RETURNS and now - returned[0] <= RETURNS_WITHIN_S

    def _switch(self, stream: str, now: float) -> None:
        if stream in self._left:
            self._returned_at.append(now)
        if self.stream not in self._left:
            self._left.append(self.stream)

    def deafen(self, for_s: float) -> None:
        """Turn a deaf ear to so much of what comes; 0 is none."""
        self._deaf_left = round(for_s * RATE_HZ)

    def since(self, place: int) -> list[Piece]:
        """What is kept of the sound behind `place`, in order."""
        return [rest for piece in self._recent if (rest := piece.after(place)) is not None]

    def knows(self, stream: str, place: int) -> bool:
        """Whether a place in a stream can be found in what is kept, or will soon come."""
        if self.end is None or (stream and stream != self.stream):
            return False
        return self.begin <= place <= self.end + FAR_AHEAD_S * RATE_HZ

    def _keep(self, piece: Piece) -> None:
        self.stream, self.end = piece.stream, piece.end
        self._recent.append(piece)
        self._kept += len(piece.samples)
        while self._kept - len(self._recent[0].samples) >= KEPT_S * RATE_HZ:
            self._kept -= len(self._recent.popleft().samples)
