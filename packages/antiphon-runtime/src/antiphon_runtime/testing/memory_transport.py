"""The in-memory twin of the MQTT transport."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from antiphon_contracts import BusError

from antiphon_runtime.paho_transport.outbox import Item, fail
from antiphon_runtime.transport import (
    Delivery,
    PublishOptions,
    Sink,
    StateListener,
    Will,
    matches,
    plain_filter,
    why_not_a_filter,
    why_not_a_message,
)


class MemoryBroker:
    """A broker in this process: QoS 0 and 1, retained messages, wills, outages, denials.

    What is published while `online` is false waits in the transports that published it.
    """

    def __init__(self) -> None:
        self.online = True
        self.denied: set[str] = set()
        self.published: list[tuple[str, bytes]] = []
        self._retained: dict[str, bytes] = {}
        self._clients: list[MemoryTransport] = []
        self._turns: Counter[str] = Counter()

    def transport(self, *, will: Will | None = None) -> MemoryTransport:
        """Return a new client of this broker."""
        return MemoryTransport(self, will=will)

    def go_offline(self) -> None:
        """Lose every connection."""
        self.online = False
        for client in list(self._clients):
            client.lose()

    def go_online(self) -> None:
        """Let every client connect again; what was not acknowledged is delivered again."""
        self.online = True
        for client in list(self._clients):
            client.regain()

    def kill(self, client: MemoryTransport) -> None:
        """Break one client's connection without a goodbye: its will is published."""
        client.lose()
        if client.will is not None:
            self.take(client.will.topic, client.will.payload, PublishOptions(qos=1, retain=True))

    def join(self, client: MemoryTransport) -> None:
        """A client opened."""
        self._clients.append(client)

    def leave(self, client: MemoryTransport, *, will: Will | None) -> None:
        """A client closed; with a will, it died."""
        self._clients.remove(client)
        if will is not None:
            self.take(will.topic, will.payload, PublishOptions(qos=1, retain=True))

    def take(self, topic: str, payload: bytes, options: PublishOptions) -> None:
        """Hand a message to every subscriber.

        Raises:
            BusError: the topic is among `denied`.
        """
        if topic in self.denied:
            msg = f"the broker denied a message: not authorised for {topic}"
            raise BusError(msg)
        self.published.append((topic, payload))
        if options.retain:
            self._retained[topic] = payload
        for client in self._clients:
            client.offer(topic, payload, options, retained=False)
        self._take_turns(topic, payload, options)

    def _take_turns(self, topic: str, payload: bytes, options: PublishOptions) -> None:
        """Hand a message to one member of each group that shares a subscription."""
        for name in {name for client in self._clients for name in client.filters}:
            wanted = plain_filter(name)
            if wanted is not None and matches(wanted, topic):
                members = [client for client in self._clients if name in client.filters]
                member = members[self._turns[name] % len(members)]
                self._turns[name] += 1
                member.take_in(topic, payload, options, qos=member.filters[name], retained=False)

    def replay_retained(self, client: MemoryTransport, filters: dict[str, int]) -> None:
        """Hand the retained messages to a new subscription."""
        for topic, payload in self._retained.items():
            if payload and any(matches(name, topic) for name in filters):
                client.offer(topic, payload, PublishOptions(qos=1), retained=True)


