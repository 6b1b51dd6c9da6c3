from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from antiphon_memory.reranking import MAX_CHARS, NOTE, Reranking
from antiphon_memory.service import Candidate, Memory
from antiphon_memory.testing import NoteBook, WordReranker

pytestmark = pytest.mark.unit

TIME_S = 10
QUESTION = "what colour is my bicycle"


def found(*texts: str) -> list[Candidate]:
    return [Candidate(Memory(text, text, "user", "household", 1.0), 0.5) for text in texts]


def texts_of(found: Sequence[Candidate]) -> list[str]:
    return [one.memory.text for one in found]


@asynccontextmanager
async def opened(reranker: WordReranker, notes: NoteBook, **more: Any) -> AsyncIterator[Reranking]:
    reranking = Reranking(reranker, notes, **more)
    async with asyncio.timeout(TIME_S), reranking.open():
        yield reranking


@asynccontextmanager
async def loaded(reranker: WordReranker, notes: NoteBook, **more: Any) -> AsyncIterator[Reranking]:
    async with opened(reranker, notes, **more) as reranking:
        await reranking.ready.wait()
        yield reranking


FOUND = ("the shed is green", "my bicycle", "the colour of my bicycle is red")


async def test_what_answers_best_comes_first_and_cosines_stay() -> None:
    notes = NoteBook()
    async with loaded(WordReranker(), notes) as reranking:
        best = await reranking.reordered(QUESTION, found(*FOUND))
    assert texts_of(best) == [FOUND[2], FOUND[1], FOUND[0]]
    assert [one.cosine for one in best] == [0.5] * 3
    assert notes == {}


async def test_only_the_first_few_are_looked_at_and_the_rest_stays_behind_them() -> None:
    reranker = WordReranker()
    async with loaded(reranker, NoteBook(), candidates=2) as reranking:
        best = await reranking.reordered(QUESTION, found(*FOUND))
    assert texts_of(best) == [FOUND[1], FOUND[0], FOUND[2]]
    assert reranker.asked == [(QUESTION, [FOUND[0], FOUND[1]])]


async def test_of_equal_scores_the_first_stays_the_first() -> None:
    reranker = WordReranker()
    reranker.answer = [0.5, -1.0, 0.5]
    async with loaded(reranker, NoteBook()) as reranking:
        assert texts_of(await reranking.reordered(QUESTION, found("a", "b", "c"))) == [
            "a",
            "c",
            "b",
        ]


async def test_one_alone_and_an_empty_question_are_not_asked_about() -> None:
    reranker = WordReranker()
    async with loaded(reranker, NoteBook()) as reranking:
        assert texts_of(await reranking.reordered(QUESTION, found("a"))) == ["a"]
        assert texts_of(await reranking.reordered("  ", found("a", "b"))) == ["a", "b"]
        assert await reranking.reordered(QUESTION, []) == []
    assert reranker.asked == []


async def test_long_texts_are_shown_by_their_beginning() -> None:
    reranker = WordReranker()
    async with loaded(reranker, NoteBook()) as reranking:
        await reranking.reordered("x" * 2 * MAX_CHARS, found("a", "b" * 2 * MAX_CHARS))
    ((question, texts),) = reranker.asked
    assert [len(question), *map(len, texts)] == [MAX_CHARS, 1, MAX_CHARS]


async def test_one_that_is_late_leaves_the_order_and_is_noted_until_it_works() -> None:
    reranker, notes = WordReranker(), NoteBook()
    reranker.waits = asyncio.Event()
    async with loaded(reranker, notes, timeout_s=0.01) as reranking:
        assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) == list(FOUND)
        assert "took longer than 0.01 s" in notes[NOTE]
        assert "bicycle" not in notes[NOTE]
        reranker.waits = None
        assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) != list(FOUND)
        assert notes == {}


@pytest.mark.parametrize("answer", [[], [1.0, 2.0], [1.0] * 4, [1.0, float("nan"), 2.0]])
async def test_one_that_answers_nonsense_leaves_the_order(answer: list[float]) -> None:
    reranker, notes = WordReranker(), NoteBook()
    reranker.answer = answer
    async with loaded(reranker, notes) as reranking:
        assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) == list(FOUND)
        assert "did not give each text a number" in notes[NOTE]


async def test_one_that_fails_leaves_the_order_and_is_noted() -> None:
    reranker, notes = WordReranker(), NoteBook()
    reranker.failing = True
    async with loaded(reranker, notes) as reranking:
        assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) == list(FOUND)
        assert "failed on purpose" in notes[NOTE]


async def test_one_that_does_not_load_is_tried_again_and_nobody_waits_for_it() -> None:
    reranker = WordReranker()
    reranker.missing = True
    noted = asyncio.Event()

    class Notes(NoteBook):
        def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:
            super().note(name, sentence, for_s=for_s)
            assert for_s is None, "as long as it does not load"
            noted.set()

    notes = Notes()
    async with opened(reranker, notes, retry_s=0.001) as reranking:
        await noted.wait()
        assert "is not ready" in notes[NOTE]
        assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) == list(FOUND)
        assert reranker.asked == []
        reranker.missing = False
        await reranking.ready.wait()
        assert notes == {}
        assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) != list(FOUND)


async def test_after_its_end_the_order_stays() -> None:
    reranker = WordReranker()
    async with loaded(reranker, NoteBook()) as reranking:
        pass
    assert texts_of(await reranking.reordered(QUESTION, found(*FOUND))) == list(FOUND)
    assert reranker.asked == []
