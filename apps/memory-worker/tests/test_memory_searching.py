from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from antiphon_contracts import EngineError
from antiphon_memory.embedder import Vectors
from antiphon_memory.embedding import Embedding
from antiphon_memory.ranking import Floors
from antiphon_memory.reranking import Reranking
from antiphon_memory.searching import Passage, Search
from antiphon_memory.service import EVERYWHERE, Candidate, Memory, Where, candidates
from antiphon_memory.simultaneous import at_once
from antiphon_memory.testing import NoteBook, WordEmbedder, WordReranker

pytestmark = pytest.mark.unit

TIME_S = 10


class Meeting:
    """A shelf that answers when as many calls are there as are expected, and not before."""

    def __init__(self, name: str, barrier: asyncio.Barrier, *, broken: bool = False) -> None:
        self._name = name
        self._barrier = barrier
        self._broken = broken

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        return await self._answer("near")

    async def matching(
        self, words: Sequence[str], *, limit: int, where: Where, vector: Vectors | None
    ) -> list[Candidate]:
        return await self._answer("matching")

    async def _answer(self, way: str) -> list[Candidate]:
        await self._barrier.wait()
        if self._broken:
            msg = "broken on purpose"
            raise EngineError(msg, retryable=True)
        name = f"{self._name}, {way}"
        return [Candidate(Memory(name, name, "user", "household", 1.0), 0.9)]


@asynccontextmanager
async def embedding() -> AsyncIterator[Embedding]:
    embedding = Embedding(WordEmbedder(), NoteBook())
    async with asyncio.timeout(TIME_S), embedding.open():
        yield embedding


async def test_all_shelves_are_asked_for_vectors_and_words_at_the_same_time() -> None:
    barrier = asyncio.Barrier(4)
    shelves = [Meeting("memories", barrier), Meeting("documents", barrier)]
    async with embedding() as known:
        search = Search(shelves, known, Floors())
        found = await search.find("red bicycle", EVERYWHERE, by_words=True, limit=5)
    assert [one.memory.id for one in found] == [
        "memories, near",
        "documents, near",
        "memories, matching",
        "documents, matching",
    ]


async def test_without_a_vector_or_words_only_the_other_is_asked() -> None:
    shelf = Meeting("memories", asyncio.Barrier(1))
    vector = WordEmbedder().embed(["red"])[0]
    async with asyncio.timeout(TIME_S):
        near, none = await candidates(shelf, [], vector, EVERYWHERE, by_words=True, limit=5)
        only_near, not_asked = await candidates(
            shelf, ["red"], vector, EVERYWHERE, by_words=False, limit=5
        )
        nothing, matching = await candidates(
            shelf, ["red"], None, EVERYWHERE, by_words=False, limit=5
        )
    assert [len(found) for found in (near, none, only_near, not_asked, nothing, matching)] == [
        1,
        0,
        1,
        0,
        0,
        1,
    ]


async def test_a_shelf_that_fails_fails_the_search_with_its_own_error() -> None:
    barrier = asyncio.Barrier(4)
    shelves = [Meeting("memories", barrier), Meeting("documents", barrier, broken=True)]
    async with embedding() as known:
        with pytest.raises(EngineError, match="broken on purpose"):
            await Search(shelves, known, Floors()).find(
                "red bicycle", EVERYWHERE, by_words=True, limit=5
            )


async def test_what_still_runs_is_cancelled_when_one_fails() -> None:
    ended: list[str] = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("never")

    async def fails() -> None:
        msg = "on purpose"
        raise EngineError(msg)

    async with asyncio.timeout(TIME_S):
        with pytest.raises(EngineError, match="on purpose"):
            await at_once(never=never(), fails=fails())
        assert await at_once() == {}
    assert ended == ["never"]


class Shown:
    """A shelf with given candidates."""

    def __init__(self, near: Sequence[Candidate], matching: Sequence[Candidate]) -> None:
        self._near, self._matching = list(near), list(matching)

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        return self._near

    async def matching(
        self, words: Sequence[str], *, limit: int, where: Where, vector: Vectors | None
    ) -> list[Candidate]:
        return self._matching


def candidate(text: str, cosine: float | None) -> Candidate:
    return Candidate(Memory(text, text, "user", "household", 1.0), cosine)


