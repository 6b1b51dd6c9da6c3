"""Structured concurrency: background coroutines that live exactly as long as a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


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
        raise _sole(errors) from None


def _sole(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
