"""How often memory finds what answers a question: by words, by meaning, and by both.

The sets of questions are those of `memory_questions.py`. Every text is remembered by the SQLite
store with its vector (all-MiniLM-L6-v2, int8 ONNX), and every question goes through the memory
worker's own search: by words alone (BM25 of FTS5, as without an embedding model), by meaning alone
(`similarity`) and by both (`hybrid`). `by ranks` is reciprocal rank fusion of the same two rankings
with the usual constant of 60, to compare with.

Goals are for the ways without the floors that keep noise from the answer, since these cut what is
found, not its order. With them (`answered`) is told beside, and so is each half and each kind of
question. nDCG, recall and the reciprocal rank are of the first ten. The interval is of the
difference to vectors alone: 95 % of 2,000 samples of the questions drawn with replacement.

With a reranker set as for the memory worker (`ANTIPHON_MEMORY_RERANKER=…` and the like),
`reranked` is hybrid with it, without its time limit. What a question takes is told in ms, without
its embedding.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from antiphon_contracts import ConfigError
from antiphon_memory.embedding import Embedding
from antiphon_memory.engine import onnx
from antiphon_memory.ranking import Floors, fuse
from antiphon_memory.reranking import Reranking
from antiphon_memory.searching import Search
from antiphon_memory.service import CANDIDATES, EVERYWHERE, Memory, candidates
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook
from antiphon_memory.utterances import content_words
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings, load_engine, load_settings
from command import Options, main, say
from figures import Figure, Report, Spread, spread
from memory_corpus import logs_to_stderr
from memory_questions import HALVES, SETS, Question, QuestionSet
from numpy.typing import NDArray

BEST = 10
QUICK_QUESTIONS = 10
SAMPLES = 2_000
UNHURRIED_S = 60.0
OPEN = Floors(relevance=-1.0, keyword=-1.0)
MEASURES = ("nDCG@10", "recall@10", "MRR@10")
TS = 1_700_000_000.0

Way = Callable[[str], Awaitable[list[str]]]
"""Returns the ids found for a question, best first."""

Scores = NDArray[np.float64]
"""One row per question, one column per measure."""


@dataclass(frozen=True)
class Shelves:
    """A filled store and what is needed to ask it."""

    store: SqliteStore
    embedding: Embedding
    wordless: Embedding
    """One without a model: words alone decide."""
    reranking: Reranking | None = None

    def ways(self) -> dict[str, Way]:
        """Return all ways to search, by name."""
        every = {"": OPEN, ", answered": Floors()}
        found: dict[str, Way] = {"by ranks": self._by_ranks}
        for name, floors in every.items():
            known = Search([self.store], self.embedding, floors)
            found |= {
                f"words{name}": _way(Search([self.store], self.wordless, floors), by_words=True),
                f"vectors{name}": _way(known, by_words=False),
                f"hybrid{name}": _way(known, by_words=True),
            }
        if self.reranking is not None:
            known = Search([self.store], self.embedding, OPEN, reranking=self.reranking)
            found["reranked"] = _way(known, by_words=True)
        return found

    async def _by_ranks(self, text: str) -> list[str]:
        near, matching = await candidates(
            self.store,
            content_words(text),
            await self.embedding.embed_or_none(text),
            EVERYWHERE,
            by_words=True,
            limit=CANDIDATES,
        )
        return fuse([[one.memory.id for one in near], [one.memory.id for one in matching]])


def _way(search: Search, *, by_words: bool) -> Way:
    async def find(text: str) -> list[str]:
        found = await search.find(text, EVERYWHERE, by_words=by_words, limit=BEST)
        return [one.memory.id for one in found]

    return find


@asynccontextmanager
async def filled(known: QuestionSet) -> AsyncIterator[Shelves]:
    """Give a store that remembers the texts of a set, for the time of the block."""
    models = ModelStore(default_root(load_settings(RuntimeSettings).models_dir))
    embedding = Embedding(onnx(MemorySettings(), models), NoteBook())
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "memory.sqlite", NoteBook())

        async def adopt_model() -> None:
            await store.adopt_model(embedding.name, embedding.dimension)

        async with store.open(), embedding.open(adopt_model):
            vectors = await embedding.embed(known.texts)
            for number, text in enumerate(known.texts):
                memory = Memory(str(number), text, "user", "household", TS + number)
                await store.remember(f"message-{number}", memory, vectors[number])
            wordless = Embedding(onnx(MemorySettings(), models), NoteBook())
            async with reranked(models) as reranking:
                yield Shelves(store, embedding, wordless, reranking)


@asynccontextmanager
async def reranked(models: ModelStore) -> AsyncIterator[Reranking | None]:
    """Give the reranker of the settings, for the time of the block; None if there is none.

    Raises:
        ConfigError: it did not load.
    """
    settings = load_settings(MemorySettings)
    if not settings.reranker:
        yield None
        return
    settings = settings.model_copy(update={"reranker_timeout_s": UNHURRIED_S})
    reranker = load_engine("antiphon.rerankers", settings.reranker)(settings, models)
    notes = NoteBook()
    reranking = Reranking(
        reranker, notes, candidates=settings.reranker_candidates, timeout_s=UNHURRIED_S
    )
    async with reranking.open():
        try:
            async with asyncio.timeout(UNHURRIED_S):
                await reranking.ready.wait()
        except TimeoutError:
            raise ConfigError("; ".join(notes.values()) or "the reranker did not load") from None
        yield reranking
        if notes:
            say(f"the order stayed as it was at least once: {'; '.join(notes.values())}")


def scores_of(found: Sequence[str], answers: frozenset[int]) -> tuple[float, float, float]:
    """Return nDCG, recall and reciprocal rank of the first ten, relevance being yes or no."""
    hits = [rank for rank, name in enumerate(found[:BEST]) if int(name) in answers]
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(BEST, len(answers))))
    gained = sum(1 / math.log2(rank + 2) for rank in hits)
    return gained / ideal, len(hits) / len(answers), 1 / (1 + hits[0]) if hits else 0.0


async def asked(way: Way, questions: Sequence[Question]) -> tuple[Scores, Spread]:
    """Return the scores of all questions, asked one after the other, and what they took, in ms."""
    rows, taken_ms = [], []
    for one in questions:
        begun = time.perf_counter()
        found = await way(one.text)
        taken_ms.append((time.perf_counter() - begun) * 1000)
        rows.append(scores_of(found, one.answers))
    return np.array(rows, dtype=np.float64), spread(taken_ms)


def means(scores: Scores) -> dict[str, float]:
    """Return each measure's mean over the questions."""
    return {
        name: round(float(mean), 4)
        for name, mean in zip(MEASURES, scores.mean(axis=0), strict=True)
    }


