"""What a query to long-term memory costs, embedding excluded, beside numpy's exact search.

Stores of 1,000 to 1,000,000 memories with vectors of 384 components, queried through the store as
the memory worker does: by similarity (10 memories), and hybrid (50 by meaning and 50 by words at
the same time, then fused). The yardstick is `matrix @ vector` and the ten largest, in the same
process and in turns, with one BLAS thread. `index` is the search for vectors alone, without the
memories' texts.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import children
import numpy as np
from antiphon_memory.searching import in_order
from antiphon_memory.service import CANDIDATES, EVERYWHERE
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook
from antiphon_memory.utterances import content_words
from antiphon_memory.vectors import Vectors
from antiphon_memory.vectors.bytewise import near_cosines, products
from command import Options, main, say
from figures import RATIO, Figure, Report, block_ratio, pooled, spread
from memory_corpus import MODEL, Corpus, corpus, fill, logs_to_stderr

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}
QUICK_SIZES = {"1k": 1_000, "10k": 2_000, "100k": 3_000, "1M": 4_000}
WITHOUT_BLOBS = 1_000_000
BLOCKS, QUICK_BLOCKS = 10, 2
QUERIES_EACH = 10
BEST = 10
WORDS_ASKED = 4
"""What is left of a spoken question without its small words; the sentences are longer."""

BUILD_TIMEOUT_S = 1200.0
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Way = Callable[[int], Awaitable[Any]]
"""Carries out the query of this number."""


def exact(matrix: Vectors, vector: Vectors) -> list[int]:
    """Return the places of the best by numpy alone, best first."""
    cosines = matrix @ vector
    best = np.argpartition(cosines, -BEST)[-BEST:]
    return [int(place) for place in best[np.argsort(-cosines[best])]]


def ways(store: SqliteStore, known: Corpus) -> tuple[dict[str, Way], Vectors]:
    """Return all ways of querying, and the matrix of exact search."""
    index = store.embeddings.index
    multiply = products()
    assert index is not None
    assert multiply is not None
    matrix, codes, scales = np.array(index.vectors), index.codes, index.scales
    words = [content_words(query)[:WORDS_ASKED] for query in known.queries]
    vectors = known.query_vectors

    async def numpy_exact(number: int) -> list[int]:
        return exact(matrix, vectors[number])

    async def first_pass(number: int) -> object:
        near = near_cosines(codes, scales, vectors[number], multiply)
        return np.argpartition(near, -64)[-64:]

    async def in_index(number: int) -> list[int]:
        return [key - 1 for key, _ in index.search(vectors[number], BEST)]

    async def similarity(number: int) -> object:
        return await store.similar(vectors[number], limit=BEST, where=EVERYWHERE)

    async def by_words(number: int) -> object:
        return await store.matching(
            words[number], limit=CANDIDATES, where=EVERYWHERE, vector=vectors[number]
        )

    async def hybrid(number: int) -> list[str]:
        near, matching = await asyncio.gather(
            store.similar(vectors[number], limit=CANDIDATES, where=EVERYWHERE),
            store.matching(
                words[number], limit=CANDIDATES, where=EVERYWHERE, vector=vectors[number]
            ),
        )
        return in_order(near, [matching], words[number])

    return {
        "exact": numpy_exact,
        "int8": first_pass,
        "index": in_index,
        "similarity": similarity,
        "words": by_words,
        "hybrid": hybrid,
    }, matrix


async def timed(way: Way, numbers: Sequence[int]) -> tuple[list[float], list[float]]:
    """Return what each query takes, in ms: by the clock, and of all cores together."""
    taken, worked = [], []
    for number in numbers:
        begun, before = time.perf_counter(), time.process_time()
        await way(number)
        taken.append((time.perf_counter() - begun) * 1000)
        worked.append((time.process_time() - before) * 1000)
    return taken, worked


async def recall(found: Way, expected: Way, queries: int) -> float:
    """Return which share of the best ones is found, over all queries."""
    shares = [
        len(set(await found(number)) & set(await expected(number))) / BEST
        for number in range(queries)
    ]
    return statistics.mean(shares)


async def compare(path: Path, known: Corpus, blocks: int) -> dict[str, Any]:
    """Return the times of all ways, by block, and how much the index finds."""
    store = SqliteStore(path, NoteBook())
    async with store.open():
        begun = time.perf_counter()
        await store.adopt_model(MODEL, known.dimension)
        load_ms = (time.perf_counter() - begun) * 1000
        all_ways, _matrix = ways(store, known)
        for way in all_ways.values():
            await timed(way, range(3))
        times: dict[str, list[list[float]]] = {name: [] for name in all_ways}
        work: dict[str, list[list[float]]] = {name: [] for name in all_ways}
        queries = len(known.queries)
        for block in range(blocks):
            numbers = [(block * QUERIES_EACH + one) % queries for one in range(QUERIES_EACH)]
            for name, way in all_ways.items():
                taken, worked = await timed(way, numbers)
                times[name].append(taken)
                work[name].append(worked)
        found = await recall(all_ways["index"], all_ways["exact"], queries)
        return {"times": times, "work": work, "recall": found, "load_ms": load_ms}


async def measured(size: int, blocks: int) -> dict[str, Any]:
    """Return what `compare` does of a new store of this size; it is deleted afterwards."""
    known = await asyncio.to_thread(corpus)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.sqlite"
        store = SqliteStore(path, NoteBook())
        async with store.open():
            await store.adopt_model(MODEL, known.dimension)
        begun = time.perf_counter()
        blobs = size < WITHOUT_BLOBS
        await asyncio.to_thread(partial(fill, path, known, size, blobs=blobs))
        return {
            "build_s": time.perf_counter() - begun,
            "mb": await asyncio.to_thread(megabytes, Path(folder)),
            **await compare(path, known, blocks),
        }


def megabytes(folder: Path) -> dict[str, float]:
    """Return the size of each file."""
    return {part.name: round(part.stat().st_size / 1e6, 1) for part in folder.iterdir()}


def figures_of(name: str, found: dict[str, Any]) -> list[Figure]:
    """Return the figures of one size."""

    def ratio(way: str, of: str = "times") -> float:
        return block_ratio(found[of][way], found[of]["exact"])

    return [
        Figure(f"{name}: int8 pass to exact", ratio("int8"), RATIO, 0.5),
        Figure(f"{name}: recall@10", found["recall"], "share", 0.99, "higher"),
        Figure(f"{name}: index to exact", ratio("index"), RATIO, 1.15),
        Figure(f"{name}: similarity to exact", ratio("similarity"), RATIO, 1.15),
        Figure(f"{name}: words to exact", ratio("words"), RATIO),
        Figure(f"{name}: hybrid to exact", ratio("hybrid"), RATIO, 2.0),
        Figure(f"{name}: similarity's work to exact", ratio("similarity", "work"), RATIO),
        Figure(f"{name}: hybrid's work to exact", ratio("hybrid", "work"), RATIO),
    ]


async def measure(options: Options) -> Report:
    """Return what queries cost at each size, each in a process of its own."""
    report = Report("memory_query", options.quick)
    sizes, blocks = (QUICK_SIZES, QUICK_BLOCKS) if options.quick else (SIZES, BLOCKS)
    for name in options.parts:
        say(f"{name}: a store of {sizes[name]:,} memories")
        order = {"size": sizes[name], "blocks": blocks}
        async with children.child("memory_query.py", "child", config={}, env=THREADS) as process:
            found = await process.ask(order, BUILD_TIMEOUT_S)
        report.figures += figures_of(name, found)
        report.details[name] = {
            "ms": {way: spread(pooled(times)).as_json() for way, times in found["times"].items()},
            "work_ms": {way: spread(pooled(work)).as_json() for way, work in found["work"].items()},
            **{key: found[key] for key in ("load_ms", "build_s", "mb")},
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
        main("memory_query", measure, list(SIZES))
