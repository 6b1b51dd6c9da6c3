"""The bus on real brokers: what the in-memory one cannot prove."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from antiphon_contracts import (
    HEALTH,
    LLM_CANCEL,
    MEMORY_QUERY,
    STT_FINAL,
    TOOLS_CALL,
    Health,
    LlmCancel,
    MemoryQuery,
    MemoryResults,
    Message,
    RequestTimeout,
    SttFinal,
    ToolCall,
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
Protocol = Literal["auto", "5", "3.1.1"]


@pytest.fixture(params=["mosquitto", "amqtt"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with a_broker(request.param, tmp_path) as broker:
        yield broker


@asynccontextmanager
async def a_broker(kind: Kind, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    # The window of a stock mosquitto, which acknowledgements that wait for work would fill.
    window = ["max_inflight_messages 20"] if kind == "mosquitto" else []
    async with embedded_broker(
        tmp_path, kind=kind, anonymous=True, persistence=False, extra_config=window
    ) as broker:
        yield broker


def a_transport(
    port: int, source: str, *, will: Will | None = None, protocol: Protocol = "auto"
) -> PahoTransport:
    return PahoTransport(
        BrokerOptions(
            port=port, client_id=source, will=will, protocol=protocol, backoff_s=(0.02, 0.2)
        )
    )


def a_bus(port: int, source: str, *, will: Will | None = None) -> Bus:
    return Bus(a_transport(port, source, will=will), source=source)


@asynccontextmanager
async def living(bus: Bus) -> AsyncIterator[Bus]:
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        yield bus


async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
    return MemoryResults(results=())


@pytest.mark.parametrize(
    ("kind", "protocol"), [("mosquitto", "5"), ("mosquitto", "3.1.1"), ("amqtt", "3.1.1")]
)
async def test_40_blocked_handlers_hold_up_neither_replies_nor_cancels(
    tmp_path: Path, kind: Kind, protocol: Protocol
) -> None:
    begun, cancelled = asyncio.Semaphore(0), asyncio.Event()

    async def on_final(message: Message[SttFinal]) -> None:
        begun.release()
        await asyncio.Event().wait()

    async def on_cancel(message: Message[LlmCancel]) -> None:
        cancelled.set()

    async with a_broker(kind, tmp_path) as broker:
        transports = [
            a_transport(broker.address.port, name, protocol=protocol)
            for name in ("llm-1", "memory-1", "router-1")
        ]
        worker, memory, router = (Bus(each, source=f"{n}") for n, each in enumerate(transports))
        worker.install(
            [listen(STT_FINAL, on_final, concurrency=40), listen(LLM_CANCEL, on_cancel)],
            requests=[MEMORY_QUERY],
        )
        memory.install([serve(MEMORY_QUERY, on_query)])
        async with living(worker), living(memory), living(router), asyncio.timeout(WAIT_S):
            assert [each.protocol for each in transports] == [protocol] * 3
            for number in range(100):
                router.publish(STT_FINAL, SttFinal(utterance_id="u", text=str(number)))
            for _ in range(40):
                await begun.acquire()
            reply = await worker.request(MEMORY_QUERY, QUERY, timeout_s=2)
            await router.publish(LLM_CANCEL, LlmCancel(request_id="r"))
            await cancelled.wait()
            assert worker.queue_depths[STT_FINAL.pattern] == 60
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


async def test_a_kind_of_worker_that_was_never_there_is_known_to_be_absent(
    broker: EmbeddedBroker,
) -> None:
    port = broker.address.port
    client, server = a_bus(port, "llm-1"), a_bus(port, "memory-1")
    client.install(requests=[MEMORY_QUERY])
    client.install(requests=[TOOLS_CALL])
    server.install([serve(MEMORY_QUERY, on_query)])
    async with living(client), asyncio.timeout(2 * WAIT_S):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(WorkerGone, match="memory worker is offline"):
            await ask_for_ever(client)
        assert 2 < loop.time() - begun < 5
        async with living(server):
            starting = Health(worker="memory-1", kind="memory", state="starting")
            await server.publish(HEALTH, starting, worker="memory-1")
            while client.presence.is_absent("memory"):  # noqa: ASYNC110  (nothing tells of it)
                await asyncio.sleep(0.01)
            await client.request(MEMORY_QUERY, QUERY, timeout_s=2)
            async with living(a_latecomer(port)) as latecomer:
                # Its retained health comes before the time is up.
                await asyncio.sleep(3)
                await latecomer.request(MEMORY_QUERY, QUERY, timeout_s=2)
        with pytest.raises(WorkerGone, match="tools worker is offline"):
            await client.request(TOOLS_CALL, ToolCall(name="sums"), timeout_s=WAIT_S)


def a_latecomer(port: int) -> Bus:
    bus = a_bus(port, "router-1")
    bus.install(requests=[MEMORY_QUERY])
    return bus


async def ask_for_ever(client: Bus) -> None:
    for _ in range(200):
        try:
            await client.request(MEMORY_QUERY, QUERY, timeout_s=0.05)
        except RequestTimeout:
            continue
