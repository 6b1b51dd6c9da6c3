"""Asking a memory server: the native asynchronous client against the synchronous one in threads.

Milvus Lite and a real redis-server, each a process of its own that this starts, asked what the
memory worker asks on every turn: Milvus for the ten nearest of 1,000 memories (384 dimensions, with
a filter and the texts), Redis for a conversation's newest 20 messages (one script). One request at
a time, then 32 at once. The synchronous client has a thread for each request that is under way;
clients of Redis have a connection for each, too, for redis-py's asynchronous pool lets some wait
for ever while others take turns. The two take turns, block by block; meanwhile a 5 ms ticker
measures how late the event loop runs. Work is what a request costs this process, on all cores
together. A ratio above 1 speaks for the native client.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from antiphon_contracts import ConfigError
from antiphon_memory.redis.scripts import RECENT, ROOT
from antiphon_runtime.broker.address import free_port
from command import Options, main, say
from figures import RATIO, Figure, Report, block_ratio, percentile, pooled, rotated
from numpy.typing import NDArray

AT_ONCE = (1, 32)
TICK_S = 0.005
BLOCKS, QUICK_BLOCKS = 10, 1
REQUESTS = {"milvus": {1: 20, 32: 96}, "redis": {1: 300, 32: 3200}}
QUICK_REQUESTS = {1: 3, 32: 32}

MEMORIES, QUICK_MEMORIES = 1000, 100
DIMENSION = 384
BEST = 10
TURNS = 20
CONVERSATIONS = 50
START_S = 120.0
STOP_S = 20.0

Ask = Callable[[int], Awaitable[object]]
"""Makes the request of this number."""


@dataclass
class Blocks:
    """What a way of asking took, by block."""

    ms: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    work_ms: list[float] = field(default_factory=list)
    late_ms: list[list[float]] = field(default_factory=list)


# The servers


@asynccontextmanager
async def server(command: Sequence[str], port: int) -> AsyncIterator[None]:
    """Run a server until the block ends; it begins when the server answers.

    Raises:
        ConfigError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + START_S
        while not await answers(port):
            if process.returncode is not None or time.monotonic() > end:
                msg = f"{command[0]} did not start; install it"
                raise ConfigError(msg)
            await asyncio.sleep(0.1)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), STOP_S)


