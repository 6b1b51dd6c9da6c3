"""A lamp's view of the dialogue: somebody is told of each change, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from antiphon_contracts import DialogueState, EngineError, Message, WakeEvent
from antiphon_runtime import running

from antiphon_satellite.service.ports import Notes

MAX_WAITING = 8


class Hook:
    """Tells a program what goes on at the site; never waits for it.

    It is told `wake`, and the dialogue's states when they change. What comes while it still works
    on the one before waits; of much that waits the oldest is left out.

    Args:
        tell: runs the program with a state; done when it has ended.
        health: hears when it does not work.
    """

    def __init__(self, tell: Callable[[str], Awaitable[None]], health: Notes) -> None:
        self._tell = tell
        self._health = health
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._more = asyncio.Event()
        self._last = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Tell while the block runs."""
        async with running(hook=self._serve()):
            yield

    async def on_state(self, message: Message[DialogueState]) -> None:
        """Take `dialogue/<site>/state`."""
        if message.data.state != self._last:
            self._last = message.data.state
            self._put(self._last)

    async def on_wake(self, message: Message[WakeEvent]) -> None:
        """Take `wake/event/<site>`."""
        del message
        self._put("wake")

    def _put(self, state: str) -> None:
        self._waiting.append(state)
        self._more.set()

    async def _serve(self) -> None:
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            try:
                await self._tell(self._waiting.popleft())
            except EngineError as error:
                self._health.note("hook", str(error))
            else:
                self._health.clear_note("hook")
