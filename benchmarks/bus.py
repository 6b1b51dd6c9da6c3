"""Request and response of 500 B at QoS 1 through mosquitto, between two processes.

Our whole stack against bare aiomqtt and bare gmqtt, in interleaved blocks of one run: one call at a
time on a broker that sends at once (TCP_NODELAY) and on one that does not (as installed), and 100
calls at a time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from antiphon_contracts import BusError
from antiphon_runtime.broker import embedded_broker
from bus_stacks import CALLERS, Call
from children import child
from command import Options, main, say
from figures import RATIO, Figure, Report, block_ratio, percentile, pooled, rotated, spread

IN_FLIGHT = 100
BLOCK_TIMEOUT_S = 120.0

Blocks = dict[str, list[list[float]]]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        blocks: interleaved blocks of each client.
        calls: in a block, on the broker that sends at once.
        stock_calls: in a block, on the stock broker, where aiomqtt takes 44 ms for each.
        flood_calls: in a block, 100 at a time.
    """

    blocks: int = 5
    calls: int = 500
    stock_calls: int = 30
    flood_calls: int = 4_000


QUICK = Size(blocks=2, calls=20, stock_calls=4, flood_calls=200)


@asynccontextmanager
async def callers(names: Sequence[str], *, nodelay: bool) -> AsyncIterator[dict[str, Call]]:
    """Run a broker and every client's other side; yields their calls."""
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        async with (
            embedded_broker(Path(folder), kind="mosquitto", nodelay=nodelay) as broker,
            AsyncExitStack() as stack,
        ):
            found = {}
            for name in names:
                config = asdict(broker.address)
                await stack.enter_async_context(child("bus_stacks.py", name, config=config))
                found[name] = await stack.enter_async_context(CALLERS[name](broker.address))
            yield found


async def one_by_one(call: Call, calls: int) -> list[float]:
    """Return what each of so many calls took, in ms."""
    times = []
    async with asyncio.timeout(BLOCK_TIMEOUT_S):
        for _ in range(calls):
            begun = time.perf_counter()
            await call()
            times.append(1000 * (time.perf_counter() - begun))
    return times


async def interleaved(ask: dict[str, Call], blocks: int, calls: int) -> Blocks:
    """Return each client's blocks; every client has a turn in every round."""
    for call in ask.values():
        await one_by_one(call, max(2, calls // 10))
    found: Blocks = {name: [] for name in ask}
    for number in range(blocks):
        for name in rotated(list(ask), number):
            found[name].append(await one_by_one(ask[name], calls))
    return found


async def flood(call: Call, calls: int) -> tuple[float, int]:
    """Return calls per second with 100 at a time, and how many were not answered."""
    numbers, answered = iter(range(calls)), 0

    async def work(numbers: Iterator[int]) -> None:
        nonlocal answered
        for _ in numbers:
            try:
                await call()
            except BusError:
                continue
            answered += 1

    begun = time.perf_counter()
    try:
        async with asyncio.timeout(BLOCK_TIMEOUT_S), asyncio.TaskGroup() as group:
            for number in range(IN_FLIGHT):
                group.create_task(work(numbers), name=f"caller:{number}")
    except TimeoutError:
        say("calls were never answered")
    return answered / (time.perf_counter() - begun), calls - answered


async def floods(ask: dict[str, Call], size: Size) -> tuple[Blocks, dict[str, int]]:
    """Return each client's calls per second, a value a block, and its lost calls."""
    rates: Blocks = {name: [] for name in ask}
    lost = dict.fromkeys(ask, 0)
    for number in range(size.blocks):
        for name in rotated(list(ask), number):
            rate, missing = await flood(ask[name], size.flood_calls)
            rates[name].append([rate])
            lost[name] += missing
    return rates, lost


async def measure(options: Options) -> Report:
    """Return the comparison."""
    size = QUICK if options.quick else Size()
    report = Report("bus", options.quick)
    say("bus: one call at a time, and 100, on a broker that sends at once")
    async with callers(["antiphon", "aiomqtt", "gmqtt"], nodelay=True) as ask:
        at_once = await interleaved(ask, size.blocks, size.calls)
        rates, lost = await floods(ask, size)
    say("bus: one call at a time on a stock broker")
    async with callers(["antiphon", "aiomqtt"], nodelay=False) as ask:
        stock = await interleaved(ask, size.blocks, size.stock_calls)
    p99 = partial(percentile, share=0.99)
    ours, aiomqtt, gmqtt = at_once["antiphon"], at_once["aiomqtt"], at_once["gmqtt"]
    report.figures = [
        Figure("p50 to aiomqtt", block_ratio(ours, aiomqtt), RATIO, 0.6),
        Figure("p50 to gmqtt", block_ratio(ours, gmqtt), RATIO, 1.25),
        Figure("p99 to aiomqtt", block_ratio(ours, aiomqtt, p99), RATIO),
        Figure("p99 to gmqtt", block_ratio(ours, gmqtt, p99), RATIO),
        Figure(
            "p50 to aiomqtt, stock broker",
            block_ratio(stock["antiphon"], stock["aiomqtt"]),
            RATIO,
            0.02,
        ),
        Figure(
            "calls/s to aiomqtt, 100 in flight",
            block_ratio(rates["antiphon"], rates["aiomqtt"]),
            RATIO,
            2.0,
            "higher",
        ),
        Figure("lost, 100 in flight", lost["antiphon"], "calls", 0),
        Figure("p50", spread(pooled(ours)).p50, "ms"),
    ]
    report.details = {
        "calls": size.blocks * size.calls,
        "flood_calls": size.blocks * size.flood_calls,
        "ms": {name: spread(pooled(blocks)).as_json() for name, blocks in at_once.items()},
        "stock_ms": {name: spread(pooled(blocks)).as_json() for name, blocks in stock.items()},
        "calls_per_s": {
            name: round(statistics.median(pooled(blocks))) for name, blocks in rates.items()
        },
        "lost": lost,
    }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("bus", measure)
