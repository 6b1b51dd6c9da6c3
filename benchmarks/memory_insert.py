"""What one more memory costs, and a start, at 1,000 and 100,000 memories.

One memory after the other through the store, with its vector; a 5 ms ticker on the same loop says
how late it runs meanwhile. A start is opening the database and taking up the vectors of the model
as they are; making them anew from the database is told beside it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import children
from antiphon_memory.service import Memory
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook
from antiphon_runtime.tasks import running
from command import Options, main, say
from figures import RATIO, Figure, Report, percentile, spread
from memory_corpus import FIRST_TS, MODEL, Corpus, blocks, corpus, fill, logs_to_stderr
from memory_query import THREADS

SIZES = {"1k": 1_000, "100k": 100_000}
QUICK_SIZES = {"1k": 200, "100k": 2_000}
INSERTS, QUICK_INSERTS = 500, 20
STARTS = 5
TICK_S = 0.005
TIMEOUT_S = 600.0


@asynccontextmanager
async def ticking(lags_ms: list[float]) -> AsyncIterator[None]:
    """Note how late the loop runs while the block does."""

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            lags_ms.append(max(0.0, (time.perf_counter() - due) * 1000))

    async with running(ticker=tick()):
        yield


async def started(path: Path, known: Corpus) -> float:
    """Return how long a start takes, in ms."""
    begun = time.perf_counter()
    store = SqliteStore(path, NoteBook())
    async with store.open():
        await store.adopt_model(MODEL, known.dimension)
        taken = (time.perf_counter() - begun) * 1000
        assert store.embeddings.index is not None
        assert len(store.embeddings.index) > 0
    return taken


async def inserted(path: Path, known: Corpus, count: int) -> dict[str, list[float]]:
    """Return what each insert takes, and how late the loop runs, in ms."""
    ((texts, vectors),) = blocks(known, count, seed=3)
    taken: list[float] = []
    lags_ms: list[float] = []
    store = SqliteStore(path, NoteBook())
    async with store.open():
        await store.adopt_model(MODEL, known.dimension)
        async with ticking(lags_ms):
            for number, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
                memory = Memory(f"new-{number}", f"{text} new", "user", "household", FIRST_TS)
                begun = time.perf_counter()
                await store.remember(f"message-{number}", memory, vector)
                taken.append((time.perf_counter() - begun) * 1000)
    return {"insert_ms": taken, "lag_ms": lags_ms}


async def measured(size: int, inserts: int) -> dict[str, Any]:
    """Return what starts and inserts take with a store of this size."""
    known = await asyncio.to_thread(corpus)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.sqlite"
        store = SqliteStore(path, NoteBook())
        async with store.open():
            await store.adopt_model(MODEL, known.dimension)
        await asyncio.to_thread(partial(fill, path, known, size))
        starts = [await started(path, known) for _ in range(STARTS)]
        found = await inserted(path, known, inserts)
        await asyncio.to_thread(path.with_suffix(".vectors").unlink)
        return {**found, "start_ms": starts, "anew_ms": await started(path, known)}


async def measure(options: Options) -> Report:
    """Return what an insert and a start cost at each size."""
    report = Report("memory_insert", options.quick)
    sizes, inserts = (QUICK_SIZES, QUICK_INSERTS) if options.quick else (SIZES, INSERTS)
    medians = []
    for name, size in sizes.items():
        say(f"{name}: a store of {size:,} memories")
        order = {"size": size, "inserts": inserts}
        async with children.child("memory_insert.py", "child", config={}, env=THREADS) as process:
            found = await process.ask(order, TIMEOUT_S)
        taken = spread(found["insert_ms"])
        medians.append(taken.p50)
        report.figures += [
            Figure(f"{name}: insert p50", taken.p50, "ms", 5.0),
            Figure(f"{name}: loop lag p99", percentile(found["lag_ms"], 0.99), "ms", 5.0),
            Figure(f"{name}: start p50", spread(found["start_ms"]).p50, "ms", 500.0),
        ]
        report.details[name] = {
            "insert_ms": taken.as_json(),
            "lag_ms": spread(found["lag_ms"]).as_json(),
            "start_ms": found["start_ms"],
            "start with vectors made anew, ms": found["anew_ms"],
        }
    report.figures.append(Figure("insert p50, 100k to 1k", medians[-1] / medians[0], RATIO, 1.5))
    return report


async def serve() -> None:
    """Be the child process: answer each order with what it measures."""
    async for order in children.orders():
        children.answer(**(await measured(**order) if order else {}))


if __name__ == "__main__":
    logs_to_stderr()
    sys.setswitchinterval(0.0005)
    if sys.argv[1:] == ["child"]:
        asyncio.run(serve())
    else:
        main("memory_insert", measure)