async def answers(port: int) -> bool:
    """Return whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def milvus(*, quick: bool) -> AsyncIterator[dict[str, Ask]]:
    """Milvus Lite with memories, asked for the nearest ones."""
    from antiphon_memory.milvus.rows import OF_MEMORY, fitting
    from antiphon_memory.service import Where
    from pymilvus import AsyncMilvusClient, MilvusClient

    count = QUICK_MEMORIES if quick else MEMORIES
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--data-dir", str(Path(folder) / "data")]
        await stack.enter_async_context(server(command, port))
        collection, vectors = await filled(url, count)
        native = AsyncMilvusClient(url, timeout=START_S, dedicated=True)
        stack.push_async_callback(native.close)
        plain = await asyncio.to_thread(MilvusClient, url, timeout=START_S, dedicated=True)
        stack.callback(plain.close)
        pool = stack.enter_context(ThreadPoolExecutor(max(AT_ONCE)))

        def request(number: int) -> dict[str, Any]:
            return {
                "collection_name": collection,
                "data": [vectors[number % count].tolist()],
                "anns_field": "by_meaning",
                "filter": fitting(Where(("household",)), "is_embedded == true"),
                "limit": BEST,
                "output_fields": list(OF_MEMORY),
                "search_params": {"metric_type": "IP"},
                "timeout": START_S,
            }

        async def natively(number: int) -> object:
            return await native.search(**request(number))

        async def in_thread(number: int) -> object:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, lambda: plain.search(**request(number)))

        yield {"native": natively, "threads": in_thread}


async def filled(url: str, count: int) -> tuple[str, NDArray[np.float32]]:
    """Put memories into Milvus; return the collection that has them, and their vectors."""
    from antiphon_memory.milvus.memories import MilvusMemories
    from antiphon_memory.milvus.schema import opened
    from antiphon_memory.milvus.server import MilvusServer
    from antiphon_memory.service import Memory

    vectors = np.random.default_rng(5).normal(size=(count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = MilvusMemories(url)
    async with store.open():
        await store.adopt_model("random", DIMENSION)
        told = [
            Memory(f"id-{number:05}", f"Fact {number}.", "user", "household", float(number))
            for number in range(count)
        ]
        await store.restore("told", told)
        await store.set_vectors([one.id for one in told], vectors)
    return (await MilvusServer(url).with_schema(opened)).collection, vectors


@asynccontextmanager
async def redis(*, quick: bool) -> AsyncIterator[dict[str, Ask]]:  # noqa: ARG001  (fast enough)
    """A redis-server with conversations, asked for the newest messages of one."""
    from antiphon_memory.conversations import Turn
    from antiphon_memory.redis.conversations import RedisConversations
    from redis import BlockingConnectionPool, Redis
    from redis import asyncio as native_redis

    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port = free_port()
        url = f"redis://127.0.0.1:{port}/0"
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        await stack.enter_async_context(server([*command, "--save", ""], port))
        store = RedisConversations(url, kept_s=3600)
        async with store.open():
            for number in range(CONVERSATIONS * TURNS):
                text = f"This is sentence {number} of a conversation about the weather. " * 3
                name = f"site-{number % CONVERSATIONS}"
                turn = Turn(name, "user", text, interrupted=False, ts=1000.0 + number)
                await store.append(f"m{number}", turn, ended_before=0, begun_before=0)
        native = native_redis.Redis(
            connection_pool=native_redis.BlockingConnectionPool.from_url(
                url, max_connections=max(AT_ONCE)
            )
        )
        stack.push_async_callback(native.aclose)
        shared = BlockingConnectionPool.from_url(url, max_connections=max(AT_ONCE))
        plain = Redis(connection_pool=shared)
        stack.callback(shared.disconnect)
        pool = stack.enter_context(ThreadPoolExecutor(max(AT_ONCE)))
        there, here = native.register_script(RECENT), plain.register_script(RECENT)

        def request(number: int) -> dict[str, Any]:
            return {"keys": [ROOT], "args": [f"site-{number % CONVERSATIONS}", "0", TURNS]}

        async def natively(number: int) -> object:
            return await cast("Awaitable[object]", there(**request(number)))

        async def in_thread(number: int) -> object:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, lambda: here(**request(number)))

        yield {"native": natively, "threads": in_thread}


SERVERS: dict[str, Callable[..., AbstractAsyncContextManager[dict[str, Ask]]]] = {
    "milvus": milvus,
    "redis": redis,
}


# The comparison


async def block(ask: Ask, found: Blocks, *, requests: int, at_once: int) -> None:
    """Make so many requests, and note what they took."""
    numbers = iter(random.Random(5).choices(range(10_000), k=requests))  # noqa: S311  (no secret)
    taken: list[float] = []
    late: list[float] = []
    done = asyncio.Event()

    async def one_after_the_other() -> None:
        for number in numbers:
            begun = time.perf_counter()
            await ask(number)
            taken.append((time.perf_counter() - begun) * 1000)

    async def tick() -> None:
        while not done.is_set():
            begun = time.perf_counter()
            await asyncio.sleep(TICK_S)
            late.append((time.perf_counter() - begun - TICK_S) * 1000)

    async with asyncio.TaskGroup() as watch:
        watch.create_task(tick(), name="ticker")
        begun, before = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(one_after_the_other(), name=f"asker-{number}")
        found.seconds.append(time.perf_counter() - begun)
        found.work_ms.append((time.process_time() - before) * 1000 / requests)
        done.set()
    found.ms.append(taken)
    found.late_ms.append(late)


async def compare(
    ways: dict[str, Ask], requests: int, at_once: int, blocks: int
) -> dict[str, Blocks]:
    """Return what each way of asking took, in turns."""
    found = {name: Blocks() for name in ways}
    for ask in ways.values():
        await block(ask, Blocks(), requests=at_once, at_once=at_once)  # connections are made
    for number in range(blocks):
        for name in rotated(list(ways), number):
            await block(ways[name], found[name], requests=requests, at_once=at_once)
    return found


def figures_of(title: str, found: dict[str, Blocks]) -> list[Figure]:
    """Return the figures of one comparison."""
    native, threads = found["native"], found["threads"]

    def p95(values: Sequence[float]) -> float:
        return percentile(values, 0.95)

    seconds = [[one] for one in threads.seconds], [[one] for one in native.seconds]
    work = [[one] for one in threads.work_ms], [[one] for one in native.work_ms]
    lag = {name: percentile(pooled(way.late_ms), 0.99) for name, way in found.items()}
    return [
        Figure(f"{title}: threads to native, p50", block_ratio(threads.ms, native.ms), RATIO),
        Figure(f"{title}: threads to native, p95", block_ratio(threads.ms, native.ms, p95), RATIO),
        Figure(f"{title}: native to threads, requests per second", block_ratio(*seconds), RATIO),
        Figure(f"{title}: threads to native, work", block_ratio(*work), RATIO),
        Figure(f"{title}: native, loop lag p99", lag["native"], "ms"),
        Figure(f"{title}: threads, loop lag p99", lag["threads"], "ms"),
    ]


def details_of(way: Blocks) -> dict[str, float]:
    """Return what a way took, in absolute numbers."""
    taken = pooled(way.ms)
    return {
        "p50_ms": round(percentile(taken, 0.5), 3),
        "p95_ms": round(percentile(taken, 0.95), 3),
        "slowest_ms": round(max(taken), 3),
        "work_ms": round(statistics.median(way.work_ms), 3),
        "per_s": round(len(taken) / sum(way.seconds), 1),
        "loop_lag_p99_ms": round(percentile(pooled(way.late_ms), 0.99), 3),
    }


async def measure(options: Options) -> Report:
    """Return how the two ways of asking compare."""
    report = Report("memory_stores", options.quick)
    blocks = QUICK_BLOCKS if options.quick else BLOCKS
    for name in options.parts:
        async with SERVERS[name](quick=options.quick) as ways:
            for at_once in AT_ONCE:
                title = f"{name}, {at_once} at once"
                say(title)
                requests = (QUICK_REQUESTS if options.quick else REQUESTS[name])[at_once]
                found = await compare(ways, requests, at_once, blocks)
                report.figures += figures_of(title, found)
                report.details[title] = {way: details_of(one) for way, one in found.items()}
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("memory_stores", measure, list(SERVERS))
