"""The engine as its users share it: what people wait for live goes before recordings."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from enum import IntEnum
from functools import partial

from antiphon_audio import Pcm
from antiphon_runtime import ModelThread, Upstream

from antiphon_stt.transcriber import Hints, Transcriber
from antiphon_stt.transcript import Transcript

CLOSE_TIMEOUT_S = 1.0


class Rank(IntEnum):
    """Who goes first; within a rank, who came first."""

    LIVE = 0
    RECORDING = 1


class Recogniser:
    """Gives speech to the engine, the urgent first.

    Args:
        transcriber: the engine.
        parallel: how much is given to it at once.
        queue_limit: calls that may wait.
        upstream: the engine is asked through it; None asks the engine itself, once.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        parallel: int = 1,
        queue_limit: int = 64,
        upstream: Upstream | None = None,
    ) -> None:
        self._transcriber = transcriber
        self._queue_limit = queue_limit
        self._upstream = upstream
        self._slots = _Slots(parallel)

    @property
    def idle(self) -> bool:
        """Whether nothing is being transcribed and nothing waits."""
        return self._slots.idle

    @property
    def waiting(self) -> int:
        """How many wait for the engine."""
        return self._slots.waiting

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load the engine; it can be used while the block runs."""
        with ModelThread("stt-engine", queue_limit=self._queue_limit) as self._thread:
            await self._thread.call(self._transcriber.load)
            try:
                async with nullcontext() if self._upstream is None else self._upstream.open():
                    yield
            finally:
                # A call that still runs in the thread goes before; the process need not wait.
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await self._thread.call(self._transcriber.close)

    async def transcribe(
        self, speech: Pcm, hints: Hints, rank: Rank = Rank.RECORDING
    ) -> tuple[Transcript, float]:
        """Return what is said in 16 kHz `speech`, and the milliseconds that it took.

        Raises:
            EngineError: the engine failed.
        """
        async with self._slots.slot(rank):
            begun = time.perf_counter()
            ask = partial(self._thread.call, self._transcriber.transcribe, speech, hints)
            transcript = await (ask() if self._upstream is None else self._upstream.call(ask))
            return transcript, 1000.0 * (time.perf_counter() - begun)


class _Slots:
    """A semaphore that lets the most urgent in first."""

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._line: list[tuple[Rank, int, asyncio.Future[None]]] = []
        self._arrivals = 0

    @property
    def waiting(self) -> int:
        return sum(not future.done() for _, _, future in self._line)

    @property
    def idle(self) -> bool:
        return self._free == self._count

    @asynccontextmanager
    async def slot(self, rank: Rank) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._stand_in_line(rank)
        try:
            yield
        finally:
            self._release()

    async def _stand_in_line(self, rank: Rank) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._line, (rank, self._arrivals, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._line:
            _, _, turn = heapq.heappop(self._line)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
