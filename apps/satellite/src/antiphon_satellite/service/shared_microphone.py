"""One open microphone for several listeners: the live stream, and push to talk beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from antiphon_contracts import AntiphonError
from antiphon_runtime import running

from antiphon_satellite.service.ports import Microphone, Samples, Sink


class _Listener:
    """Somebody who records."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, error: AntiphonError | None) -> None:
        """No more sound will come."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)


class SharedMicrophone:
    """A `Microphone` on which any number may record at once; the device is opened only once.

    It is open while somebody records. Whoever comes later hears it from then on.

    Args:
        device: the microphone itself.
    """

    def __init__(self, device: Microphone) -> None:
        self._device = device
        self._listeners: tuple[_Listener, ...] = ()
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._rate_hz = 0

    @property
    def name(self) -> str:
        """See the port."""
        return self._device.name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        async with running(shared_microphone=self._drive()):
            yield

    async def record(self, sink: Sink) -> None:
        """See the port."""
        listener = _Listener(sink)
        if self._rate_hz:
            sink.attach(self._rate_hz)
        # A new tuple each time: the device's thread reads it at any moment.
        self._listeners = (*self._listeners, listener)
        self._unwanted.clear()
        self._wanted.set()
        try:
            await listener.over
        finally:
            self._leave(listener)

    def _leave(self, listener: _Listener) -> None:
        self._listeners = tuple(each for each in self._listeners if each is not listener)
        if not self._listeners:
            self._close()

    def _close(self) -> None:
        # Whoever comes while it closes waits until it is open again.
        self._rate_hz = 0
        self._wanted.clear()
        self._unwanted.set()

    # The device's sink

    def attach(self, rate_hz: int) -> None:
        """See the port."""
        self._rate_hz = rate_hz
        for listener in self._listeners:
            listener.sink.attach(rate_hz)

    def push(self, samples: Samples) -> None:
        """See the port."""
        for listener in self._listeners:
            listener.sink.push(samples)

    # The device's life

    async def _drive(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                async with running(microphone=self._record()):
                    await self._unwanted.wait()
            except AntiphonError as error:
                self._end(error)

    async def _record(self) -> None:
        await self._device.record(self)
        self._end(None)

    def _end(self, error: AntiphonError | None) -> None:
        listeners, self._listeners = self._listeners, ()
        self._close()
        for listener in listeners:
            listener.end(error)
