"""The embedder behind its queue: one call at a time, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import structlog
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.offload import ModelThread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CHARS = 8192
"""More is not shown to the embedder: MiniLM reads 256 tokens, the largest models about 8,000."""

QUEUE_LIMIT = 32

TIMEOUT_S = 3.0
"""Whoever asks waits 5 s: better an answer by words alone in time."""

log = structlog.get_logger(__name__)


class Embedder(Protocol):
    """Turns texts into unit vectors; `load` and `embed` may be sync or async, duck-typed.

    Attributes:
        name: of the model; vectors of different names are never compared.
        dimension: of the vectors; known after `load`.
    """

    name: str
    dimension: int

    def load(self) -> Awaitable[None] | None:
        """Make ready.

        Raises:
            ConfigError: the weights or a library are missing or unfit.
            EngineError: the engine failed.
        """

    def embed(self, texts: Sequence[str]) -> Awaitable[NDArray[np.float32]] | NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension).

        Raises:
            EngineError: the engine failed.
        """


class Notes(Protocol):
    """Where a part says that it works with less, and why; `HealthReporter` is one."""

    def note(self, name: str, sentence: str) -> None:
        """Say so."""

    def clear_note(self, name: str) -> None:
        """It works fully again."""


class Embedding:
    """An embedder that may be missing: then memory goes by words alone.

    Args:
        embedder: the engine.
        notes: is told when it does not load.
    """

    def __init__(self, embedder: Embedder, notes: Notes) -> None:
        self._embedder = embedder
        self._notes = notes
        self._thread: ModelThread | None = None

    @property
    def ready(self) -> bool:
        """Whether texts can be embedded."""
        return self._thread is not None

    @property
    def name(self) -> str:
        """The model's name."""
        return self._embedder.name

    @property
    def dimension(self) -> int:
        """Length of the vectors; 0 while not ready."""
        return self._embedder.dimension if self.ready else 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Load the model for the time of the block; one that does not load is noted, not raised."""
        with ModelThread("embedder", queue_limit=QUEUE_LIMIT) as thread:
            try:
                await thread.call(self._embedder.load)
            except (ConfigError, EngineError) as error:
                self._notes.note(
                    "embedder", f"I search my memory by words only, not by meaning: {error}"
                )
            else:
                self._notes.clear_note("embedder")
                self._thread = thread
            try:
                yield
            finally:
                self._thread = None

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension).

        Raises:
            EngineError: not ready, too many calls wait, or the model failed.
        """
        if self._thread is None:
            msg = "there is no embedding model"
            raise EngineError(msg)
        return await self._thread.call(self._embedder.embed, [text[:MAX_CHARS] for text in texts])

    async def embed_or_none(self, text: str) -> NDArray[np.float32] | None:
        """Return the text's unit vector, shape (dimension,), or None if that fails just now."""
        if not self.ready:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                vectors = await self.embed([text])
        except (EngineError, TimeoutError) as error:
            log.warning("memory.embedding_failed", error=type(error).__name__, detail=str(error))
            return None
        vector: NDArray[np.float32] = vectors[0]
        return vector
