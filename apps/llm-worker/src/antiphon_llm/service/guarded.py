"""A language model behind a circuit breaker, watched by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from antiphon_contracts import EngineError
from antiphon_runtime.upstream import Upstream

from antiphon_llm.service.model import ChatModel, Delta, Prompt


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a model may keep silent.

    Attributes:
        first_s: until its first sign of life.
        stall_s: between two.
    """

    first_s: float = 50.0
    stall_s: float = 50.0


class GuardedModel:
    """Asks `model` through `upstream`, at a pace; see `ChatModel`."""

    def __init__(self, model: ChatModel, upstream: Upstream, pace: Pace | None = None) -> None:
        self._model = model
        self._upstream = upstream
        self._pace = pace or Pace()

    @property
    def name(self) -> str:
        """See `ChatModel`."""
        return self._model.name

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """See `ChatModel`; an answer of which nothing came is begun once more."""
        return self._upstream.stream(lambda: self._paced(prompt))

    async def _paced(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        limit_s = self._pace.first_s
        async with aclosing(self._model.stream(prompt)) as deltas:
            while True:
                try:
                    # Around the step alone: a time limit must not reach over a yield.
                    async with asyncio.timeout(limit_s):
                        delta = await anext(deltas, None)
                except TimeoutError:
                    raise self._too_slow(limit_s) from None
                if delta is None:
                    return
                yield delta
                limit_s = self._pace.stall_s

    def _too_slow(self, limit_s: float) -> EngineError:
        msg = f"The language model {self.name} said nothing for {limit_s:g} seconds."
        return EngineError(msg, retryable=True)
