"""The seam between the event loop and the speaker's thread.

The loop loads one utterance at a time and keeps half a second of sound here; the device pulls it.
Everything that is known about what was really played is counted at this point.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from antiphon_satellite.service.ports import Block, Samples, no_samples

RAMP_S = 0.02
"""From silence to full volume: short to the ear, long enough not to click."""
LOW_WATER_S = 0.25
HIGH_WATER_S = 0.5


@dataclass(slots=True)
class _Track:
    utterance_id: str
    pieces: deque[Samples] = field(default_factory=deque)
    level: int = 0
    taken: int = 0
    heard_at_s: float = 0.0
    flowing: bool = False
    asked: bool = False
    closed: bool = False
    spent: bool = False
    settled: bool = False
    starvations: int = 0


class Playout:
    """The `Source` of the satellite's speaker.

    Args:
        changed: called when the loop has something to do; from any thread.
        on_attach: called on the loop when the device is open.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        on_attach: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._on_attach = on_attach
        self._clock = clock
        self._lock = threading.Lock()
        self._pullable = asyncio.Event()
        self._track: _Track | None = None
        self._rate_hz = 0
        self._pace = 1.0
        self._paused = False
        self._gain = self._target = 1.0

    # For the device

    def attach(self, rate_hz: int, *, pace: float = 1.0) -> None:
        """See the port."""
        with self._lock:
            self._rate_hz, self._pace = rate_hz, pace
        self._on_attach()
        self._changed()

    def pull(self, frames: int, *, delay_s: float = 0.0) -> Block:
        """See the port."""
        with self._lock:
            track = self._track
            if track is None or track.spent or not self._rate_hz:
                return Block()
            if self._paused or not track.flowing:
                return Block(track.utterance_id)
            first = not track.taken
            samples = self._take(track, frames)
            self._account(track, len(samples), delay_s)
            track.spent = last = track.closed and not track.level
            starved = not last and len(samples) < frames
            if starved:
                track.flowing = False
                track.starvations += 1
            low = not track.closed and track.level < LOW_WATER_S * self._rate_hz
            wanted = low and not track.asked
            track.asked = low
        if first or last or starved or wanted:
            self._changed()
        return Block(track.utterance_id, samples, last)

    def settle(self) -> None:
        """See the port."""
        with self._lock:
            if self._track is None or not self._track.spent:
                return
            self._track.settled = True
        self._changed()

    async def ready(self) -> None:
        """See the port."""
        await self._pullable.wait()
        self._pullable.clear()

    def _take(self, track: _Track, frames: int) -> Samples:
        taken: list[Samples] = []
        room = frames
        while room and track.pieces:
            piece = track.pieces.popleft()
            if len(piece) > room:
                track.pieces.appendleft(piece[room:])
                piece = piece[:room]
            taken.append(piece)
            room -= len(piece)
        if not taken:
            return no_samples()
        samples = taken[0] if len(taken) == 1 else np.concatenate(taken)
        return self._with_gain(samples)

    def _account(self, track: _Track, count: int, delay_s: float) -> None:
        track.level -= count
        track.taken += count
        if count:
            length_s = count / (self._rate_hz * self._pace) if self._pace else 0.0
            track.heard_at_s = self._clock() + delay_s + length_s

    def _with_gain(self, samples: Samples) -> Samples:
        if self._gain == self._target:
            if self._gain == 1.0:
                return samples
            return _scaled(samples, np.float32(self._gain))
        step = 1.0 / (RAMP_S * self._rate_hz)
        way = np.arange(1, len(samples) + 1, dtype=np.float32) * np.float32(step)
        if self._target > self._gain:
            gains = np.minimum(self._gain + way, self._target)
        else:
            gains = np.maximum(self._gain - way, self._target)
        self._gain = float(gains[-1])
        return _scaled(samples, gains)

    # For the loop

    @property
    def rate_hz(self) -> int:
        """The open device's rate; 0 while there is none."""
        return self._rate_hz

    @property
    def loaded(self) -> bool:
        """Whether there is an utterance; losing the device loses it."""
        return self._track is not None

    @property
    def wanted(self) -> bool:
        """Whether there is room for more sound."""
        track = self._track
        return track is not None and track.level < HIGH_WATER_S * self._rate_hz

    @property
    def level_s(self) -> float:
        """Sound that waits here, in seconds."""
        return self._track.level / self._rate_hz if self._track and self._rate_hz else 0.0

    @property
    def flowing(self) -> bool:
        """Whether the device may take what is here; it may not before `flow`, or once starved."""
        return self._track is not None and self._track.flowing

    @property
    def started(self) -> bool:
        """Whether the device has taken the utterance's first sample."""
        return self._track is not None and self._track.taken > 0

    @property
    def settled(self) -> bool:
        """Whether the device has the whole utterance."""
        return self._track is not None and self._track.settled

    @property
    def starvations(self) -> int:
        """How often the device asked in vain in the middle of this utterance."""
        return self._track.starvations if self._track else 0

    @property
    def unheard_s(self) -> float:
        """How long until what the device took is heard to its end."""
        return max(0.0, self._track.heard_at_s - self._clock()) if self._track else 0.0

    @property
    def taken_ms(self) -> int:
        """Sound that the device took of this utterance, heard yet or not."""
        return self._ms(self._track.taken) if self._track else 0

    @property
    def heard_ms(self) -> int:
        """Sound of this utterance that has left the device by now."""
        if self._track is None:
            return 0
        in_flight = self.unheard_s * self._rate_hz * self._pace
        return self._ms(max(0.0, self._track.taken - in_flight))

    def _ms(self, samples: float) -> int:
        return round(1000 * samples / self._rate_hz) if self._rate_hz else 0

    def detach(self) -> None:
        """The device is gone; sound that waits for it is dropped."""
        with self._lock:
            self._rate_hz = 0
            self._track = None
        self._stir()
        self._changed()

    def load(self, utterance_id: str, *, paused: bool = False) -> None:
        """Begin an utterance; the device gets none of it before `flow`, nor while it is paused."""
        with self._lock:
            self._track = _Track(utterance_id)
            self._paused = paused
            self._gain = self._target
        self._stir()

    def push(self, samples: Samples) -> None:
        """Append sound at the device's rate."""
        if not len(samples):
            return
        with self._lock:
            if self._track is None:
                return
            self._track.pieces.append(samples)
            self._track.level += len(samples)
            self._track.asked = False
        self._stir()

    def flow(self) -> None:
        """Let the device have what is here."""
        with self._lock:
            if self._track is not None:
                self._track.flowing = True
        self._stir()

    def close(self) -> None:
        """No more sound will come for this utterance."""
        with self._lock:
            if self._track is not None:
                self._track.closed = self._track.flowing = True
        self._stir()

    def cut(self) -> None:
        """Hand out no more of this utterance, from the device's next pull on."""
        with self._lock:
            if self._track is not None:
                self._track.pieces.clear()
                self._track.level = 0
                self._track.spent = True
        self._stir()

    def unload(self) -> None:
        """Nothing is to be played."""
        with self._lock:
            self._track = None
            self._paused = False
        self._stir()

    def pause(self) -> None:
        """Hand out nothing until `resume`, from the device's next pull on."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        with self._lock:
            self._paused = False
        self._stir()

    def set_gain(self, gain: float) -> None:
        """Go to this factor (0 to 1), smoothly where sound is playing."""
        with self._lock:
            self._target = gain

    def _stir(self) -> None:
        self._pullable.set()


def _scaled(samples: Samples, gain: np.float32 | NDArray[np.float32]) -> Samples:
    scaled: NDArray[np.float32] = np.rint(samples * gain)
    return scaled.astype(np.int16)
