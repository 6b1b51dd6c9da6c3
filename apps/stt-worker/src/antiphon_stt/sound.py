"""The sound of one listening window."""

from __future__ import annotations

from collections import deque

import numpy as np
from antiphon_audio import Pcm
from numpy.typing import NDArray

RATE_HZ = 16_000


class Sound:
    """A stretch of a stream that grows at its end and is forgotten at its beginning.

    Places count in samples of the stream.

    Attributes:
        begin: where it begins.
        end: where it ends.
    """

    def __init__(self, begin: int) -> None:
        self.begin = self.end = begin
        self._parts: deque[NDArray[np.int16]] = deque()

    def append(self, samples: NDArray[np.int16]) -> None:
        """Add what follows."""
        self._parts.append(samples)
        self.end += len(samples)

    def forget(self, before: int) -> None:
        """Drop whole pieces that lie before a place."""
        while self._parts and self.begin + len(self._parts[0]) <= before:
            self.begin += len(self._parts.popleft())

    def cut(self, begin: int, end: int) -> Pcm:
        """Return what lies between two places; less where it is not there."""
        parts = []
        place = self.begin
        for part in self._parts:
            if place < end and place + len(part) > begin:
                parts.append(part[max(0, begin - place) : end - place])
            place += len(part)
        samples = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)
        return Pcm(samples, RATE_HZ)
