"""Who is computed when, and with whom: on a computation that waits until it is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from antiphon_contracts import EngineError
from antiphon_memory.batching import QUERIES_IN_A_ROW, Batcher, BatchLimits
from antiphon_memory.embedder import Kind, TextRefused, Vectors

pytestmark = pytest.mark.unit

TIME_S = 10


def vectors_of(texts: Sequence[str]) -> Vectors:
    return np.array([[len(text), hash(text) % 1000] for text in texts], dtype=np.float32)


class Gate:
    """A computation; `batches` are those begun. While `is_shut` it waits for `let_go`."""

    def __init__(self) -> None:
        self.batches: list[tuple[Kind, list[str]]] = []
        self.is_shut = True
        self.bad: set[str] = set()
        self.error: Exception | None = None
        self._next = asyncio.Semaphore(0)
        self._begun = asyncio.Condition()

    async def compute(self, texts: Sequence[str], kind: Kind) -> Vectors:
        async with self._begun:
            self.batches.append((kind, list(texts)))
            self._begun.notify_all()
        if self.is_shut:
            await self._next.acquire()
        if self.error is not None:
            raise self.error
        if self.bad & set(texts):
            msg = "a text is refused"
            raise TextRefused(msg)
        return vectors_of(texts)

    def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            self._next.release()

    def open(self) -> None:
        self.is_shut = False
        self.let_go(100)

    async def until(self, count: int) -> None:
        async with self._begun:
            await self._begun.wait_for(lambda: len(self.batches) >= count)


class Callers:
    """Who wants vectors, each a task."""

    def __init__(self, batcher: Batcher, group: asyncio.TaskGroup) -> None:
        self._batcher = batcher
        self._group = group

    def ask(self, *texts: str, kind: Kind = "query") -> asyncio.Task[Vectors | EngineError]:
        async def caller() -> Vectors | EngineError:
            try:
                return await self._batcher.vectors(texts, kind)
            except EngineError as error:
                return error

        return self._group.create_task(caller(), name=texts[0])


@asynccontextmanager
async def batching(
    gate: Gate, limits: BatchLimits | None = None
) -> AsyncIterator[tuple[Batcher, Callers]]:
    batcher = Batcher(gate.compute, limits or BatchLimits())
    async with asyncio.timeout(TIME_S), asyncio.TaskGroup() as group, batcher.open():
        yield batcher, Callers(batcher, group)


def got(caller: asyncio.Task[Vectors | EngineError]) -> list[list[float]]:
    result = caller.result()
    assert isinstance(result, np.ndarray)
    return [list(map(float, row)) for row in result]


async def all_have(callers: Sequence[asyncio.Task[Vectors | EngineError]]) -> None:
    for caller in callers:
        await caller
        assert got(caller) == vectors_of([caller.get_name()]).tolist()


async def test_a_lone_query_begins_at_once_and_those_of_one_moment_together() -> None:
    gate = Gate()
    async with batching(gate) as (_, callers):
        alone = callers.ask("alone")
        await gate.until(1)
        assert gate.batches == [("query", ["alone"])]
        gate.open()
        await all_have([alone])
        together = [callers.ask(f"q{number}") for number in range(5)]
        await all_have(together)
    assert gate.batches[1:] == [("query", ["q0", "q1", "q2", "q3", "q4"])]


async def test_what_comes_while_it_computes_is_the_next_batch() -> None:
    gate = Gate()
    async with batching(gate, BatchLimits(queries=4)) as (_, callers):
        asked = [callers.ask("first")]
        await gate.until(1)
        asked += [callers.ask(f"q{number}") for number in range(6)]
        gate.open()
        await all_have(asked)
    assert [texts for _, texts in gate.batches] == [
        ["first"],
        ["q0", "q1", "q2", "q3"],
        ["q4", "q5"],
    ]


async def test_a_query_waits_behind_one_batch_of_documents_at_most() -> None:
    gate = Gate()
    async with batching(gate) as (_, callers):
        documents = [callers.ask(f"d{number}", kind="document") for number in range(24)]
        await gate.until(1)
        query = callers.ask("query")
        await asyncio.sleep(0)
        gate.let_go(2)
        await all_have([query])
        gate.open()
        await all_have(documents)
    kinds = [kind for kind, _ in gate.batches]
    assert kinds == ["document", "query", "document", "document"]
    assert [len(texts) for _, texts in gate.batches] == [8, 1, 8, 8]


async def test_documents_have_their_turn_however_many_queries_come() -> None:
    gate = Gate()
    limits = BatchLimits(queries=1)
    async with batching(gate, limits) as (_, callers):
        asked = [callers.ask(f"q{number}") for number in range(3 * QUERIES_IN_A_ROW)]
        await gate.until(1)
        asked.append(callers.ask("document", kind="document"))
        gate.open()
        await all_have(asked)
    kinds = [kind for kind, _ in gate.batches]
    assert kinds.index("document") <= QUERIES_IN_A_ROW + 1


async def test_a_call_is_never_torn_apart() -> None:
    gate = Gate()
    async with batching(gate, BatchLimits(documents=4)) as (_, callers):
        first = callers.ask("a", "b", "c", kind="document")
        second = callers.ask("dd", "e", kind="document")
        gate.open()
        await first
        await second
        assert got(first) == vectors_of(["a", "b", "c"]).tolist()
        assert got(second) == vectors_of(["dd", "e"]).tolist()
    assert [texts for _, texts in gate.batches] == [["a", "b", "c"], ["dd", "e"]]


async def test_long_texts_make_small_batches() -> None:
    gate = Gate()
    gate.open()
    limits = BatchLimits(documents=3, document_chars=10)
    texts = ["a" * 4, "b" * 4, "c" * 4, "d" * 40, "e", "f", "g", "h"]
    async with batching(gate, limits) as (batcher, callers):
        lots = [[texts[row] for row in lot] for lot in batcher.lots(texts, "document")]
        assert [[text[0] for text in lot] for lot in lots] == [
            ["a", "b"],
            ["c"],
            ["d"],
            ["e", "f", "g"],
            ["h"],
        ]
        assert list(batcher.lots([], "document")) == []
        await all_have([callers.ask(text, kind="document") for text in texts])
    assert [texts for _, texts in gate.batches] == lots


async def test_who_is_cancelled_leaves_the_queue_and_harms_nobody() -> None:
    gate = Gate()
    async with batching(gate, BatchLimits(waiting=3)) as (batcher, callers):
        running, beside = callers.ask("running"), callers.ask("beside")
        await gate.until(1)
        left = [callers.ask(f"left {number}") for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="too many"):
            await batcher.vectors(["more"], "query")
        for caller in (running, *left):
            caller.cancel()
        await asyncio.wait([running, *left])
        stays = callers.ask("stays")
        gate.open()
        await all_have([beside, stays])
    assert [texts for _, texts in gate.batches] == [["running", "beside"], ["stays"]]


async def test_too_many_are_refused_and_nobody_else() -> None:
    gate = Gate()
    async with batching(gate, BatchLimits(waiting=2)) as (_, callers):
        asked = [callers.ask("running")]
        await gate.until(1)
        asked += [callers.ask("one"), callers.ask("two")]
        refused = callers.ask("three")
        document = callers.ask("document", kind="document")
        error = await refused
        assert isinstance(error, EngineError)
        assert error.retryable
        gate.open()
        await all_have([*asked, document])


async def test_a_text_at_fault_fails_its_own_caller_alone() -> None:
    gate = Gate()
    gate.bad = {"q3"}
    gate.open()
    async with batching(gate) as (_, callers):
        asked = [callers.ask(f"q{number}") for number in range(8)]
        bad = await asked.pop(3)
        assert isinstance(bad, TextRefused)
        await all_have(asked)
    assert len(gate.batches) <= 7


async def test_nothing_is_computed_again_for_those_who_left() -> None:
    gate = Gate()
    gate.bad = {"q0"}
    async with batching(gate) as (_, callers):
        asked = [callers.ask(f"q{number}") for number in range(4)]
        await gate.until(1)
        gate.let_go()
        await gate.until(2)
        for caller in asked[2:]:
            caller.cancel()
        await asyncio.wait(asked[2:])
        gate.open()
        assert isinstance(await asked[0], TextRefused)
        await all_have([asked[1]])
    assert [texts for _, texts in gate.batches[1:]] == [["q0", "q1"], ["q0"], ["q1"]]


async def test_a_failure_of_the_engine_is_not_multiplied() -> None:
    gate = Gate()
    gate.error = EngineError("the server is away", retryable=True)
    gate.open()
    async with batching(gate) as (_, callers):
        for caller in [callers.ask(f"q{number}") for number in range(8)]:
            error = await caller
            assert isinstance(error, EngineError)
            assert error.retryable
        assert len(gate.batches) == 1
        gate.error = None
        await all_have([callers.ask("again")])


async def test_a_crash_is_everybodys_error_and_the_next_batch_is_computed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    gate = Gate()
    gate.error = ZeroDivisionError("secret words")
    gate.open()
    async with batching(gate) as (_, callers):
        asked = [callers.ask("one"), callers.ask("two")]
        for caller in asked:
            error = await caller
            assert isinstance(error, EngineError)
            assert "ZeroDivisionError" in str(error)
        gate.error = None
        await all_have([callers.ask("again")])
    out, err = capfd.readouterr()
    assert "embedder_crashed" in out + err
    assert "secret" not in out + err


async def test_at_the_end_all_are_told_whether_begun_or_not() -> None:
    gate = Gate()
    async with asyncio.timeout(TIME_S), asyncio.TaskGroup() as group:
        batcher = Batcher(gate.compute, BatchLimits(queries=1))
        async with batcher.open():
            callers = Callers(batcher, group)
            asked = [callers.ask("begun"), callers.ask("waits")]
            await gate.until(1)
            asked.append(callers.ask("document", kind="document"))
            await asyncio.sleep(0)
        for caller in asked:
            assert isinstance(await caller, EngineError)
        with pytest.raises(EngineError, match="closed"):
            await batcher.vectors(["late"], "query")


async def test_it_may_end_in_the_moment_that_a_batch_was_begun() -> None:
    gate = Gate()
    async with asyncio.timeout(TIME_S), asyncio.TaskGroup() as group:
        batcher = Batcher(gate.compute, BatchLimits())
        async with batcher.open():
            caller = Callers(batcher, group).ask("soon")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert isinstance(await caller, EngineError)


async def test_a_server_gets_several_batches_at_once_and_one_place_is_kept_for_queries() -> None:
    gate = Gate()
    limits = BatchLimits(queries=2, documents=2, parallel=3)
    async with batching(gate, limits) as (_, callers):
        asked = [callers.ask(f"d{number}", kind="document") for number in range(8)]
        await gate.until(2)
        asked.append(callers.ask("query"))
        await gate.until(3)
        assert [kind for kind, _ in gate.batches] == ["document", "document", "query"]
        gate.open()
        await all_have(asked)
    assert len(gate.batches) == 5
