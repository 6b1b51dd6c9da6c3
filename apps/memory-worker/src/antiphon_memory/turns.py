"""Short work on the loop itself, a little of it in each of the loop's rounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ROUND_S = 0.002
"""So much work is begun in one round of the loop; what is left waits for the next one."""


class Turns:
    """Lets many who work on the loop have their turns, first come, first served.

    What takes a millisecond is done sooner on the loop than in a thread, but a hundred of these in
    one round would keep everybody else waiting for a tenth of a second.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._spent_s = 0.0
        self._is_counting = False

    async def take(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns; it is called on the loop, at once if there is time."""
        async with self._turn:
            if self._spent_s >= ROUND_S:
                await asyncio.sleep(0)
            begun = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self._spent_s += time.perf_counter() - begun
                if not self._is_counting:
                    self._is_counting = True
                    asyncio.get_running_loop().call_soon(self._begin_round)

    def _begin_round(self) -> None:
        self._spent_s = 0.0
        self._is_counting = False
