"""Requests that outlive brokers and workers: none unanswered, none carried out twice."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from antiphon_contracts import (
    MEMORY_QUERY,
    MEMORY_RESULTS,
    MemoryQuery,
    RequestTimeout,
    parse,
)
from antiphon_runtime import Delivery, PublishOptions, Transport
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from chaos import WAIT_S, Load, Scale, asker, carried_out, counting_worker, transport_to, under_load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with embedded_broker(tmp_path / "broker", kind="mosquitto", persistence=False) as broker:
        yield broker


async def answers(load: Load) -> None:
    """Wait until the worker answers at all."""
    await Load(load.bus, 1, at_once=1).run()


async def test_a_broker_is_killed_under_requests(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    kills = scale(10)

    async def kill() -> None:
        await broker.kill()
        await broker.restart()

    async with (
        counting_worker(broker.address, tmp_path),
        asker(broker.address) as bus,
    ):
        load = Load(bus, scale(20_000))
        await answers(load)
        await under_load(load, kills, kill)
        pending = bus.pending_requests
    times = carried_out(tmp_path)
    scale.record(
        f"broker killed {kills} times under {load.total} requests",
        f"{dict(load.outcomes)}, carried out twice: {sum(n > 1 for n in times.values())}",
    )
    assert load.outcomes == {"answered": load.total}
    assert load.wrong == pending == 0
    assert set(times.values()) == {1}


class Twice:
    """A connection on which every message is sent twice."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def publish(self, topic: str, payload: bytes, options: PublishOptions) -> asyncio.Future[None]:
        self._transport.publish(topic, payload, options)
        return self._transport.publish(topic, payload, options)

    @property
    def connected(self) -> bool:
        return self._transport.connected

    def open(
        self, sink: Callable[[Delivery], None], on_state: Callable[[bool], None]
    ) -> AbstractAsyncContextManager[None]:
        return self._transport.open(sink, on_state)

    async def wait_connected(self, timeout_s: float | None) -> None:
        await self._transport.wait_connected(timeout_s)

    async def subscribe(self, filters: dict[str, int]) -> None:
        await self._transport.subscribe(filters)


@asynccontextmanager
async def replies_seen(broker: EmbeddedBroker) -> AsyncIterator[dict[str, list[bytes]]]:
    """Yield all replies on the bus, by the request they answer."""
    seen: dict[str, list[bytes]] = defaultdict(list)

    def on_delivery(delivery: Delivery) -> None:
        seen[str(parse(delivery.payload)["correlation_id"])].append(delivery.payload)
        delivery.ack()

    transport = transport_to(broker.address, "onlooker")
    await transport.subscribe({f"antiphon/{MEMORY_RESULTS.pattern}": 1})
    async with transport.open(on_delivery, lambda _connected: None):
        await transport.wait_connected(WAIT_S)
        yield seen


