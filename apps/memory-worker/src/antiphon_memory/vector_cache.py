"""Vectors that were computed before: the least recently used go first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from antiphon_memory.embedder import Vectors

_KEY_BYTES = 16


class VectorCache:
    """Vectors by text, bounded twice. It holds digests of texts, not what people said.

    Args:
        max_count: so many vectors at most.
        max_bytes: so many bytes of vectors at most.

    Attributes:
        hits: how often a vector was found.
        misses: how often not.
    """

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        self.hits = 0
        self.misses = 0
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._bytes = 0
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def size_bytes(self) -> int:
        """What the vectors take."""
        return self._bytes

    def get(self, model: str, text: str) -> Vectors | None:
        """Return a text's vector, shape (dimension,), not to be written to; None if unknown."""
        key = _key(model, text)
        vector = self._vectors.get(key)
        if vector is None:
            self.misses += 1
            return None
        self.hits += 1
        self._vectors.move_to_end(key)
        return vector

    def put(self, model: str, text: str, vector: Vectors) -> None:
        """Keep a copy of a vector of shape (dimension,), unless it alone is too large."""
        if vector.nbytes > self._max_bytes:
            return
        key = _key(model, text)
        own = vector.copy()
        own.setflags(write=False)
        known = self._vectors.pop(key, None)
        self._bytes += own.nbytes - (0 if known is None else known.nbytes)
        self._vectors[key] = own
        while len(self._vectors) > self._max_count or self._bytes > self._max_bytes:
            _, oldest = self._vectors.popitem(last=False)
            self._bytes -= oldest.nbytes

    def clear(self) -> None:
        """Forget all."""
        self._vectors.clear()
        self._bytes = 0


def _key(model: str, text: str) -> bytes:
    # A lone surrogate, which broken input may hold, is no reason to fail.
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES)
    digest.update(b"\0" + model.encode("utf-8", "surrogatepass"))
    return digest.digest()
