"""Several questions asked at the same time, where the slowest decides how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def at_once(**coroutines: Coroutine[Any, Any, T]) -> dict[str, T]:
    """Return what each coroutine returns, under the name it was given.

    They run as tasks of these names; a single one runs in the caller's own task. If one fails, the
    others are cancelled and its error is raised as itself, not wrapped in a group.
    """
    if len(coroutines) == 1:
        return {name: await coroutine for name, coroutine in coroutines.items()}
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(coroutine, name=name)
                for name, coroutine in coroutines.items()
            }
    except BaseExceptionGroup as errors:
        first = _first(errors)
        raise first from first.__cause__
    return {name: task.result() for name, task in tasks.items()}


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
