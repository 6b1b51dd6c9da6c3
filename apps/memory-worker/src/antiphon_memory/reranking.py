"""A second look at what was found: a model that reads question and text together.

It sees more than two vectors do, and costs more: so it reads the first few only, and only for a
short time. Without it, or late, the order stays as it was.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Protocol

import structlog
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime import Upstream
from antiphon_runtime.offload import ModelThread
from antiphon_runtime.tasks import running

from antiphon_memory.embedding import RETRY_MAX_S, RETRY_S
from antiphon_memory.service import Candidate

MAX_CHARS = 4096
"""More of a text is not shown: a passage of a document has about 1,000."""

CANDIDATES = 20
TIMEOUT_S = 1.0

GRACE_S = 0.1
"""After its time an engine may say itself what is wrong; that also tells the breaker."""

NOTE = "reranker"
SAID_FOR_S = 60.0
"""Nobody may ask for hours: so long a failure is told, unless an answer went well meanwhile."""

log = structlog.get_logger(__name__)


class Notes(Protocol):
    """Where it is said that the order is the first one, and why; `HealthReporter` is one."""

    def note(self, name: str, sentence: str, *, for_s: float | None = None) -> None:
        """Say so; None is until it is cleared."""

    def clear_note(self, name: str) -> None:
        """It works fully again."""


class Reranker(Protocol):
    """Scores texts by how well they answer a question; its methods may be sync or async.

    Sync ones run in one thread, one call at a time; a call that comes meanwhile is not reranked.
    An engine whose work is done by a server is also `antiphon_runtime.Remote`.

    Attributes:
        name: what it is, for people; begins sentences about it.
    """

    name: str

    def load(self) -> Awaitable[None] | None:
        """Make ready; called again later if it failed.

        Raises:
            ConfigError: the weights or a library are missing or unfit.
            EngineError: the engine failed.
        """

    def scores(
        self, question: str, texts: Sequence[str]
    ) -> Awaitable[Sequence[float]] | Sequence[float]:
        """Return one score per text, in their order; higher is better, the scale is its own.

        Raises:
            EngineError: the engine failed.
        """

    def close(self) -> Awaitable[None] | None:
        """Give back what `load` took."""


class Reranking:
    """A reranker that may be missing, late or wrong: then the order stays as it was.

    Args:
        reranker: the engine.
        notes: is told while it does not load, and when it was late or failed, until it works.
        upstream: stands before an engine whose work is done by a server.
        candidates: so many are looked at, the first ones.
        timeout_s: how long one question may take.
        retry_s: pause before loading is tried again; doubled each time, up to five minutes.
    """

    def __init__(
        self,
        reranker: Reranker,
        notes: Notes,
        *,
        upstream: Upstream | None = None,
        candidates: int = CANDIDATES,
        timeout_s: float = TIMEOUT_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._reranker = reranker
        self._notes = notes
        self._upstream = upstream
        self._candidates = candidates
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._thread: ModelThread | None = None
        self._failing = False
        self.ready = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Load the engine in the background, and keep it for the time of the block."""
        async with AsyncExitStack() as stack:
            thread = stack.enter_context(ModelThread("reranker", queue_limit=1))
            stack.push_async_callback(self._close, thread)
            if self._upstream is not None:
                await stack.enter_async_context(self._upstream.open())
            async with running(load_reranker=self._keep_loading(thread)):
                yield

    async def reordered(self, question: str, found: Sequence[Candidate]) -> list[Candidate]:
        """Return `found`, its first ones in a better order if that can be had in time."""
        first, rest = found[: self._candidates], found[self._candidates :]
        thread = self._thread
        if thread is None or len(first) <= 1 or not question.strip():
            return list(found)
        try:
            scores = await self._scores(thread, question, [one.memory.text for one in first])
        except EngineError as error:
            self._failing = True
            self._note(str(error), for_s=SAID_FOR_S)
            return list(found)
        if self._failing:
            self._failing = False
            self._notes.clear_note(NOTE)
        # Of equal scores the first stays the first.
        order = sorted(range(len(first)), key=scores.__getitem__, reverse=True)
        return [*(first[place] for place in order), *rest]

    async def _scores(
        self, thread: ModelThread, question: str, texts: Sequence[str]
    ) -> Sequence[float]:
        cut = [text[:MAX_CHARS] for text in texts]
        ask = partial(thread.call, self._reranker.scores, question[:MAX_CHARS], cut)
        try:
            async with asyncio.timeout(self._timeout_s + GRACE_S):
                scores: Sequence[float] = await (
                    ask() if self._upstream is None else self._upstream.call(ask)
                )
        except TimeoutError:
            msg = f"{self._reranker.name} took longer than {self._timeout_s:g} s"
            raise EngineError(msg, retryable=True) from None
        if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
            msg = f"{self._reranker.name} did not give each text a number"
            raise EngineError(msg)
        return scores

    async def _keep_loading(self, thread: ModelThread) -> None:
        pause_s = self._retry_s
        while True:
            try:
                await thread.call(self._reranker.load)
            except (ConfigError, EngineError) as error:
                self._note(str(error))
            else:
                break
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)
        self._thread = thread
        self._notes.clear_note(NOTE)
        self.ready.set()
        log.info("memory.reranker_ready", name=self._reranker.name)

    async def _close(self, thread: ModelThread) -> None:
        """Close the engine; a call that hangs in its thread is not waited for."""
        self._thread = None
        self.ready.clear()
        try:
            async with asyncio.timeout(1.0):
                await thread.call(self._reranker.close)
        except TimeoutError:
            log.info("memory.reranker_hangs", name=self._reranker.name)

    def _note(self, reason: str, *, for_s: float | None = None) -> None:
        log.warning("memory.not_reranked", detail=reason)
        sentence = f"What I find stays in its first order, not reranked: {reason}"
        self._notes.note(NOTE, sentence, for_s=for_s)
