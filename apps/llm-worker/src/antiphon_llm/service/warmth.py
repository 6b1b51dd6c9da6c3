"""Keeping a model warm: loaded, and with the beginning of every prompt computed ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Protocol, runtime_checkable

import structlog
from antiphon_contracts import EngineError, ToolSpec
from antiphon_runtime.tasks import running

from antiphon_llm.service.chain import Brain, Chain
from antiphon_llm.service.model import ChatMessage, ChatModel, Prompt

PREFILL_S = 30.0
SETTLE_S = 1.0
"""Tools and persona may change several times at once; the last counts."""

KEEP_EVERY_S = 240.0
"""Ollama forgets a model five minutes after the last request, unless it is told otherwise."""

IDLE_S = 600.0
"""A model that fell in for another gives its memory back after so long without use."""

log = structlog.get_logger(__name__)


@runtime_checkable
class Keepable(Protocol):
    """A model whose server would unload it."""

    async def keep_loaded(self) -> None:
        """Ask for it to stay.

        Raises:
            EngineError: it cannot be asked.
        """


@runtime_checkable
class Releasable(Protocol):
    """A model that takes this machine's memory."""

    async def release_idle(self, idle_s: float) -> None:
        """Give it back if it was not used for so long."""


class Warmth:
    """Computes the beginning of prompts ahead, while nobody waits.

    Args:
        tools: the tools on offer.
    """

    def __init__(self, tools: Callable[[], tuple[ToolSpec, ...]]) -> None:
        self._tools = tools
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._replies = 0
        self._known: Prompt | None = None

    @contextmanager
    def while_replying(self) -> Iterator[None]:
        """Keep out of the way as long as the block runs."""
        self._replies += 1
        if self._task is not None:
            self._task.cancel()
        try:
            yield
        finally:
            self._replies -= 1

    def touch(self) -> None:
        """What prompts begin with has changed."""
        self._changed.set()

    async def run(self, chain: Chain) -> None:
        """Prefill after every change, and keep models loaded, for ever."""
        while True:
            try:
                async with asyncio.timeout(KEEP_EVERY_S):
                    await self._changed.wait()
                    await asyncio.sleep(SETTLE_S)
            except TimeoutError:
                await self._keep(chain)
            self._changed.clear()
            if not self._replies:
                await self._apart(chain.usual)

    async def _apart(self, brain: Brain) -> None:
        """Prefill in a task that a reply may cancel."""
        async with running() as group:
            self._task = group.create_task(self.prefill(brain), name="warmth:prefill")
            try:
                await asyncio.wait({self._task})
            finally:
                self._task = None

    async def prefill(self, brain: Brain) -> None:
        """Let a server in the house compute what every prompt begins with.

        Nothing is done for others, and nothing if that is computed already; a failure is logged.
        """
        prompt = self._prompt(brain)
        if not brain.prefills or prompt == self._known:
            return
        try:
            async with (
                asyncio.timeout(PREFILL_S),
                aclosing(_source(brain).stream(prompt)) as stream,
            ):
                async for _ in stream:
                    pass
        except (EngineError, TimeoutError) as error:
            log.warning("model.prefill_failed", error=type(error).__name__, detail=str(error))
        else:
            self._known = prompt

    def _prompt(self, brain: Brain) -> Prompt:
        prompt = Prompt((*brain.profile.prefix(), ChatMessage("user", "Hello")), max_tokens=1)
        specs = self._tools()
        return replace(prompt, tools=specs) if brain.tool_mode == "native" else prompt

    async def _keep(self, chain: Chain) -> None:
        usual, *others = map(_source, chain.brains)
        for model in others:
            if isinstance(model, Releasable):
                await model.release_idle(IDLE_S)
        if isinstance(usual, Keepable):
            try:
                await usual.keep_loaded()
            except EngineError as error:
                log.info("model.not_kept", detail=str(error))


def _source(brain: Brain) -> ChatModel:
    """Return the model itself: what is done for warmth must not open its breaker."""
    return brain.source or brain.model
