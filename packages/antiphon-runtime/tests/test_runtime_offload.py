"""The model's own thread."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial

import pytest
from antiphon_contracts import EngineError
from antiphon_runtime import CancelFlag, ModelThread

pytestmark = [pytest.mark.unit, pytest.mark.timeout(20)]

WAIT_S = 5.0


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    with ModelThread("model", queue_limit=2) as thread:
        yield thread


class Busy:
    """Blocks the thread until let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.at_once = self.most_at_once = 0

    def __call__(self) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        self.go.wait(WAIT_S)
        self.at_once -= 1
        return threading.current_thread().name


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_function_runs_in_the_thread_and_a_coroutine_on_the_loop(
    thread: ModelThread,
) -> None:
    class Engine:
        async def __call__(self) -> str:
            return threading.current_thread().name

        async def transcribe(self, name: str, *, upper: bool = False) -> str:
            here = threading.current_thread().name
            return f"{name} {here}".upper() if upper else here

    main = threading.current_thread().name

    def where() -> str:
        return threading.current_thread().name

    engine = Engine()
    assert (await thread.call(where)).startswith("model")
    called: str = await thread.call(engine)
    assert called == main
    called = await thread.call(engine.transcribe, "x")
    assert called == main
    called = await thread.call(partial(engine.transcribe, "x", upper=True))
    assert called == f"X {main}".upper()


async def test_one_call_runs_at_a_time_and_too_many_are_refused(thread: ModelThread) -> None:
    busy = Busy()
    calls = [asyncio.ensure_future(thread.call(busy)) for _ in range(3)]  # 1 runs, 2 wait
    await asyncio.to_thread(busy.begun.wait, WAIT_S)
    with pytest.raises(EngineError, match="model: 2 calls wait") as refused:
        await thread.call(busy)
    assert refused.value.retryable
    busy.go.set()
    async with asyncio.timeout(WAIT_S):
        assert len(set(await asyncio.gather(*calls))) == 1
    assert busy.most_at_once == 1
    assert thread.times.calls == 3
    assert thread.times.queued_s > 0
    assert thread.times.running_s > 0


async def test_context_variables_are_carried_over(thread: ModelThread) -> None:
    turn: contextvars.ContextVar[str] = contextvars.ContextVar("turn", default="none")
    turn.set("t1")
    assert await thread.call(turn.get) == "t1"

    def pieces() -> Iterator[str]:
        yield turn.get()

    assert [piece async for piece in thread.stream(pieces)] == ["t1"]


async def test_errors_pass_through(thread: ModelThread) -> None:
    def fail() -> None:
        raise LookupError("broken")

    def fail_later() -> Iterator[int]:
        yield 1
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await thread.call(fail)
    async with aclosing(thread.stream(fail_later)) as stream:
        assert await anext(stream) == 1
        with pytest.raises(LookupError, match="broken"):
            await anext(stream)


async def test_a_stream_yields_all_and_each_step_runs_in_the_thread(thread: ModelThread) -> None:
    def pieces(count: int) -> Iterator[tuple[int, str]]:
        for number in range(count):
            yield number, threading.current_thread().name[:5]

    assert [p async for p in thread.stream(pieces, 3)] == [(n, "model") for n in range(3)]
    assert [p async for p in thread.stream(lambda: ["", "x"])] == ["", "x"]


async def test_a_consumer_that_stops_closes_the_generator(thread: ModelThread) -> None:
    closed, made = threading.Event(), []

    def pieces() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.set()

    async with aclosing(thread.stream(pieces)) as stream:
        async for _ in stream:
            break
    assert await asyncio.to_thread(closed.wait, WAIT_S)
    assert made == [0]


async def test_an_async_stream_stays_on_the_loop_and_is_closed(thread: ModelThread) -> None:
    closed: list[str] = []

    async def pieces() -> AsyncIterator[str]:
        try:
            while True:
                yield threading.current_thread().name
        finally:
            closed.append("closed")

    async with aclosing(thread.stream(pieces)) as stream:
        assert await anext(stream) == threading.current_thread().name
    assert closed == ["closed"]
    assert thread.times.calls == 0


async def test_a_stream_that_has_begun_is_not_refused_when_others_wait(
    thread: ModelThread,
) -> None:
    busy = Busy()

    def pieces() -> Iterator[int]:
        yield from range(3)

    async with aclosing(thread.stream(pieces)) as stream:
        assert await anext(stream) == 0
        calls = [asyncio.ensure_future(thread.call(busy)) for _ in range(3)]
        await asyncio.to_thread(busy.begun.wait, WAIT_S)
        step = asyncio.ensure_future(anext(stream))
        await settle()
        busy.go.set()
        async with asyncio.timeout(WAIT_S):
            assert await step == 1
            await asyncio.gather(*calls)


async def test_a_cancelled_call_runs_to_its_end_and_the_next_one_waits(
    thread: ModelThread,
) -> None:
    busy = Busy()
    call = asyncio.ensure_future(thread.call(busy))
    await asyncio.to_thread(busy.begun.wait, WAIT_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    after = asyncio.ensure_future(thread.call(lambda: busy.at_once))
    await settle()
    assert not after.done()
    busy.go.set()
    async with asyncio.timeout(WAIT_S):
        assert await after == 0


async def test_closing_does_not_wait_for_the_running_call() -> None:
    busy = Busy()
    with ModelThread("model") as thread:
        call = asyncio.ensure_future(thread.call(busy))
        await asyncio.to_thread(busy.begun.wait, WAIT_S)
    assert not call.done()
    busy.go.set()
    async with asyncio.timeout(WAIT_S):
        assert await call


def test_a_flag_is_up_once_set() -> None:
    flag = CancelFlag()
    assert not flag
    flag.set()
    assert flag
