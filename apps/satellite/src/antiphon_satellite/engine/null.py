"""Devices without a sound: a speaker that takes its time, a microphone that hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import numpy as np
from antiphon_contracts import EngineError

from antiphon_satellite.service import Block, Sink, Source

BLOCK_S = 0.02


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


async def push_paced(sink: Sink, samples: np.ndarray, rate_hz: int, pace: float) -> None:
    """Hand over `samples` in blocks of 20 ms at `pace`."""
    loop = asyncio.get_running_loop()
    frames = round(BLOCK_S * rate_hz)
    due_s = loop.time()
    for start in range(0, len(samples), frames):
        if pace:
            due_s += BLOCK_S / pace
        await asyncio.sleep(due_s - loop.time() if pace else 0)
        sink.push(samples[start : start + frames])


async def push_silence(sink: Sink, rate_hz: int, pace: float) -> NoReturn:
    """Hand over silence at `pace`, which is not 0, until cancelled."""
    second = np.zeros(rate_hz, dtype=np.int16)
    while True:
        await push_paced(sink, second, rate_hz, pace)


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
        await push_silence(sink, self._rate_hz, self._pace)


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
