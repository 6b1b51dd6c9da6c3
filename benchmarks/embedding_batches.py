"""Embedding for many callers: batches across requests, and what a lone question pays for them.

The real MiniLM on onnxruntime. Questions that are asked at once stand beside the same number asked
one after the other, in turn, on one core and on as many as the settings give by default; a lone
question stands beside a bare call of the engine. No text is asked twice, so the cache helps nobody.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from antiphon_memory.embedder import Kind
from antiphon_memory.embedding import Embedding
from antiphon_memory.engine import OnnxEmbedder, onnx
from antiphon_memory.settings import MemorySettings
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_runtime.logs import configure_logs
from antiphon_runtime.offload import ModelThread
from command import Options, main, say
from figures import RATIO, Figure, Report, block_ratio, pooled, spread

AT_ONCE = 32
ROUNDS, QUICK_ROUNDS = 15, 2
LONE, QUICK_LONE = 20, 4
"""Lone questions of each round."""

OPENINGS = (
    "what time does", "do you remember when", "please tell me where", "who told us why",
    "how often in a month does", "can you find out whether", "when was it that",
    "I would really like to know how long ago",
)  # fmt: skip
SUBJECTS = (
    "my sister", "the plumber from next door", "our old piano teacher", "Anna", "the night train",
    "the small white cat of the neighbours", "grandma", "the man who mends bicycles",
)  # fmt: skip
DEEDS = (
    "came here", "takes her two pills in the morning", "parked the car on level four",
    "starts work at the hospital", "wanted the blue kettle", "called about the leaking pipe",
    "moved to Lisbon with three dogs", "put the spare key under a flower pot",
)  # fmt: skip


class Questions:
    """Questions of 5 to 20 words, each a new one."""

    def __init__(self) -> None:
        self._chance = random.Random(5)  # noqa: S311  (the same questions in every run)
        self._count = 0

    def some(self, count: int) -> list[str]:
        """Return as many as are wanted."""
        return [self._one() for _ in range(count)]

    def _one(self) -> str:
        self._count += 1
        opening, subject, deed = map(self._chance.choice, (OPENINGS, SUBJECTS, DEEDS))
        return f"{opening} {subject} {deed} {self._count}"


class Silent:
    """Health that nobody looks at."""

    def note(self, name: str, sentence: str) -> None:
        """Say what is wrong."""
        say(f"{name}: {sentence}")

    def clear_note(self, name: str) -> None:
        """Nothing was noted."""


def _engine(settings: MemorySettings) -> OnnxEmbedder:
    return onnx(settings, ModelStore(default_root(load_settings(RuntimeSettings).models_dir)))


@asynccontextmanager
async def _open(settings: MemorySettings) -> AsyncIterator[Embedding]:
    embedding = Embedding(_engine(settings), Silent())
    async with embedding.open():
        yield embedding


async def _one_by_one(embedding: Embedding, texts: Sequence[str]) -> None:
    for text in texts:
        await embedding.embed([text], "query")


async def _at_once(embedding: Embedding, texts: Sequence[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for text in texts:
            group.create_task(embedding.embed([text], "query"), name="question")


async def _took_ms(embed: Callable[[], object]) -> float:
    begun = time.perf_counter()
    result = embed()
    if asyncio.iscoroutine(result):
        await result
    return 1000 * (time.perf_counter() - begun)


async def many(threads: int, rounds: int, questions: Questions) -> list[Figure]:
    """Return the figures of questions at once against one after the other."""
    apart: list[float] = []
    together: list[float] = []
    async with _open(MemorySettings(threads=threads)) as embedding:
        await _at_once(embedding, questions.some(AT_ONCE))
        for number in range(rounds):
            pair = [(_one_by_one, apart), (_at_once, together)]
            for ask, times in pair if number % 2 else reversed(pair):
                times.append(await _took_ms(partial(ask, embedding, questions.some(AT_ONCE))))
    ratio = statistics.median(a / b for a, b in zip(apart, together, strict=True))
    goal = 2.0 if threads == MemorySettings().threads else None
    name = f"{AT_ONCE} questions, {threads} core{'s' if threads > 1 else ''}"
    return [
        Figure(f"{name}: one by one", statistics.median(apart), "ms"),
        Figure(f"{name}: at once", statistics.median(together), "ms"),
        Figure(f"{name}: throughput at once", ratio, RATIO, goal, "higher"),
    ]


async def lone(rounds: int, each: int, questions: Questions) -> list[Figure]:
    """Return the figures of one question at a time, with nobody else there."""
    kind: Kind = "query"
    names = ("bare", "bare in a thread", "ours")
    blocks: dict[str, list[list[float]]] = {name: [] for name in names}
    settings = MemorySettings()
    bare = _engine(settings)
    with ModelThread("bare") as thread:
        await thread.call(bare.load)
        async with _open(settings) as embedding:
            ways: dict[str, Callable[[list[str]], object]] = {
                "bare": partial(bare.embed, kind=kind),
                "bare in a thread": lambda texts: thread.call(bare.embed, texts, kind),
                "ours": partial(embedding.embed, kind=kind),
            }
            for _ in range(rounds):
                block: dict[str, list[float]] = {name: [] for name in names}
                # The same number of words for each: the number at the end differs alone.
                for text in questions.some(each):
                    for name in names:
                        block[name].append(
                            await _took_ms(partial(ways[name], [f"{text} {name[0]}"]))
                        )
                for name in names:
                    blocks[name].append(block[name])
        bare.close()
    return [
        *(
            Figure(f"lone question: {name}", spread(pooled(blocks[name])).p50, "ms")
            for name in names
        ),
        Figure(
            "lone question: ours to bare in a thread",
            block_ratio(blocks["ours"], blocks["bare in a thread"]),
            RATIO,
        ),
        Figure(
            "lone question: ours to bare", block_ratio(blocks["ours"], blocks["bare"]), RATIO, 1.1
        ),
    ]


async def behind_documents(rounds: int, each: int, questions: Questions) -> list[Figure]:
    """Return how long a question waits while documents are read all the time."""
    times: list[float] = []
    async with _open(MemorySettings()) as embedding:
        is_over = False

        async def read() -> None:
            while not is_over:
                await embedding.embed([" ".join(questions.some(8)) for _ in range(8)])

        async with asyncio.TaskGroup() as group:
            group.create_task(read(), name="documents")
            for text in questions.some(rounds * each // 4 + 1):
                # Not in step with the batches: a question comes at any moment of one.
                await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311  (nothing secret)
                times.append(await _took_ms(partial(embedding.embed, [text], "query")))
            is_over = True
    found = spread(times)
    return [
        Figure("question while documents are read: p50", found.p50, "ms"),
        Figure("question while documents are read: p99", found.p99, "ms"),
    ]


async def measure(options: Options) -> Report:
    """Measure all of it."""
    configure_logs("bench", level="warning", style="text")
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    each = QUICK_LONE if options.quick else LONE
    questions = Questions()
    report = Report("embedding_batches", options.quick)
    say("a lone question")
    report.figures += await lone(rounds, each, questions)
    for threads in sorted({1, MemorySettings().threads}):
        say(f"{AT_ONCE} questions, {threads} of the cores")
        report.figures += await many(threads, rounds, questions)
    say("a question while documents are read")
    report.figures += await behind_documents(rounds, each, questions)
    words = [len(text.split()) for text in questions.some(200)]
    report.details = {
        "rounds": rounds,
        "words": {"least": min(words), "median": statistics.median(words), "most": max(words)},
    }
    return report


if __name__ == "__main__":
    main("embedding_batches", measure)
