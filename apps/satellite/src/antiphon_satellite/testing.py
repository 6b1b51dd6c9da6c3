"""Devices that a test works by hand."""

from __future__ import annotations

import asyncio

import numpy as np
from antiphon_contracts import EngineError
from numpy.typing import NDArray

from antiphon_satellite.service import Sink, Source


class ManualSpeaker:
    """Plays when the test says so.

    Attributes:
        played: what came out, one entry (utterance id, samples) for each pull that gave sound.
        opened: how often it was opened.
        reopened: set whenever it is opened.
        refusals: how often opening fails from now on.
    """

    name = "manual"

    def __init__(self, rate_hz: int = 16_000) -> None:
        self.rate_hz = rate_hz
        self.played: list[tuple[str, NDArray[np.int16]]] = []
        self.opened = 0
        self.reopened = asyncio.Event()
        self.refusals = 0
        self._source: Source | None = None
        self._lost = asyncio.Event()

    async def play(self, source: Source) -> None:
        """See the port."""
        if self.refusals:
            self.refusals -= 1
            msg = "The manual speaker does not open."
            raise EngineError(msg, retryable=True)
        self._lost.clear()
        self._source = source
        self.opened += 1
        # Pace 0: what is pulled is heard at once, so that no test waits for a clock.
        source.attach(self.rate_hz, pace=0)
        self.reopened.set()
        try:
            await self._lost.wait()
        finally:
            self._source = None
        msg = "The manual speaker was lost."
        raise EngineError(msg, retryable=True)

    @property
    def source(self) -> Source | None:
        """What it plays from; None while it is closed."""
        return self._source

    def unplug(self) -> None:
        """Lose the device."""
        self._lost.set()

    def pull(self, ms: float = 20.0) -> int:
        """Play for so long, if there is sound; return the number of samples played."""
        if self._source is None:
            return 0
        block = self._source.pull(round(self.rate_hz * ms / 1000))
        if block.utterance_id is not None and len(block.samples):
            self.played.append((block.utterance_id, block.samples))
        if block.last:
            self._source.settle()
        return len(block.samples)

    async def pull_until_quiet(self, turns: int = 20) -> int:
        """Play everything that is on offer; return the number of samples played.

        It is quiet when `turns` turns of the loop in a row brought no sound.
        """
        total = quiet = 0
        while quiet < turns:
            count = self.pull()
            total += count
            quiet = 0 if count else quiet + 1
            await asyncio.sleep(0)
        return total

    def sound_of(self, utterance_id: str) -> NDArray[np.int16]:
        """Return all that was played of an utterance."""
        pieces = [samples for name, samples in self.played if name == utterance_id]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)


class ManualMicrophone:
    """Hears what the test says.

    Attributes:
        listening: whether it is open.
        broken: whether opening fails.
    """

    name = "manual"

    def __init__(self, rate_hz: int = 48_000) -> None:
        self.rate_hz = rate_hz
        self.broken = False
        self._sink: Sink | None = None
        self._lost = asyncio.Event()

    @property
    def listening(self) -> bool:
        """Whether it is open."""
        return self._sink is not None

    async def record(self, sink: Sink) -> None:
        """See the port."""
        if self.broken:
            msg = "The manual microphone does not open."
            raise EngineError(msg, retryable=True)
        self._lost.clear()
        self._sink = sink
        sink.attach(self.rate_hz)
        try:
            await self._lost.wait()
        finally:
            self._sink = None
        msg = "The manual microphone was lost."
        raise EngineError(msg, retryable=True)

    def unplug(self) -> None:
        """Lose the device."""
        self._lost.set()

    def hear(self, samples: NDArray[np.int16]) -> None:
        """Take in sound; nothing happens while it is closed."""
        if self._sink is not None:
            self._sink.push(samples)
