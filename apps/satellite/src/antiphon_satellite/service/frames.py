"""The microphone's sound, cut into frames of 80 ms at 16 kHz that know their place."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np
from antiphon_audio import Pcm, Place, Resampler, wrap_frame

from antiphon_satellite.service.ports import Samples, no_samples

RATE_HZ = 16_000
FRAME_MS = 80
FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
MAX_BEHIND_S = 2.0
"""Sound that the loop may be behind; what is older is left out."""
MAX_RATE_HZ = 192_000


class FrameFilter(Protocol):
    """What happens to a frame before it is sent."""

    def frame(self, samples: Samples) -> Samples:
        """Return the frame, changed or not: 16 kHz, as long as it came."""


class Frames:
    """The `Sink` of one opening of the microphone: one stream.

    The device's thread only hands over; everything else happens on the event loop.

    Args:
        on_open: told when the device is open.
        on_frame: takes a frame as it travels on `audio/<site>/in`.
        filters: what each frame goes through first, in order.

    Attributes:
        stream: the stream's name; a new one when sound was lost that nobody counted.
    """

    def __init__(
        self,
        on_open: Callable[[], None],
        on_frame: Callable[[bytes], None],
        filters: tuple[FrameFilter, ...] = (),
    ) -> None:
        self.stream = secrets.token_hex(4)
        self._on_open = on_open
        self._on_frame = on_frame
        self._filters = filters
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._resampler: Resampler | None = None
        self._rate_hz = 0
        self._pieces: list[Samples] = []
        self._waiting = 0
        self._asked = False
        self._lost = False
        self._rest = no_samples()
        self._offset = 0

    def attach(self, rate_hz: int) -> None:
        """See the port."""
        again, self._rate_hz = self._resampler is not None, rate_hz
        if again:
            self._begin_anew()
            return
        self._resampler = Resampler(rate_hz, RATE_HZ)
        self._on_open()
        self._take()

    def push(self, samples: Samples) -> None:
        """See the port."""
        rate_hz = self._rate_hz or MAX_RATE_HZ
        if self._waiting > MAX_BEHIND_S * rate_hz:
            self._lost = True
            return
        self._pieces.append(samples)
        self._waiting += len(samples)
        # One call of the loop for each frame, not for each block of the device.
        if self._asked or 1000 * self._waiting < FRAME_MS * rate_hz:
            return
        if threading.get_ident() == self._loop_thread:
            self._take()
        else:
            self._asked = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._asked = False
        if self._resampler is None:
            return
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        for piece in pieces or ():
            self._cut(self._resampler.push(piece))
        if self._lost:
            self._begin_anew()

    def _cut(self, samples: Samples) -> None:
        rest = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        while len(rest) >= FRAME_SAMPLES:
            self._finish(rest[:FRAME_SAMPLES])
            rest = rest[FRAME_SAMPLES:]
        self._rest = rest

    def _finish(self, frame: Samples) -> None:
        for each in self._filters:
            frame = each.frame(frame)
        place = Place(self.stream, self._offset)
        self._offset += len(frame)
        self._on_frame(wrap_frame(Pcm(frame, RATE_HZ), place))

    def _begin_anew(self) -> None:
        """Sound was lost, and nobody knows how much: its clock cannot be kept."""
        self._lost = False
        self.stream = secrets.token_hex(4)
        self._offset = 0
        self._rest = no_samples()
        self._resampler = Resampler(self._rate_hz, RATE_HZ)
        self._on_open()
