"""A hundred questions at once while 10,000 memories are stored, beside the same without storing.

A hundred askers put one hybrid question after the other to one store of 10,000 memories, first with
nothing else going on (idle), then while one writer stores 10,000 more. A 5 ms ticker on the same
loop says how late it runs. The time of a single question on an idle store is told beside it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import children
from antiphon_contracts import AntiphonError
from antiphon_memory.service import CANDIDATES, EVERYWHERE, Memory
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook
from antiphon_memory.utterances import content_words
from command import Options, main, say
from figures import RATIO, Figure, Report, percentile, spread
from memory_corpus import FIRST_TS, MODEL, Corpus, blocks, corpus, fill, logs_to_stderr
from memory_insert import ticking
from memory_query import THREADS, WORDS_ASKED

ASKERS = 100
KNOWN, QUICK_KNOWN = 10_000, 300
STORED, QUICK_STORED = 10_000, 100
IDLE_S, QUICK_IDLE_S = 20.0, 1.0
STORING_S, QUICK_STORING_S = 600.0, 15.0
"""So long memories are stored at most; how many of those meant were, is a figure of its own."""

SINGLE = 50
TIMEOUT_S = 900.0


class Askers:
    """Ask for as long as they are let; keep what each question took."""

    def __init__(self, store: SqliteStore, known: Corpus) -> None:
        self._store = store
        self._words = [content_words(query)[:WORDS_ASKED] for query in known.queries]
        self._vectors = known.query_vectors
        self.taken_ms: list[float] = []
        self.failed: Counter[str] = Counter()
        self.done = asyncio.Event()

    async def ask(self, number: int) -> None:
        """Ask one hybrid question."""
        vector = self._vectors[number % len(self._words)]
        words = self._words[number % len(self._words)]
        begun = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self._store.similar(vector, limit=CANDIDATES, where=EVERYWHERE), name="near"
                )
                group.create_task(
                    self._store.matching(words, limit=CANDIDATES, where=EVERYWHERE, vector=vector),
                    name="matching",
                )
        except* AntiphonError as errors:
            self.failed.update(type(error).__name__ for error in errors.exceptions)
        self.taken_ms.append((time.perf_counter() - begun) * 1000)

    async def run(self, first: int) -> None:
        """Ask one question after the other."""
        number = first
        while not self.done.is_set():
            await self.ask(number)
            number += 7


async def situation(
    store: SqliteStore, known: Corpus, *, most_s: float, stored: int = 0
) -> dict[str, Any]:
    """Let all ask for a time, or until so many memories are stored; return what it took, in ms."""
    lags_ms: list[float] = []
    there = 0
    askers = Askers(store, known)
    begun = time.perf_counter()
    async with ticking(lags_ms), asyncio.TaskGroup() as group:
        for number in range(ASKERS):
            group.create_task(askers.run(number), name=f"asker-{number}")
        if stored:
            there = await store_some(store, known, stored, most_s)
        else:
            await asyncio.sleep(most_s)
        askers.done.set()
    return {
        "query_ms": askers.taken_ms,
        "lag_ms": lags_ms,
        "failed": askers.failed,
        "took_s": time.perf_counter() - begun,
        "stored": there,
    }


async def store_some(store: SqliteStore, known: Corpus, count: int, most_s: float) -> int:
    """Store memories one after the other; return how many were stored in time."""
    end = time.perf_counter() + most_s
    done = 0
    for texts, vectors in blocks(known, count, seed=3):
        for text, vector in zip(texts, vectors, strict=True):
            if time.perf_counter() > end:
                return done
            name = f"new-{text}"
            memory = Memory(name, f"{text} new", "user", "household", FIRST_TS)
            await store.remember(name, memory, vector)
            done += 1
    return done


async def measured(known_size: int, stored: int, idle_s: float, storing_s: float) -> dict[str, Any]:
    """Return what questions take alone, a hundred at once, and while memories are stored."""
    known = await asyncio.to_thread(corpus)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.sqlite"
        store = SqliteStore(path, NoteBook())
        async with store.open():
            await store.adopt_model(MODEL, known.dimension)
        await asyncio.to_thread(partial(fill, path, known, known_size))
        async with store.open():
            await store.adopt_model(MODEL, known.dimension)
            alone = Askers(store, known)
            for number in range(SINGLE):
                await alone.ask(number)
            idle = await situation(store, known, most_s=idle_s)
            busy = await situation(store, known, most_s=storing_s, stored=stored)
            there = len(await store.recent(limit=known_size + 2 * stored, where=EVERYWHERE))
        return {"alone_ms": alone.taken_ms, "idle": idle, "busy": busy, "there": there}


async def measure(options: Options) -> Report:
    """Return how questions fare while memories are stored."""
    quick = options.quick
    order = {
        "known_size": QUICK_KNOWN if quick else KNOWN,
        "stored": QUICK_STORED if quick else STORED,
        "idle_s": QUICK_IDLE_S if quick else IDLE_S,
        "storing_s": QUICK_STORING_S if quick else STORING_S,
    }
    say(f"{ASKERS} askers, {order['stored']} memories stored")
    async with children.child("memory_load.py", "child", config={}, env=THREADS) as process:
        found = await process.ask(order, TIMEOUT_S)
    idle, busy = found["idle"], found["busy"]
    p95 = percentile(busy["query_ms"], 0.95)
    report = Report("memory_load", quick)
    report.figures = [
        Figure("failed", sum(busy["failed"].values()), "questions", 0),
        Figure("p95 to idle p50, 100 at once", p95 / spread(idle["query_ms"]).p50, RATIO, 5.0),
        Figure("p95 to the p50 of one alone", p95 / spread(found["alone_ms"]).p50, RATIO),
        Figure("loop lag p99", percentile(busy["lag_ms"], 0.99), "ms", 20.0),
        Figure(
            "memories missing",
            order["known_size"] + busy["stored"] - found["there"],
            "memories",
            0,
        ),
        Figure("memories stored", busy["stored"], "memories", order["stored"], "higher"),
    ]
    report.details = {
        "alone_ms": spread(found["alone_ms"]).as_json(),
        "stored_per_s": busy["stored"] / busy["took_s"],
        **{
            name: {
                "query_ms": spread(one["query_ms"]).as_json(),
                "lag_ms": spread(one["lag_ms"]).as_json(),
                "questions": len(one["query_ms"]),
                "questions_per_s": len(one["query_ms"]) / one["took_s"],
            }
            for name, one in (("idle", idle), ("busy", busy))
        },
    }
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
        main("memory_load", measure)
