"""An utterance as it arrives: frames at any rate, and what is known about its end."""

from __future__ import annotations

from collections import deque

import numpy as np
from antiphon_audio import Pcm, Resampler

from antiphon_satellite.service.ports import Samples, no_samples

PIECE_MS = 80
"""Sound is resampled in pieces of this length, so that one huge frame does not block the loop."""


class Utterance:
    """Received sound of one utterance that has not gone to the device yet.

    Attributes:
        utterance_id: its id.
        last_frame_s: when its last frame came, on the clock of whoever adds.
        ended: whether no more frames will come.
        stopped: whether it was told to stop.
        detail: what people should know about it.
        waiting_bytes: memory of what waits.
    """

    def __init__(self, utterance_id: str, now_s: float) -> None:
        self.utterance_id = utterance_id
        self.last_frame_s = now_s
        self.ended = False
        self.stopped = False
        self.detail = ""
        self.waiting_bytes = 0
        self._frames: deque[Pcm] = deque()
        self._resampler: Resampler | None = None

    @property
    def waits(self) -> bool:
        """Whether there is sound to take."""
        return bool(self._frames)

    def add(self, pcm: Pcm, now_s: float) -> None:
        """Take a frame."""
        self.last_frame_s = now_s
        if len(pcm):
            self._frames.append(pcm)
            self.waiting_bytes += pcm.samples.nbytes

    def take(self, rate_hz: int) -> Samples:
        """Return the next piece (80 ms at the most go in) at `rate_hz`; may be empty."""
        frame = self._frames.popleft()
        size = max(1, frame.rate_hz * PIECE_MS // 1000)
        if len(frame) > size:
            self._frames.appendleft(Pcm(frame.samples[size:], frame.rate_hz))
        piece = frame.samples[:size]
        self.waiting_bytes -= piece.nbytes
        rest = no_samples()
        if self._resampler is None or self._resampler.from_hz != frame.rate_hz:
            rest = self.finish()
            self._resampler = Resampler(frame.rate_hz, rate_hz)
        ready = self._resampler.push(piece)
        return np.concatenate((rest, ready)) if len(rest) else ready

    def finish(self) -> Samples:
        """Return what the resampler held back."""
        resampler, self._resampler = self._resampler, None
        return no_samples() if resampler is None else resampler.finish()

    def clear(self) -> None:
        """Throw away what waits."""
        self._frames.clear()
        self.waiting_bytes = 0
