"""The live stream: the microphone's sound, all the time, unless it is muted or told not to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from antiphon_contracts import AntiphonError, SiteStatus
from antiphon_runtime import running

from antiphon_satellite.service.frames import FRAME_MS, FrameFilter, Frames
from antiphon_satellite.service.ports import Microphone, Notes

MAX_AGE_S = 0.5
"""A frame that could not be sent for so long is not sent any more."""
MAX_UNSENT = int(1000 * MAX_AGE_S) // FRAME_MS
MAX_REOPEN_S = 30.0

log = structlog.get_logger(__name__)


class Streaming:
    """What one site's microphone sends, and the word about it.

    Args:
        microphone: the device.
        send: sends a frame; says whether it went.
        report: publishes a status.
        health: hears when the device is lost and found.
        wanted: whether the microphone is to be streamed at all.
        echo_cancelled: whether the stream is free of the speaker's sound.
        filters: what each frame goes through before it is sent.
        reopen_s: pause before a lost device is opened again; doubles up to 30 s.
        counters: counts frames sent and not sent.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        microphone: Microphone,
        *,
        send: Callable[[bytes], bool],
        report: Callable[[SiteStatus], None],
        health: Notes,
        wanted: bool = True,
        echo_cancelled: bool = False,
        filters: tuple[FrameFilter, ...] = (),
        reopen_s: float = 1.0,
        counters: Counter[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._microphone = microphone
        self._send = send
        self._report = report
        self._health = health
        self._wanted = wanted
        self._echo_cancelled = echo_cancelled
        self._filters = filters
        self._reopen_s = self._pause_s = reopen_s
        self._counters = Counter[str]() if counters is None else counters
        self._clock = clock
        self._muted = False
        self._live = False
        self._frames: Frames | None = None
        self._unsent: deque[tuple[float, bytes]] = deque(maxlen=MAX_UNSENT)
        self._go = asyncio.Event()
        self._halt = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Stream while the block runs."""
        self._live = True
        self.mute(self._muted)
        try:
            async with running(stream=self._keep()):
                yield
        finally:
            self._frames = None
            self.tell()
            self._live = False

    def mute(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        """Close the microphone and send nothing, from now on; or do so again."""
        self._muted = muted
        if muted or not self._wanted:
            self._go.clear()
            self._halt.set()
            self._silence()
        else:
            self._halt.clear()
            self._go.set()
        self.tell()

    @property
    def status(self) -> SiteStatus:
        """What is to be said about the microphone now."""
        frames = self._frames
        return SiteStatus(
            streaming=frames is not None,
            stream=frames.stream if frames is not None else "",
            muted=self._muted,
            echo_cancelled=self._echo_cancelled,
        )

    def tell(self) -> None:
        """Publish the status, if the satellite runs."""
        if self._live:
            self._report(self.status)

    def _silence(self) -> None:
        self._frames = None
        self._unsent.clear()

    # The microphone

    async def _keep(self) -> None:
        """Keep the microphone open, for ever, unless muted."""
        while True:
            await self._go.wait()
            try:
                async with running(stream_microphone=self._listen()):
                    await self._halt.wait()
            except AntiphonError as error:
                log.warning("microphone.lost", device=self._microphone.name, reason=str(error))
                self._health.note("microphone", str(error))
                self._over()
                await asyncio.sleep(self._pause_s)
                self._pause_s = min(MAX_REOPEN_S, 2 * self._pause_s)
            finally:
                self._silence()

    async def _listen(self) -> None:
        frames = Frames(lambda: self._on_open(frames), self._on_frame, self._filters)
        await self._microphone.record(frames)
        self._over()

    def _on_open(self, frames: Frames) -> None:
        if self._muted:
            return
        self._frames = frames
        self._pause_s = self._reopen_s
        self._health.clear_note("microphone")
        self.tell()

    def _over(self) -> None:
        self._silence()
        self.tell()

    def _on_frame(self, frame: bytes) -> None:
        if self._frames is None:
            return
        while self._unsent:
            put_s, oldest = self._unsent[0]
            if self._clock() - put_s <= MAX_AGE_S and not self._send(oldest):
                break
            self._unsent.popleft()
        if self._unsent or not self._send(frame):
            self._counters["frames_unsent"] += 1
            self._unsent.append((self._clock(), frame))
