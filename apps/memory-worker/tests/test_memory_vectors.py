from __future__ import annotations

import numpy as np
import pytest
from antiphon_memory.vectors import FIRST_CAPACITY, VectorIndex, Vectors

pytestmark = pytest.mark.unit


def units(count: int, dimension: int = 16, seed: int = 1) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    norms: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / norms


def filled(vectors: Vectors) -> VectorIndex:
    index = VectorIndex(vectors.shape[1])
    keys = range(10, 10 + len(vectors))
    index.put(keys, ["even" if key % 2 == 0 else "odd" for key in keys], vectors)
    return index


def test_search_is_exact_while_the_matrix_grows() -> None:
    vectors = units(3 * FIRST_CAPACITY)
    index = filled(vectors)
    query = units(1, seed=2)[0]
    expected = vectors @ query
    found = index.search(query, 5, None)
    assert [key - 10 for key, _ in found] == np.argsort(-expected)[:5].tolist()
    assert [cosine for _, cosine in found] == pytest.approx(np.sort(expected)[::-1][:5], abs=1e-6)


def test_search_keeps_to_a_scope() -> None:
    index = filled(units(20))
    assert {key % 2 for key, _ in index.search(units(1)[0], 20, "odd")} == {1}
    assert index.search(units(1)[0], 20, "unknown") == []


def test_what_is_removed_is_not_found() -> None:
    vectors = units(4)
    index = filled(vectors)
    index.remove([11, 999])
    assert len(index) == 3
    assert 11 not in dict(index.search(vectors[1], 10, None))
    assert index.cosines([10, 11], vectors[0]) == {10: pytest.approx(1.0, abs=1e-6)}


def test_holes_are_closed_and_nothing_else_is_lost() -> None:
    vectors = units(3000)
    index = filled(vectors)
    index.remove(range(10, 2010))
    assert len(index) == 1000
    assert index.search(vectors[2500], 1, None)[0][0] == 2510
    index.put([5], ["even"], vectors[:1])
    assert index.search(vectors[0], 1, "even")[0][0] == 5


def test_a_key_put_again_is_replaced() -> None:
    vectors = units(2)
    index = filled(vectors[:1])
    index.put([10], ["odd"], vectors[1:])
    assert len(index) == 1
    ((key, cosine),) = index.search(vectors[1], 1, "odd")
    assert key == 10
    assert cosine == pytest.approx(1.0, abs=1e-6)


def test_an_empty_index_finds_nothing() -> None:
    index = VectorIndex(4)
    query = np.ones(4, dtype=np.float32)
    assert index.search(query, 3, None) == []
    assert index.cosines([1], query) == {}
