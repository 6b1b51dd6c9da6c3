"""Structured concurrency: background coroutines that live exactly as long as a block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def running(**coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.TaskGroup]:
    """Run `coroutines` as tasks named by their keywords while the block runs.

    They are cancelled when the block ends. If one fails, the block is cancelled and the error
    raised. An error of the block, or a single error of a task, comes out as itself and not wrapped
    in an exception group.

    Yields:
        The group, for further tasks that belong to the block; the block must see to their end.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(coroutine, name=name) for name, coroutine in coroutines.items()
            ]
            try:
                yield group
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        sole = _sole(errors)
        raise sole from sole.__cause__


def _sole(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def in_daemon_thread(function: Callable[[], T], *, name: str) -> T:
    """Return what `function` returns in a thread that nobody waits for at the end.

    Unlike `asyncio.to_thread`, a call that hangs (a name server, a dead host) delays neither the
    end of the loop nor that of the process. A cancelled call runs on; its result is dropped.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  (handed to the waiter, as executors do)
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await asyncio.wrap_future(outcome)