def interval(better: Scores, than: Scores) -> list[float]:
    """Return between what the difference in nDCG lies, by paired bootstrap."""
    difference = better[:, 0] - than[:, 0]
    random = np.random.default_rng(1)
    drawn = random.integers(len(difference), size=(SAMPLES, len(difference)))
    bounds = np.percentile(difference[drawn].mean(axis=1), [2.5, 97.5])
    return [round(float(bound), 4) for bound in bounds]


def figures_of(name: str, scores: Mapping[str, Scores]) -> list[Figure]:
    """Return the figures of one set; hybrid must be as good as either of its parts."""
    ndcg = {way: float(found[:, 0].mean()) for way, found in scores.items()}
    goal = max(ndcg["words"], ndcg["vectors"])
    return [
        Figure(
            f"{name}: {MEASURES[0]} of {way}",
            value,
            "share",
            round(goal, 4) if way == "hybrid" else None,
            "higher",
        )
        for way, value in ndcg.items()
    ]


def details_of(questions: Sequence[Question], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Return all means of all groups of questions, and how sure the difference is."""
    halves = [HALVES[min(one.answers) % len(HALVES)] for one in questions]
    groups = {
        "all": np.ones(len(questions), dtype=np.bool_),
        **{half: np.array([one == half for one in halves]) for half in HALVES},
        **{kind: np.array([one.kind == kind for one in questions]) for kind in _kinds(questions)},
    }
    return {
        "hybrid to vectors": interval(scores["hybrid"], scores["vectors"]),
        **{
            group: {
                "questions": int(kept.sum()),
                **{way: means(found[kept]) for way, found in scores.items()},
            }
            for group, kept in groups.items()
            if kept.any()
        },
    }


def _kinds(questions: Sequence[Question]) -> list[str]:
    return list(dict.fromkeys(one.kind for one in questions))


async def measure(options: Options) -> Report:
    """Return how well each way finds the answers of each set."""
    report = Report("memory_quality", options.quick)
    for name in options.parts:
        known = await asyncio.to_thread(SETS[name])
        questions = known.questions[: QUICK_QUESTIONS if options.quick else None]
        say(f"{name}: {len(known.texts)} texts, {len(questions)} questions")
        async with filled(known) as shelves:
            for one in questions:
                await shelves.embedding.embed_or_none(one.text)  # and is known from then on
            found = {way: await asked(find, questions) for way, find in shelves.ways().items()}
        scores = {way: one for way, (one, _) in found.items()}
        report.figures += figures_of(name, scores)
        report.details[name] = {
            "texts": len(known.texts),
            "ms per question": {way: taken.as_json() for way, (_, taken) in found.items()},
            **details_of(questions, scores),
        }
    return report


if __name__ == "__main__":
    logs_to_stderr()
    main("memory_quality", measure, list(SETS))
