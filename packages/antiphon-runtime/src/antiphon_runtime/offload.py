"""Off-loading: blocking inference in a thread of its own, one call at a time."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar, cast

from antiphon_contracts import EngineError

T = TypeVar("T")

_END = object()


@dataclass(slots=True)
class OffloadTimes:
    """Where time went, summed since the start, in seconds."""

    calls: int = 0
    queued_s: float = 0.0
    running_s: float = 0.0


class ModelThread:
    """The one thread in which a model instance is called.

    Engines may be sync or async (duck-typed): a coroutine function is awaited on the loop, anything
    else runs in the thread, never both. A running call cannot be cancelled: when its waiter is
    cancelled, it runs to its end and its result is dropped; long calls look at a flag.

    Args:
        name: for the thread and the error texts.
        queue_limit: calls that may wait; more are refused with EngineError(retryable=True).
    """

    def __init__(self, name: str, *, queue_limit: int = 16) -> None:
        self.name = name
        self.times = OffloadTimes()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._unfinished = 0  # the running one and those that wait
        self._limit = queue_limit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more calls; the one that runs ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def call(self, function: Callable[..., T | Awaitable[T]], *args: Any, **kw: Any) -> T:
        """Return what `function` returns, awaited or from the thread.

        Raises:
            EngineError: too many calls wait.
        """
        if _is_async(function):
            return await cast("Awaitable[T]", function(*args, **kw))
        return cast("T", await self._run(partial(function, *args, **kw)))

    async def stream(
        self, function: Callable[..., Iterable[T] | AsyncIterator[T]], *args: Any, **kw: Any
    ) -> AsyncGenerator[T, None]:
        """Yield what `function` yields; each step of a sync generator runs in the thread.

        A consumer that stops early closes the generator: nothing is computed after that step.
        """
        if inspect.isasyncgenfunction(function):
            async with aclosing(function(*args, **kw)) as items:
                async for item in items:
                    yield item
            return
        iterator = iter(cast("Iterable[T]", await self._run(partial(function, *args, **kw))))
        try:
            while (item := await self._step(partial(next, iterator, _END))) is not _END:
                yield cast("T", item)
        finally:
            if isinstance(iterator, Generator):
                self._submit(iterator.close)

    async def _run(self, function: Callable[[], T]) -> T:
        if self._unfinished > self._limit:
            msg = f"{self.name}: {self._limit} calls wait already"
            raise EngineError(msg, retryable=True)
        return await self._step(function)

    async def _step(self, function: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        submitted = time.perf_counter()
        self._unfinished += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, context.run, self._timed, function, submitted
            )
        finally:
            self._unfinished -= 1

    def _timed(self, function: Callable[[], T], submitted: float) -> T:
        begun = time.perf_counter()
        self.times.calls += 1
        self.times.queued_s += begun - submitted
        try:
            return function()
        finally:
            self.times.running_s += time.perf_counter() - begun

    def _submit(self, function: Callable[[], None]) -> None:
        try:
            self._executor.submit(function)
        except RuntimeError:  # the executor is shut down: nothing is left to stop
            return


def _is_async(function: Callable[..., object]) -> bool:
    """Whether it is a coroutine function, or an object whose call is one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    )


class CancelFlag:
    """Tells a call in a thread to stop at its next look."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask to stop."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()
