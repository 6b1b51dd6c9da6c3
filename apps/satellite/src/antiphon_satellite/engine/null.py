"""Devices without a sound: a speaker that takes its time, a microphone that hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import numpy as np
from antiphon_contracts import EngineError

from antiphon_satellite.service import Block, Samples, Sink, Source

BLOCK_S = 0.02
HEARD_BLOCK_S = 0.08
"""A microphone's block is longer: nobody takes less than a frame, and each costs a wake-up."""
MAX_LATE_S = 1.0


async def pull_paced(
    source: Source, rate_hz: int, pace: float, deliver: Callable[[Block], Awaitable[None]]
) -> NoReturn:
    """Pull blocks of 20 ms at `pace` and deliver each, until cancelled.

    An utterance is settled when its last block has been delivered.
    """
    source.attach(rate_hz, pace=pace)
    loop = asyncio.get_running_loop()
    frames = round(BLOCK_S * rate_hz)
    due_s = loop.time()
    while True:
        block = source.pull(frames)
        await deliver(block)
        if block.last:
            source.settle()
        if len(block.samples):
            length_s = len(block.samples) / (rate_hz * pace) if pace else 0.0
            due_s = max(due_s, loop.time() - BLOCK_S) + length_s
            await asyncio.sleep(due_s - loop.time())
        elif not block.last:
            await source.ready()


class Pacer:
    """Hands sound to a sink as a microphone would: each block when its last sample is heard.

    Args:
        rate_hz: the sound's rate.
        pace: speed, 0 is as fast as possible.
    """

    def __init__(self, rate_hz: int, pace: float) -> None:
        self._rate_hz = rate_hz
        self._pace = pace
        self._due_s = asyncio.get_running_loop().time()

    async def push(self, sink: Sink, samples: Samples) -> None:
        """Hand over `samples` in blocks of 80 ms."""
        frames = round(HEARD_BLOCK_S * self._rate_hz)
        for start in range(0, len(samples), frames):
            block = samples[start : start + frames]
            await self._wait(len(block) / self._rate_hz)
            sink.push(block)

    async def push_silence(self, sink: Sink) -> NoReturn:
        """Hand over silence for ever; not at pace 0."""
        block = np.zeros(round(HEARD_BLOCK_S * self._rate_hz), dtype=np.int16)
        while True:
            await self.push(sink, block)

    async def _wait(self, length_s: float) -> None:
        if not self._pace:
            await asyncio.sleep(0)
            return
        now_s = asyncio.get_running_loop().time()
        # A process that was stopped for long has missed what was said meanwhile.
        self._due_s = max(self._due_s + length_s / self._pace, now_s - MAX_LATE_S)
        await asyncio.sleep(self._due_s - now_s)


class NullSpeaker:
    """Takes sound at a speaker's pace and forgets it."""

    name = "null"

    def __init__(self, rate_hz: int = 22_050, *, pace: float = 1.0) -> None:
        self._rate_hz = rate_hz
        self._pace = pace

    async def play(self, source: Source) -> None:
        """See the port; never fails."""
        await pull_paced(source, self._rate_hz, self._pace, self._forget)

    async def _forget(self, block: Block) -> None:
        pass


class NullMicrophone:
    """Hears silence."""

    name = "null"

    def __init__(self, rate_hz: int = 16_000, *, pace: float = 1.0) -> None:
        self._rate_hz = rate_hz
        # Silence as fast as possible would never end.
        self._pace = pace or 1.0

    async def record(self, sink: Sink) -> None:
        """See the port; never fails."""
        sink.attach(self._rate_hz)
        await Pacer(self._rate_hz, self._pace).push_silence(sink)


class MissingMicrophone:
    """Stands where there is none: every recording fails with a sentence."""

    name = "none"

    async def record(self, sink: Sink) -> None:
        """Refuse.

        Raises:
            EngineError: always.
        """
        del sink
        msg = "There is no microphone here: connect one, or set `microphone` of the satellite."
        raise EngineError(msg)
