from __future__ import annotations

import numpy as np
import pytest
from antiphon_memory.embedder import Vectors
from antiphon_memory.vector_cache import VectorCache

pytestmark = pytest.mark.unit


def vector(value: float, dimension: int = 4) -> Vectors:
    return np.full(dimension, value, dtype=np.float32)


def value_of(cache: VectorCache, text: str, model: str = "m") -> float | None:
    found = cache.get(model, text)
    return None if found is None else float(found[0])


def test_the_least_recently_used_goes_first() -> None:
    cache = VectorCache(max_count=2, max_bytes=1000)
    cache.put("m", "one", vector(1))
    cache.put("m", "two", vector(2))
    assert value_of(cache, "one") == 1
    cache.put("m", "three", vector(3))
    assert [value_of(cache, text) for text in ("one", "two", "three")] == [1, None, 3]
    assert (len(cache), cache.size_bytes) == (2, 32)
    assert (cache.hits, cache.misses) == (3, 1)


def test_bytes_are_bounded_too_and_what_is_put_again_counts_once() -> None:
    cache = VectorCache(max_count=100, max_bytes=48)
    for number in range(10):
        cache.put("m", "same", vector(number))
    assert (len(cache), cache.size_bytes, value_of(cache, "same")) == (1, 16, 9)
    for number in range(10):
        cache.put("m", str(number), vector(number))
    assert (len(cache), cache.size_bytes) == (3, 48)
    cache.put("m", "huge", vector(1, 13))
    assert value_of(cache, "huge") is None
    assert len(cache) == 3
    cache.clear()
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_models_and_texts_are_not_mixed_up() -> None:
    cache = VectorCache(max_count=100, max_bytes=1000)
    cache.put("m", "text", vector(1))
    cache.put("n", "text", vector(2))
    cache.put("m", "texts", vector(3))
    cache.put("m", "\ud800", vector(4))
    assert value_of(cache, "text") == 1
    assert value_of(cache, "text", "n") == 2
    assert value_of(cache, "\ud800") == 4
    assert value_of(cache, "", "mtext") is None


def test_nobody_can_change_what_is_kept() -> None:
    cache = VectorCache(max_count=2, max_bytes=1000)
    batch = np.ones((2, 4), dtype=np.float32)
    cache.put("m", "text", batch[0])
    batch[0] = 7
    kept = cache.get("m", "text")
    assert kept is not None
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 5
    assert value_of(cache, "text") == 1
