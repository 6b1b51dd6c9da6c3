"""A short tone when the house begins to listen.

It goes over whatever is played and counts as nothing that was said. Only for a site whose echo is
cancelled: elsewhere it would sound into the words that follow the wake word in the same breath.
"""

from __future__ import annotations

import threading

import numpy as np
from antiphon_contracts import DialogueState, Message

from antiphon_satellite.service.ports import Block, Samples, Source, Speaker, no_samples

TONES_HZ = (660, 880)
TONE_S = 0.07
PEAK = 32_767 * 10 ** (-24 / 20)
REASONS = frozenset({"wake", "barge_in"})


def earcon(rate_hz: int, volume: float = 1.0) -> Samples:
    """Return two tones of 70 ms, the second higher, without a click."""
    count = round(TONE_S * rate_hz)
    times = np.arange(count) / rate_hz
    swell = np.sin(np.pi * np.arange(count) / count) ** 2
    tones = [np.sin(2 * np.pi * hz * times) * swell for hz in TONES_HZ]
    made = np.concatenate(tones) * (PEAK * volume)
    return np.rint(made).astype(np.int16)


class ChimingSpeaker:
    """A `Speaker` that sounds the earcon over what it plays.

    Args:
        speaker: the device.
        volume: 0 to 1.
    """

    def __init__(self, speaker: Speaker, *, volume: float = 1.0) -> None:
        self._speaker = speaker
        self._volume = volume
        self._source: _ChimingSource | None = None
        self._state = ""

    @property
    def name(self) -> str:
        """See the port."""
        return self._speaker.name

    async def play(self, source: Source) -> None:
        """See the port."""
        self._source = _ChimingSource(source, self._volume)
        try:
            await self._speaker.play(self._source)
        finally:
            self._source = None

    async def on_state(self, message: Message[DialogueState]) -> None:
        """Sound when the site begins to listen after a wake word."""
        before, self._state = self._state, message.data.state
        begins = self._state == "listening" != before
        if begins and message.data.reason in REASONS and self._source is not None:
            self._source.chime()


class _ChimingSource:
    """A `Source` with a tone over it."""

    def __init__(self, source: Source, volume: float) -> None:
        self._source = source
        self._volume = volume
        self._lock = threading.Lock()
        self._earcon = self._rest = no_samples()
        self.settle = source.settle
        self.ready = source.ready

    def chime(self) -> None:
        with self._lock:
            self._rest = self._earcon

    def attach(self, rate_hz: int, *, pace: float = 1.0) -> None:
        self._earcon = earcon(rate_hz, self._volume)
        self._source.attach(rate_hz, pace=pace)

    def pull(self, frames: int, *, delay_s: float = 0.0) -> Block:
        block = self._source.pull(frames, delay_s=delay_s)
        with self._lock:
            tone, self._rest = self._rest[:frames], self._rest[frames:]
        if not len(tone):
            return block
        mixed = np.zeros(max(len(tone), len(block.samples)), dtype=np.int32)
        mixed[: len(tone)] += tone
        mixed[: len(block.samples)] += block.samples
        return Block(
            block.utterance_id, np.clip(mixed, -32_768, 32_767).astype(np.int16), block.last
        )