class MemoryTransport:
    """See `antiphon_runtime.transport.Transport`."""

    def __init__(self, broker: MemoryBroker, *, will: Will | None = None) -> None:
        self._broker = broker
        self.will = will
        self._sink: Sink = lambda _delivery: None
        self._on_state: StateListener = lambda _connected: None
        self.filters: dict[str, int] = {}
        self._waiting: deque[Item] = deque()
        self._unacknowledged: dict[int, Delivery] = {}
        self._ready = asyncio.Event()
        self._count = 0
        self._epoch = 0
        self._closed = False
        self._open = False

    @property
    def connected(self) -> bool:
        """Whether messages go through now."""
        return self._ready.is_set()

    @asynccontextmanager
    async def open(self, sink: Sink, on_state: StateListener) -> AsyncIterator[None]:
        """See the port. A block that ends with an error counts as a death: the will is sent."""
        self._sink, self._on_state, self._open = sink, on_state, True
        self._broker.join(self)
        if self._broker.online:
            self.regain()
        died = True
        try:
            yield
            died = False
        finally:
            self._closed = True
            self._ready.clear()
            self._broker.leave(self, will=self.will if died else None)
            for item in self._waiting:
                fail(item.done, BusError("the connection to the broker was closed"))

    async def wait_connected(self, timeout_s: float | None) -> None:
        """See the port."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            msg = "no MQTT broker answers (in memory, offline)"
            raise BusError(msg) from None

    async def subscribe(self, filters: dict[str, int]) -> None:
        """See the port."""
        for name in filters:
            if reason := why_not_a_filter(name):
                raise BusError(reason)
        self.filters.update(filters)
        if self._open:
            self._broker.replay_retained(self, filters)

    def publish(self, topic: str, payload: bytes, options: PublishOptions) -> asyncio.Future[None]:
        """See the port."""
        if not self._open:
            msg = "the connection to the broker is not open yet"
            raise BusError(msg)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        deadline = None if options.expiry_s is None else loop.time() + options.expiry_s
        item = Item(topic, payload, options, deadline, done)
        if self._closed:
            fail(done, BusError("the connection to the broker is closed"))
        elif reason := why_not_a_message(topic, payload):
            fail(done, BusError(reason))
        elif self._ready.is_set():
            self._hand_over(item)
        elif options.qos == 0:
            fail(done, BusError("the broker is away; a QoS 0 message was dropped"))
        else:
            self._waiting.append(item)
        return done

    def _hand_over(self, item: Item) -> None:
        if item.deadline is not None and asyncio.get_running_loop().time() > item.deadline:
            fail(item.done, BusError("the message expired before the broker could take it"))
        if item.done.done():
            return
        try:
            self._broker.take(item.topic, item.payload, item.options)
        except BusError as error:
            fail(item.done, error)
        else:
            item.done.set_result(None)

    # What the broker does to it

    def offer(self, topic: str, payload: bytes, options: PublishOptions, *, retained: bool) -> None:
        """Deliver on the next turn of the loop, if subscribed."""
        wanted = [qos for name, qos in self.filters.items() if matches(name, topic)]
        if wanted:
            self.take_in(topic, payload, options, qos=max(wanted), retained=retained)

    def take_in(
        self, topic: str, payload: bytes, options: PublishOptions, *, qos: int, retained: bool
    ) -> None:
        """Deliver on the next turn of the loop, with at most this QoS."""
        qos = min(options.qos, qos)
        self._count += 1
        number = self._count
        delivery = Delivery(
            topic=topic,
            payload=payload,
            qos=qos,
            retain=retained,
            expiry_s=options.expiry_s,
            ack=partial(self._acknowledge, number, self._epoch),
        )
        if qos:
            self._unacknowledged[number] = delivery
        if self._ready.is_set():
            asyncio.get_running_loop().call_soon(self._deliver, delivery)

    def _acknowledge(self, number: int, epoch: int) -> None:
        if epoch == self._epoch:
            self._unacknowledged.pop(number, None)

    def _deliver(self, delivery: Delivery) -> None:
        if self._ready.is_set():
            self._sink(delivery)

    def lose(self) -> None:
        """The connection breaks."""
        if self._ready.is_set():
            self._ready.clear()
            self._epoch += 1
            self._on_state(False)  # noqa: FBT003  (the listener's only argument)

    def regain(self) -> None:
        """The connection is back."""
        if self._ready.is_set():
            return
        for number, delivery in self._unacknowledged.items():
            ack = partial(self._acknowledge, number, self._epoch)
            self._unacknowledged[number] = replace(delivery, ack=ack, redelivered=True)
        again = list(self._unacknowledged.values())
        self._ready.set()
        self._broker.replay_retained(self, self.filters)
        self._on_state(True)  # noqa: FBT003  (the listener's only argument)
        for delivery in again:
            asyncio.get_running_loop().call_soon(self._deliver, delivery)
        while self._waiting:
            self._hand_over(self._waiting.popleft())
