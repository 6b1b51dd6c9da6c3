"""The bus on real brokers: what the in-memory one cannot prove."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from antiphon_contracts import (
    CONTROL,
    HEALTH,
    MEMORY_QUERY,
    STT_FINAL,
    Control,
    Health,
    MemoryQuery,
    MemoryResults,
    Message,
    RequestTimeout,
    SttFinal,
    WorkerGone,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, Will, listen, serve
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.health import last_will
from antiphon_runtime.testing import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

WAIT_S = 10.0
QUERY = MemoryQuery(text="what colour is my bicycle")
Kind = Literal["mosquitto", "amqtt"]


@pytest.fixture(params=["mosquitto", "amqtt"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    kind: Kind = request.param
    # The window of a stock mosquitto, which acknowledgements that wait for work would fill.
    window = ["max_inflight_messages 20"] if kind == "mosquitto" else []
    async with embedded_broker(
        tmp_path, kind=kind, anonymous=True, persistence=False, extra_config=window
    ) as broker:
        yield broker


def a_bus(port: int, source: str, *, will: Will | None = None) -> Bus:
    options = BrokerOptions(port=port, client_id=source, will=will, backoff_s=(0.02, 0.2))
    return Bus(PahoTransport(options), source=source)


@asynccontextmanager
async def living(bus: Bus) -> AsyncIterator[Bus]:
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        yield bus


async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
    return MemoryResults(results=())


async def test_40_blocked_handlers_hold_up_neither_replies_nor_cancels(
    broker: EmbeddedBroker,
) -> None:
    begun, cancelled = asyncio.Semaphore(0), asyncio.Event()

    async def on_final(message: Message[SttFinal]) -> None:
        begun.release()
        await asyncio.Event().wait()

    async def on_control(message: Message[Control]) -> None:
        cancelled.set()

    port = broker.address.port
    worker, memory, router = (a_bus(port, name) for name in ("llm-1", "memory-1", "router-1"))
    worker.install(
        [listen(STT_FINAL, on_final, concurrency=40), listen(CONTROL, on_control)],
        requests=[MEMORY_QUERY],
    )
    memory.install([serve(MEMORY_QUERY, on_query)])
    async with living(worker), living(memory), living(router), asyncio.timeout(WAIT_S):
        for number in range(100):
            router.publish(STT_FINAL, SttFinal(utterance_id="u", text=str(number)))
        for _ in range(40):
            await begun.acquire()
        reply = await worker.request(MEMORY_QUERY, QUERY, timeout_s=2)
        await router.publish(CONTROL, Control(action="mute"), worker="llm-1")
        await cancelled.wait()
    assert reply == MemoryResults(results=())


async def test_requests_outlive_a_broker_that_is_killed(broker: EmbeddedBroker) -> None:
    carried_out: list[str] = []

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        carried_out.append(message.id)
        await asyncio.sleep(0.01)
        return MemoryResults(results=())

    port = broker.address.port
    client, server = a_bus(port, "llm-1"), a_bus(port, "memory-1")
    client.install(requests=[MEMORY_QUERY])
    server.install([serve(MEMORY_QUERY, on_query, concurrency=4, queue_limit=1000)])
    async with living(client), living(server), asyncio.timeout(2 * WAIT_S):
        asking = [
            asyncio.ensure_future(client.request(MEMORY_QUERY, QUERY, timeout_s=15))
            for _ in range(200)
        ]
        await asyncio.sleep(0.1)
        await broker.kill()
        await broker.restart()
        replies = await asyncio.gather(*asking)
    assert replies == [MemoryResults(results=())] * 200
    assert len(set(carried_out)) == len(carried_out) == 200
    assert client.pending_requests == 0


async def test_a_worker_whose_connection_dies_is_known_to_be_gone(broker: EmbeddedBroker) -> None:
    async with TcpProxy("127.0.0.1", broker.address.port) as proxy:
        client = a_bus(broker.address.port, "llm-1")
        client.install(requests=[MEMORY_QUERY])
        server = a_bus(proxy.port, "memory-1", will=last_will("memory-1", "memory", "antiphon"))
        server.install([serve(MEMORY_QUERY, on_query)])
        async with living(client), living(server), asyncio.timeout(WAIT_S):
            ready = Health(worker="memory-1", kind="memory", state="ready")
            await server.publish(HEALTH, ready, worker="memory-1")
            await client.request(MEMORY_QUERY, QUERY, timeout_s=2)
            proxy.go_down()
            with pytest.raises(WorkerGone):
                await ask_for_ever(client)


async def ask_for_ever(client: Bus) -> None:
    for _ in range(200):
        try:
            await client.request(MEMORY_QUERY, QUERY, timeout_s=0.05)
        except RequestTimeout:
            continue
