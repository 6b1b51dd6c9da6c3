"""The port of an embedding model: texts to unit vectors."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np
from antiphon_contracts import EngineError
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]

Kind = Literal["query", "document"]
"""What a text is: what somebody asks, or what is kept. Many models are told which."""


class TextRefused(EngineError):  # noqa: N818  (it names what happened)
    """One of the texts is at fault: the others alone would have been embedded."""


class Embedder(Protocol):
    """Turns texts into unit vectors; its methods may be sync or async, duck-typed.

    Sync ones run in one thread, one call at a time. An engine whose work is done by a server is
    also `antiphon_runtime.Remote`; if it is async, it is called for several batches at once.

    Attributes:
        name: of the model and of whatever else makes the vectors of documents what they are;
            vectors of different names are never compared.
        dimension: of the vectors; known after `load`.
    """

    name: str
    dimension: int

    def load(self) -> Awaitable[None] | None:
        """Make ready; called again later if it failed.

        Raises:
            ConfigError: the weights or a library are missing or unfit.
            EngineError: the engine failed.
        """

    def embed(self, texts: Sequence[str], kind: Kind) -> Awaitable[Vectors] | Vectors:
        """Return one unit vector per text, shape (n, dimension).

        Raises:
            TextRefused: the fault lies with one of the texts.
            EngineError: the engine failed.
        """

    def close(self) -> Awaitable[None] | None:
        """Give back what `load` took."""