async def test_every_message_is_sent_twice(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    twice = Twice(transport_to(broker.address, "asker"))
    async with (
        counting_worker(broker.address, tmp_path),
        replies_seen(broker) as seen,
        asker(broker.address, transport=twice) as bus,
    ):
        load = Load(bus, scale(10_000))
        await answers(load)
        await load.run()
        await bus.request(MEMORY_QUERY, MemoryQuery(text="last"), timeout_s=WAIT_S)
    times = carried_out(tmp_path)
    scale.record(
        f"every message sent twice, {load.total} requests",
        f"{sum(times.values()) - 2} effects, {sum(map(len, seen.values()))} replies",
    )
    assert load.outcomes == {"answered": load.total}
    assert len(times) == load.total + 2
    assert set(times.values()) == {1}
    assert all(len(set(replies)) == 1 for replies in seen.values())


async def test_a_broker_is_restarted_again_and_again(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    loop = asyncio.get_running_loop()
    recoveries_s = []
    async with counting_worker(broker.address, tmp_path), asker(broker.address) as bus:
        await answers(Load(bus, 1))
        for _ in range(scale(20)):
            await broker.stop()
            await broker.restart()
            begun = loop.time()
            load = Load(bus, 1, at_once=1)
            await load.run()
            assert load.outcomes == {"answered": 1}
            recoveries_s.append(loop.time() - begun)
    p95_s = percentile_95(recoveries_s)
    scale.record(
        f"broker restarted {len(recoveries_s)} times",
        f"served again after {statistics.median(recoveries_s):.2f} s (median), {p95_s:.2f} s (p95)",
    )
    assert p95_s <= (1.5 if scale.full else 3)  # the short form shares its machine


def percentile_95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


async def test_a_long_run_leaves_nothing_behind(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    total = scale(200_000)
    async with counting_worker(broker.address, tmp_path) as worker, asker(broker.address) as bus:
        await Load(bus, 10_000).run()  # the reply store is full after it
        before = psutil.Process(worker.pid).memory_info().rss
        load = Load(bus, total)
        await load.run()
        grown_mb = (psutil.Process(worker.pid).memory_info().rss - before) / 2**20
        pending = bus.pending_requests
    scale.record(f"{total} requests in a row", f"pending {pending}, grown by {grown_mb:.1f} MB")
    assert load.outcomes == {"answered": total}
    assert pending == 0
    assert grown_mb <= 2 + total / 100_000


async def test_frozen_processes_are_noticed(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    times = scale(10)
    frozen_workers_s, frozen_brokers_s = [], []
    async with counting_worker(broker.address, tmp_path) as worker, asker(broker.address) as bus:
        await answers(Load(bus, 1))
        for _ in range(times):
            with frozen(worker.pid):
                frozen_workers_s.append(await seconds_until(lambda: bus.presence.is_gone("memory")))
            await seconds_until(lambda: not bus.presence.is_gone("memory"))
            with frozen(broker.pid):
                asking = asyncio.ensure_future(Load(bus, 1, at_once=1).run())
                frozen_brokers_s.append(await seconds_until(lambda: not bus.connected))
            await asking
    noticed_s = frozen_workers_s + frozen_brokers_s
    p95_s = percentile_95(noticed_s)
    scale.record(
        f"broker and worker frozen {times} times each",
        f"noticed after {statistics.median(noticed_s):.1f} s (median), {p95_s:.1f} s (p95)",
    )
    assert p95_s <= (3 if scale.full else 6)  # the short form shares its machine


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


async def seconds_until(condition: Callable[[], bool]) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  (nothing tells of it)
            await asyncio.sleep(0.02)
    return loop.time() - begun


async def test_a_member_of_a_group_dies_for_good(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    async with (
        counting_worker(broker.address, tmp_path, "memory-1", ANTIPHON_GROUP="memory"),
        counting_worker(broker.address, tmp_path, "memory-2", ANTIPHON_GROUP="memory") as dying,
        asker(broker.address) as bus,
    ):
        await Load(bus, 50).run()
        load = Load(bus, scale(3_000))
        await under_load(load, 1, dying.kill)
        pending = bus.pending_requests
    scale.record(f"one of a group of two dies for good, {load.total} requests", f"{load.outcomes}")
    assert load.outcomes == {"answered": load.total}
    assert load.wrong == pending == 0


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_worker_whose_clock_is_wrong(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale, hours: int
) -> None:
    off = {"ANTIPHON_COUNTING_CLOCK_OFF_S": str(3600 * hours)}
    async with (
        counting_worker(broker.address, tmp_path, **off) as worker,
        asker(broker.address) as bus,
    ):
        load = Load(bus, scale(1_000))
        await load.run()
        await worker.kill()
        await seconds_until(lambda: bus.presence.is_gone("memory"))
        # As one who came just now, has not heard of it, and so asks.
        bus.presence.forget("memory-1")
        bus.presence.on_connect()
        with pytest.raises(RequestTimeout):
            await bus.request(
                MEMORY_QUERY, MemoryQuery(text="stale"), timeout_s=1, message_id="stale"
            )
        await asyncio.sleep(2)  # brokers count whole seconds
        await worker.start()
        await answers(load)
    scale.record(
        f"a worker's clock {hours:+d} h wrong, {load.total} requests", f"{dict(load.outcomes)}"
    )
    assert load.outcomes == {"answered": load.total}
    assert "stale" not in carried_out(tmp_path)
