"""Embedding for everybody: batches, a cache, and a model that may be away for a while."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import structlog
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime import Remote, Upstream
from antiphon_runtime.offload import ModelThread
from antiphon_runtime.tasks import running

from antiphon_memory.batching import Batcher, BatchLimits
from antiphon_memory.embedder import Embedder, Kind, TextRefused, Vectors
from antiphon_memory.vector_cache import VectorCache

MAX_CHARS = 8192
"""More is not shown to the embedder: MiniLM reads 256 tokens, the largest models about 8,000."""

TIMEOUT_S = 3.0
"""Whoever asks waits 5 s: better an answer by words alone in time."""

LOCAL = BatchLimits(queries=32, documents=8, document_chars=1_500, waiting=256)
"""A query waits behind at most one batch of documents, with MiniLM as long as 15 queries take."""

REMOTE = BatchLimits(queries=32, documents=32, document_chars=64_000, waiting=512)
PARALLEL = 4
"""Batches under way to a server at once."""

CACHED = 2048
CACHED_BYTES = 8 * 1024 * 1024
"""Of queries and of documents, each: 2,048 vectors of MiniLM take 3 MB."""

LOAD_TIMEOUT_S = 5.0
"""So long the worker's start waits for a server; after that it goes on by words."""

RETRY_S = 5.0
RETRY_MAX_S = 300.0
NOTE = "embedder"

log = structlog.get_logger(__name__)


class Notes(Protocol):
    """Where a part says that it works with less, and why; `HealthReporter` is one."""

    def note(self, name: str, sentence: str) -> None:
        """Say so."""

    def clear_note(self, name: str) -> None:
        """It works fully again."""


