"""Stand-ins for memory's ports, for everyone's tests."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from numpy.typing import NDArray

from antiphon_memory.embedder import Kind
from antiphon_memory.utterances import content_words


class WordEmbedder:
    """Embeds a text as the bag of its content words: texts that share words are similar.

    Args:
        name: of the model.
        dimension: of the vectors.
        missing: whether `load` fails as it does without weights.

    Attributes:
        failing: whether `embed` fails.
        seen: every text embedded so far.
    """

    def __init__(self, name: str = "words", dimension: int = 512, *, missing: bool = False) -> None:
        self.name = name
        self.dimension = dimension
        self.failing = False
        self.seen: list[str] = []
        self._missing = missing

    def load(self) -> None:
        """Make ready, or not.

        Raises:
            ConfigError: `missing`.
        """
        if self._missing:
            msg = "The model words is not ready: run `antiphon models fetch words`"
            raise ConfigError(msg)

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:  # noqa: ARG002  (the same for both)
        """Return unit vectors; a text without content words gets zeros.

        Raises:
            EngineError: `failing`.
        """
        if self.failing:
            msg = "the embedder failed on purpose"
            raise EngineError(msg, retryable=True)
        self.seen += texts
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in content_words(text):
                vectors[row, crc32(word.encode()) % self.dimension] += 1.0
        norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit

    def close(self) -> None:
        """Nothing was taken."""


class NoteBook(dict[str, str]):
    """Collects notes by name, as `HealthReporter` does."""

    def note(self, name: str, sentence: str) -> None:
        """Note it."""
        self[name] = sentence

    def clear_note(self, name: str) -> None:
        """Strike it out."""
        self.pop(name, None)
