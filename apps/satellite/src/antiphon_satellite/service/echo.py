"""Taking the speaker's sound out of the microphone's: the port, and what it is fed with.

The canceller wants to know what the speaker plays at the time at which the microphone hears it.
Both devices run on clocks of their own. So every block is put on one line of time, the machine's,
and follows the block before without a seam as long as it fits to within 80 ms. What the
line is wrong by (latencies of the microphone, the way through the room) is a constant that the
canceller finds by itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from antiphon_audio import Resampler

from antiphon_satellite.service.frames import RATE_HZ
from antiphon_satellite.service.ports import Block, Samples, Source, Speaker

STEP = RATE_HZ // 100
KEPT_S = 4.0
TOLERANCE = round(0.08 * RATE_HZ)
TAIL = RATE_HZ
"""So long after the speaker's last sound the room is still."""
MAX_BLOCKS = 1_000


class EchoCanceller(Protocol):
    """Removes from the microphone's sound what the speaker played.

    Attributes:
        delay: samples by which what comes out is later than what went in.
    """

    delay: int

    def process(self, microphone: Samples, reference: Samples) -> Samples:
        """Return 10 ms without the echo; both 16 kHz, 160 samples, in order, none left out."""


class EchoPath:
    """Knows what the speaker plays when, and cleans the microphone's frames of it.

    Args:
        canceller: does the work; rests while the speaker is silent, and so costs nothing then.
        clock: seconds that only grow.
    """

    def __init__(
        self, canceller: EchoCanceller, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._canceller = canceller
        self._clock = clock
        self._lock = threading.Lock()
        self._blocks: deque[tuple[float, int, Samples]] = deque(maxlen=MAX_BLOCKS)
        self._reference = _Reference()
        self._heard_end: int | None = None
        self._before = np.zeros(canceller.delay, dtype=np.int16)

    def play(self, samples: Samples, rate_hz: int, heard_at_s: float) -> None:
        """Take what the speaker took, and when it is heard; callable from any thread."""
        with self._lock:
            self._blocks.append((heard_at_s, rate_hz, samples))

    def frame(self, samples: Samples) -> Samples:
        """See `FrameFilter`."""
        begin = self._place(len(samples))
        with self._lock:
            blocks, self._blocks = self._blocks, deque(maxlen=MAX_BLOCKS)
        for heard_at_s, rate_hz, played in blocks:
            self._reference.write(round(heard_at_s * RATE_HZ), rate_hz, played)
        reference = self._reference.read(begin, len(samples))
        before, self._before = self._before, samples[len(samples) - self._canceller.delay :]
        if reference is None:
            # As late as the canceller would be: no seam where it begins and ends.
            return np.concatenate((before, samples))[: len(samples)]
        return np.concatenate(
            [
                self._canceller.process(samples[at : at + STEP], reference[at : at + STEP])
                for at in range(0, len(samples), STEP)
            ]
        )

    def _place(self, count: int) -> int:
        """Return where on the line of time a frame begins that has just come."""
        end = round(self._clock() * RATE_HZ)
        if self._heard_end is not None:
            follows = self._heard_end + count
            if abs(follows - end) <= TOLERANCE:
                end = follows
        self._heard_end = end
        return end - count


class _Reference:
    """The speaker's last seconds by their place in time; what nobody wrote is silence."""

    def __init__(self) -> None:
        self._ring = np.zeros(round(KEPT_S * RATE_HZ), dtype=np.int16)
        self._resampler: Resampler | None = None
        self._given = 0.0  # place in time up to which the resampler was given sound
        self._end = 0  # place in time up to which the ring is written

    def write(self, begin: int, rate_hz: int, samples: Samples) -> None:
        """Take sound that is heard from `begin` on."""
        resampler = self._resampler
        follows = abs(begin - self._given) <= TOLERANCE
        if resampler is None or resampler.from_hz != rate_hz or not follows:
            self._flush()
            resampler = self._resampler = Resampler(rate_hz, RATE_HZ)
            self._pass_over(begin)
            self._given = self._end
        self._given += len(samples) * RATE_HZ / rate_hz
        self._put(resampler.push(samples))

    def read(self, begin: int, count: int) -> Samples | None:
        """Return what is heard from `begin` on; None when the room has been still for long."""
        if begin + count >= self._given:
            # The speaker has paused: what the resampler holds back will not come otherwise.
            self._flush()
        if begin >= self._end + TAIL:
            return None
        places = begin + np.arange(count)
        known = (places < self._end) & (places >= self._end - len(self._ring))
        return np.where(known, self._ring[places % len(self._ring)], 0).astype(np.int16)

    def _flush(self) -> None:
        resampler, self._resampler = self._resampler, None
        if resampler is not None:
            self._put(resampler.finish())

    def _pass_over(self, begin: int) -> None:
        """Be silent up to `begin`; what overlaps with sound that was there follows it."""
        silence = min(max(0, begin - self._end), len(self._ring))
        self._end = max(self._end, begin - silence)
        self._put(np.zeros(silence, dtype=np.int16))

    def _put(self, samples: Samples) -> None:
        size = len(self._ring)
        self._end += len(samples)
        newest = samples[-size:]
        self._ring[(self._end - len(newest) + np.arange(len(newest))) % size] = newest


class HeardSpeaker:
    """A `Speaker` that lets an `EchoPath` know what it plays.

    Args:
        speaker: the device.
        path: is told.
        clock: seconds that only grow; the same as the path's.
    """

    def __init__(
        self, speaker: Speaker, path: EchoPath, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._speaker = speaker
        self._path = path
        self._clock = clock

    @property
    def name(self) -> str:
        """See the port."""
        return self._speaker.name

    async def play(self, source: Source) -> None:
        """See the port."""
        await self._speaker.play(_HeardSource(source, self._path, self._clock))


class _HeardSource:
    """A `Source` that tells what is taken."""

    def __init__(self, source: Source, path: EchoPath, clock: Callable[[], float]) -> None:
        self._source = source
        self._path = path
        self._clock = clock
        self._rate_hz = 0
        self.settle = source.settle
        self.ready = source.ready

    def attach(self, rate_hz: int, *, pace: float = 1.0) -> None:
        self._rate_hz = rate_hz
        self._source.attach(rate_hz, pace=pace)

    def pull(self, frames: int, *, delay_s: float = 0.0) -> Block:
        block = self._source.pull(frames, delay_s=delay_s)
        if len(block.samples):
            self._path.play(block.samples, self._rate_hz, self._clock() + delay_s)
        return block
