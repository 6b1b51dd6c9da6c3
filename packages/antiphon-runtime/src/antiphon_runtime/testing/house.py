"""A house in one process: buses on one in-memory broker, for tests of services."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar

from antiphon_contracts import (
    BusError,
    Message,
    Payload,
    RawTopic,
    RequestTopic,
    Topic,
)

from antiphon_runtime.bus import Bus
from antiphon_runtime.dead_letters import DeadLetters
from antiphon_runtime.handlers import Handler, RawMessage, listen, listen_raw
from antiphon_runtime.health import HealthReporter
from antiphon_runtime.loop_monitor import LoopMonitor
from antiphon_runtime.presence import Presence
from antiphon_runtime.settings import RuntimeSettings, Settings
from antiphon_runtime.tasks import running
from antiphon_runtime.testing.memory_transport import MemoryBroker
from antiphon_runtime.worker import Wiring, Worker

P = TypeVar("P", bound=Payload)
S = TypeVar("S", bound=Settings)


class Heard(list[Any]):
    """What came in on a topic so far, oldest first; `until` waits for more."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def add(self, item: object) -> None:
        """Note one more."""
        self.append(item)
        self._more.set()

    async def until(self, enough: int | Callable[[Heard], bool], timeout_s: float = 5.0) -> Self:
        """Return when there are `enough` items, or when `enough(self)` is true.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while not (len(self) >= enough if isinstance(enough, int) else enough(self)):
                self._more.clear()
                await self._more.wait()
        return self


class House:
    """Runs workers' wirings and listens to what they say.

    A kind of worker that published no health is taken to be there: what `serve` runs has none.
    Use it as an async context manager; everything stops at its end.

    Attributes:
        broker: the in-memory broker; `go_offline` and `denied` simulate trouble.
        bus: a bus for the test itself.
    """

    def __init__(self, requests: Iterable[RequestTopic[Any, Any]] = ()) -> None:
        self.broker = MemoryBroker()
        self.bus = Bus(self.broker.transport(), source="test", presence=_of_fakes())
        self.bus.install(requests=requests)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.bus.open())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def hear(self, topic: Topic[P]) -> Heard:
        """Collect the messages of a typed topic (`Message` objects) from now on."""
        heard = Heard()

        async def on_message(message: Message[P]) -> None:
            heard.add(message)

        await self._attend(listen(topic, on_message))
        return heard

    async def hear_raw(self, topic: RawTopic) -> Heard:
        """Collect the messages of a raw topic (`RawMessage` objects) from now on."""
        heard = Heard()

        async def on_message(message: RawMessage) -> None:
            heard.add(message)

        await self._attend(listen_raw(topic, on_message, queue_limit=100_000))
        return heard

    async def _attend(self, handler: Handler) -> None:
        bus = Bus(self.broker.transport(), source="ear")
        bus.install([handler])
        await self._stack.enter_async_context(bus.open())
        await self._stack.enter_async_context(bus.handling(drain_s=0))

    async def serve(self, *handlers: Handler, source: str = "fake-1") -> Bus:
        """Run handlers that stand in for another worker."""
        bus = Bus(self.broker.transport(), source=source)
        bus.install(handlers)
        await self._stack.enter_async_context(bus.open())
        await self._stack.enter_async_context(bus.handling(drain_s=0))
        return bus

    async def move_in(
        self,
        kind: str,
        settings: S,
        build: Callable[[Worker[S]], Wiring],
        *,
        runtime: RuntimeSettings | None = None,
    ) -> Bus:
        """Run a worker's real wiring on the in-memory broker; returns its bus."""
        return await self._stack.enter_async_context(
            self.resident(kind, settings, build, runtime=runtime)
        )

    @asynccontextmanager
    async def resident(
        self,
        kind: str,
        settings: S,
        build: Callable[[Worker[S]], Wiring],
        *,
        runtime: RuntimeSettings | None = None,
    ) -> AsyncIterator[Bus]:
        """Run a worker's real wiring while the block runs."""
        bus = Bus(self.broker.transport(), source=f"{kind}-1", presence=_of_fakes())
        health = HealthReporter(bus, f"{kind}-1", kind, LoopMonitor())
        bus.install(DeadLetters(bus).handlers)
        wiring = build(Worker(settings, runtime or RuntimeSettings(), bus, health))
        bus.install(wiring.handlers, wiring.requests)
        async with bus.open(), wiring.lifespan(), bus.handling(drain_s=0):
            health.enter("ready")
            async with running(health=health.beat()):
                yield bus

    def say(self, topic: Topic[P], data: P, **envelope: Any) -> None:
        """Publish an event from the test; see `Bus.publish` for the keywords.

        Raises:
            BusError: the broker denied it.
        """
        done = self.bus.publish(topic, data, **envelope)
        if done.done() and (error := done.exception()) is not None:
            raise BusError(str(error))


def _of_fakes() -> Presence:
    return Presence(settled_after_s=math.inf)