class Embedding:
    """An embedder that may be missing or fail: then memory goes by words alone.

    Args:
        embedder: the engine.
        notes: is told while it does not load, or fails.
        upstream: stands before an engine whose work is done by a server.
        retry_s: pause before loading is tried again; doubled each time, up to five minutes.
    """

    def __init__(
        self,
        embedder: Embedder,
        notes: Notes,
        *,
        upstream: Upstream | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._embedder = embedder
        self._notes = notes
        self._upstream = upstream
        self._retry_s = retry_s
        self._ready = False
        self._failing = False
        self._thread: ModelThread | None = None
        self._batcher = Batcher(self._compute, _limits(embedder))
        self._caches: dict[Kind, VectorCache] = {
            "query": VectorCache(max_count=CACHED, max_bytes=CACHED_BYTES),
            "document": VectorCache(max_count=CACHED, max_bytes=CACHED_BYTES),
        }

    @property
    def ready(self) -> bool:
        """Whether texts can be embedded."""
        return self._ready

    @property
    def name(self) -> str:
        """The model's name."""
        return self._embedder.name

    @property
    def dimension(self) -> int:
        """Length of the vectors; 0 until the model is loaded."""
        return self._embedder.dimension

    @property
    def description(self) -> str:
        """Model and dimension, for people."""
        return f"{self.name}, {self.dimension} dimensions"

    @asynccontextmanager
    async def open(
        self, on_ready: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[None]:
        """Load the model for the time of the block.

        One that does not load is noted, not raised, and tried again in the background.

        Args:
            on_ready: awaited when the model is loaded, right before texts can be embedded, be it
                now or later; knows `name` and `dimension`.
        """
        async with AsyncExitStack() as stack:
            thread = stack.enter_context(ModelThread("embedder", queue_limit=PARALLEL))
            self._thread = thread
            stack.push_async_callback(self._close)
            if self._upstream is not None:
                await stack.enter_async_context(self._upstream.open())
            await stack.enter_async_context(self._batcher.open())
            if await self._load(thread):
                await self._begin(on_ready)
                yield
            else:
                async with running(load_embedder=self._keep_loading(thread, on_ready)):
                    yield

    async def embed(self, texts: Sequence[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector per text, shape (n, dimension).

        Raises:
            TextRefused: the model does not take one of the texts.
            EngineError: not ready, too many texts wait, or the model failed.
        """
        if not self._ready:
            msg = "there is no embedding model"
            raise EngineError(msg, retryable=True)
        cut = [text[:MAX_CHARS] for text in texts]
        cache, model = self._caches[kind], self._embedder.name
        vectors = np.empty((len(cut), self.dimension), dtype=np.float32)
        unknown = []
        for row, text in enumerate(cut):
            known = cache.get(model, text)
            if known is None:
                unknown.append(row)
            else:
                vectors[row] = known
        for rows in self._batcher.lots([cut[row] for row in unknown], kind):
            lot = [unknown[row] for row in rows]
            vectors[lot] = await self._batcher.vectors([cut[row] for row in lot], kind)
            for row in lot:
                cache.put(model, cut[row], vectors[row])
        return vectors

    async def embed_or_none(self, text: str, kind: Kind = "query") -> Vectors | None:
        """Return the text's unit vector, shape (dimension,), or None if that fails just now."""
        if not self.ready:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                vectors = await self.embed([text], kind)
        except (EngineError, TimeoutError) as error:
            log.warning("memory.embedding_failed", error=type(error).__name__, detail=str(error))
            return None
        vector: Vectors = vectors[0]
        return vector

    async def _load(self, thread: ModelThread) -> bool:
        """Load the model; False and a note if that fails."""
        limit_s = LOAD_TIMEOUT_S if isinstance(self._embedder, Remote) else None
        try:
            async with asyncio.timeout(limit_s):
                await thread.call(self._embedder.load)
        except (ConfigError, EngineError) as error:
            self._note(str(error))
        except TimeoutError:
            self._note(f"{self.name} did not answer within {limit_s:g} s.")
        else:
            return True
        return False

    async def _begin(self, on_ready: Callable[[], Awaitable[None]] | None) -> None:
        if on_ready is not None:
            await on_ready()
        self._ready = True
        self._notes.clear_note(NOTE)
        log.info("memory.embedder_ready", model=self.name, dimension=self.dimension)

    async def _keep_loading(
        self, thread: ModelThread, on_ready: Callable[[], Awaitable[None]] | None
    ) -> None:
        pause_s = self._retry_s
        while not self._ready:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)
            if not await self._load(thread):
                continue
            try:
                await self._begin(on_ready)
            except EngineError as error:
                self._note(str(error))

    async def _close(self) -> None:
        """Close the engine; a call that hangs in its thread is not waited for."""
        self._ready = False
        thread, self._thread = self._thread, None
        try:
            async with asyncio.timeout(1.0):
                if thread is not None:
                    await thread.call(self._embedder.close)
        except TimeoutError:
            log.info("memory.embedder_hangs", model=self.name)

    async def _compute(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Ask the engine, and say so if it fails."""
        thread = self._thread
        if thread is None:
            msg = "the embedder is closed"
            raise EngineError(msg, retryable=True)
        ask = partial(thread.call, self._embedder.embed, texts, kind)
        try:
            vectors: Vectors = await (ask() if self._upstream is None else self._upstream.call(ask))
        except TextRefused:
            raise
        except EngineError as error:
            # What may pass is shown by the breaker, which also sees that it has passed.
            if self._upstream is None or not error.retryable:
                self._failing = True
                self._note(str(error))
            raise
        if vectors.shape != (len(texts), self.dimension):
            msg = f"{self.name} gave vectors of shape {vectors.shape} for {len(texts)} texts"
            raise EngineError(msg)
        if self._failing:
            self._failing = False
            self._notes.clear_note(NOTE)
        return vectors

    def _note(self, reason: str) -> None:
        self._notes.note(NOTE, f"I search my memory by words only, not by meaning: {reason}")


def _limits(embedder: Embedder) -> BatchLimits:
    if not isinstance(embedder, Remote):
        return LOCAL
    if not inspect.iscoroutinefunction(embedder.embed):
        return REMOTE
    return replace(REMOTE, parallel=PARALLEL)
