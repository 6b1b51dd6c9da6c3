"""The clients that `bus.py` compares; run as a programme, the side that answers.

Each asks on one topic and is answered on another, at QoS 1. aiomqtt and gmqtt are written as their
documentation does, with the least that makes a call of two messages: a table of Futures. Ours is
all of it: envelope, validation, reply store, deadline, resending.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import children
import gmqtt
from antiphon_contracts import Flow, Message, Payload, RequestTopic, Role, Topic
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, Presence, running, serve
from antiphon_runtime.broker import BrokerAddress

PAYLOAD_BYTES = 500
ID_BYTES = 12
CALL_TIMEOUT_S = 10.0
PADDING = b"x" * (PAYLOAD_BYTES - ID_BYTES)

Call = Callable[[], Awaitable[None]]


class Echo(Payload):
    """What is asked and answered.

    Attributes:
        text: 500 bytes, the envelope not counted.
    """

    text: str


ECHO = RequestTopic[Echo, Echo](
    "bench/echo",
    1,
    Flow(Role.ROUTER, Role.TOOLS),
    "Asks for its own text.",
    model=Echo,
    type="bench.echo/1",
    reply=Topic[Echo](
        "bench/echoed",
        1,
        Flow(Role.TOOLS, Role.ROUTER),
        "The text.",
        model=Echo,
        type="bench.echoed/1",
    ),
)


class Waiting:
    """Futures of the bare clients' calls, by the id that begins each payload."""

    def __init__(self) -> None:
        self._futures: dict[bytes, asyncio.Future[None]] = {}
        self._count = 0

    def begin(self) -> tuple[bytes, asyncio.Future[None]]:
        """Return a new call's payload and what is done when it is answered."""
        self._count += 1
        call_id = b"%012d" % self._count
        future = self._futures[call_id] = asyncio.get_running_loop().create_future()
        return call_id + PADDING, future

    def answered(self, payload: bytes) -> None:
        """Take in an answer."""
        self._futures.pop(payload[:ID_BYTES]).set_result(None)


# Ours


def _bus(address: BrokerAddress, name: str) -> Bus:
    options = BrokerOptions(
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        client_id=f"bench-{name}",
    )
    # Nobody publishes health here.
    return Bus(PahoTransport(options), source=name, presence=Presence(settled_after_s=math.inf))


@asynccontextmanager
async def antiphon_caller(address: BrokerAddress) -> AsyncIterator[Call]:
    """Yield a call of our whole stack."""
    bus = _bus(address, "bench-1")
    bus.install(requests=[ECHO])
    echo = Echo(text="x" * PAYLOAD_BYTES)

    async def call() -> None:
        await bus.request(ECHO, echo, timeout_s=CALL_TIMEOUT_S)

    async with bus.open():
        await bus.wait_connected(CALL_TIMEOUT_S)
        yield call


@asynccontextmanager
async def antiphon_echo(address: BrokerAddress) -> AsyncIterator[None]:
    """Answer our calls."""
    bus = _bus(address, "echo-1")

    async def on_echo(message: Message[Echo]) -> Echo:
        return message.data

    bus.install([serve(ECHO, on_echo, concurrency=4, queue_limit=256)])
    async with bus.open():
        await bus.wait_connected(CALL_TIMEOUT_S)
        async with bus.handling(drain_s=0):
            yield


# aiomqtt


def _aiomqtt_client(address: BrokerAddress) -> aiomqtt.Client:
    # It warns of more than ten calls at a time.
    logging.getLogger("mqtt").setLevel(logging.ERROR)
    return aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        # Without it a call takes 88 ms on any broker: 44 for each of its two messages.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )


@asynccontextmanager
async def aiomqtt_caller(address: BrokerAddress) -> AsyncIterator[Call]:
    """Yield a call of bare aiomqtt."""
    waiting = Waiting()
    async with _aiomqtt_client(address) as client:
        await client.subscribe("bare/aiomqtt/echoed", qos=1)

        async def receive() -> None:
            async for message in client.messages:
                waiting.answered(bytes(message.payload))

        async def call() -> None:
            payload, answered = waiting.begin()
            await client.publish("bare/aiomqtt/echo", payload, qos=1)
            await answered

        async with running(aiomqtt=receive()):
            yield call


@asynccontextmanager
async def aiomqtt_echo(address: BrokerAddress) -> AsyncIterator[None]:
    """Answer the calls of bare aiomqtt."""
    async with _aiomqtt_client(address) as client:
        await client.subscribe("bare/aiomqtt/echo", qos=1)

        async def receive() -> None:
            async for message in client.messages:
                await client.publish("bare/aiomqtt/echoed", message.payload, qos=1)

        async with running(aiomqtt=receive()):
            yield


# gmqtt


@asynccontextmanager
async def _gmqtt_client(
    address: BrokerAddress, topic: str, on_payload: Callable[[Any, bytes], None]
) -> AsyncIterator[Any]:
    client = gmqtt.Client(f"bench{topic.replace('/', '-')}")
    client.set_auth_credentials(address.username, address.password)
    subscribed = asyncio.Event()

    def on_message(client: Any, _topic: str, payload: bytes, _qos: int, _properties: Any) -> int:
        on_payload(client, payload)
        return 0

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    await client.connect(address.host, address.port)
    try:
        client.subscribe(topic, qos=1)
        async with asyncio.timeout(CALL_TIMEOUT_S):
            await subscribed.wait()
        yield client
    finally:
        await client.disconnect()


@asynccontextmanager
async def gmqtt_caller(address: BrokerAddress) -> AsyncIterator[Call]:
    """Yield a call of bare gmqtt."""
    waiting = Waiting()

    def on_payload(_client: Any, payload: bytes) -> None:
        waiting.answered(payload)

    async with _gmqtt_client(address, "bare/gmqtt/echoed", on_payload) as client:

        async def call() -> None:
            payload, answered = waiting.begin()
            client.publish("bare/gmqtt/echo", payload, qos=1)
            await answered

        yield call


@asynccontextmanager
async def gmqtt_echo(address: BrokerAddress) -> AsyncIterator[None]:
    """Answer the calls of bare gmqtt."""

    def on_payload(client: Any, payload: bytes) -> None:
        client.publish("bare/gmqtt/echoed", payload, qos=1)

    async with _gmqtt_client(address, "bare/gmqtt/echo", on_payload):
        yield


CALLERS = {"antiphon": antiphon_caller, "aiomqtt": aiomqtt_caller, "gmqtt": gmqtt_caller}
ECHOES = {"antiphon": antiphon_echo, "aiomqtt": aiomqtt_echo, "gmqtt": gmqtt_echo}


async def _answer_until_told(name: str) -> None:
    orders = children.orders()
    config = await anext(orders)
    async with ECHOES[name](BrokerAddress(**config)):
        children.answer(ready=name)
        async for _ in orders:
            pass


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    asyncio.run(_answer_until_told(sys.argv[1]))