async def shown(
    near: Sequence[Candidate],
    matching: Sequence[Candidate],
    question: str,
    reranking: Reranking | None = None,
) -> list[str]:
    async with embedding() as known:
        search = Search([Shown(near, matching)], known, Floors(), reranking=reranking)
        found = await search.find(question, EVERYWHERE, by_words=True, limit=5)
    return [one.memory.text for one in found]


async def test_a_common_word_does_not_outweigh_what_means_the_same() -> None:
    blue, car = candidate("the car is blue", 0.7), candidate("which car did you take", 0.4)
    shed = candidate("the shed is old", 0.31)
    question = "which colour has the car we bought last year"
    assert await shown([blue, car, shed], [car, blue], question) == [
        "the car is blue",
        "which car did you take",
        "the shed is old",
    ]


async def test_a_name_decides_between_what_is_about_as_near() -> None:
    first, second = candidate("call Nguyen", 0.60), candidate("call Krull", 0.59)
    far = candidate("the shed is old", 0.31)
    assert await shown([first, second, far], [second], "why call Krull") == [
        "call Krull",
        "call Nguyen",
        "the shed is old",
    ]


async def test_what_is_too_far_is_left_out_unless_it_has_all_words() -> None:
    far = candidate("the bicycle is red", 0.1)
    assert await shown([far], [far], "red bicycle") == ["the bicycle is red"]
    assert await shown([far], [far], "red bicycle bell") == []
    assert await shown([far], [], "red bicycle") == []
    unknown = candidate("the bicycle is red", None)
    assert await shown([], [unknown], "red bicycle bell") == ["the bicycle is red"]


async def test_a_reranker_puts_what_is_relevant_in_its_own_order() -> None:
    reranker = WordReranker()
    near = [candidate("a shed", 0.9), candidate("my red bicycle", 0.5), candidate("noise", 0.1)]
    async with asyncio.timeout(TIME_S):
        reranking = Reranking(reranker, NoteBook())
        async with reranking.open():
            await reranking.ready.wait()
            best = await shown(near, [], "where is my red bicycle", reranking)
    assert best == ["my red bicycle", "a shed"]
    assert reranker.asked == [("where is my red bicycle", ["a shed", "my red bicycle"])]


DAY_S = 86_400.0
NOW = 1_000 * DAY_S


class Old:
    """A shelf with what it was given, the first the best, found by meaning."""

    def __init__(self, *memories: Memory) -> None:
        self._memories = memories

    async def similar(self, vector: Vectors, *, limit: int, where: Where) -> list[Candidate]:
        return [
            Candidate(memory, 0.9 - number / 100) for number, memory in enumerate(self._memories)
        ]

    async def matching(
        self, words: Sequence[str], *, limit: int, where: Where, vector: Vectors | None
    ) -> list[Candidate]:
        return []


def aged(name: str, days: float) -> Memory:
    return Memory(name, name, "user", "household", NOW - days * DAY_S)


def page(name: str, days: float) -> Passage:
    return Passage(
        name,
        name,
        "page",
        "household",
        NOW - days * DAY_S,
        document_id="1",
        ordinal=0,
        title="page",
        address="page",
        anchor="",
    )


async def found_after(half_life_days: float, *shelf: Memory) -> list[str]:
    async with embedding() as known:
        search = Search(
            [Old(*shelf)], known, Floors(), half_life_days=half_life_days, now=lambda: NOW
        )
        found = await search.find("red bicycle", EVERYWHERE, by_words=True, limit=5)
    return [one.memory.id for one in found]


async def test_an_old_memory_comes_after_a_newer_one_that_is_less_near() -> None:
    shelf = aged("old", 30), aged("new", 0), aged("newish", 1)
    assert await found_after(0, *shelf) == ["old", "new", "newish"]
    assert await found_after(30, *shelf) == ["new", "newish", "old"]
    assert await found_after(30_000, *shelf) == ["old", "new", "newish"]


async def test_documents_do_not_age() -> None:
    shelf = page("old page", 900), aged("new", 1), page("new page", 0)
    assert await found_after(30, *shelf) == ["old page", "new page", "new"]
    assert await found_after(0, *shelf) == ["old page", "new", "new page"]
