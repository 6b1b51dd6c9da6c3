from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from antiphon_memory.service import EVERYWHERE, Where
from antiphon_memory.vectors import Entry, Origin, VectorIndex, Vectors
from antiphon_memory.vectors.bytewise import quantised
from antiphon_memory.vectors.columns import FIRST_CAPACITY
from antiphon_memory.vectors.files import PAGE, State
from antiphon_memory.vectors.index import BYTEWISE_FROM

pytestmark = pytest.mark.unit

ORIGIN = Origin("words", 16, b"d" * 16)
SUFFIXES = ("", "-int8", "-rows")


def units(count: int, dimension: int = 16, seed: int = 1) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    norms: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / norms


def entry(key: int, *, ts: float | None = None) -> Entry:
    scope = "even" if key % 2 == 0 else "odd"
    return Entry(key, scope, f"source {key % 3}", float(key) if ts is None else ts)


def fill(index: VectorIndex, vectors: Vectors, first: int = 10) -> None:
    index.put([entry(key) for key in range(first, first + len(vectors))], vectors)


def keys_of(found: Sequence[tuple[int, float]]) -> list[int]:
    return [key for key, _ in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.vectors"


@pytest.fixture
def index(path: Path) -> Iterator[VectorIndex]:
    index = VectorIndex(path, ORIGIN)
    yield index
    index.close()


@pytest.mark.parametrize("count", [3, FIRST_CAPACITY - 1, BYTEWISE_FROM, 5 * BYTEWISE_FROM])
def test_search_finds_the_nearest_with_their_cosines(index: VectorIndex, count: int) -> None:
    vectors = units(count)
    for begin in range(0, count, 300):
        fill(index, vectors[begin : begin + 300], first=10 + begin)
    query = units(1, seed=2)[0]
    expected = vectors @ query
    best = np.argsort(-expected)[:5]
    found = index.search(query, 5)
    assert [key - 10 for key in keys_of(found)] == best.tolist()
    assert [cosine for _, cosine in found] == pytest.approx(expected[best], abs=1e-6)


@pytest.mark.parametrize("count", [40, 2 * BYTEWISE_FROM])
@pytest.mark.parametrize(
    "where",
    [
        Where(scopes=("odd",)),
        Where(sources=("source 0", "source 2")),
        Where(since=30.0, until=45.0),
        Where(scopes=("even",), sources=("source 1",), since=12.0),
        Where(since=31.0, until=32.0),
        Where(scopes=("nobody",)),
    ],
)
def test_a_filter_comes_before_the_best_are_taken(
    index: VectorIndex, count: int, where: Where
) -> None:
    vectors = units(count)
    fill(index, vectors)
    passing = [
        key
        for key in range(10, 10 + count)
        if (not where.scopes or entry(key).scope in where.scopes)
        and (not where.sources or entry(key).source in where.sources)
        and (where.since or 0) <= key < (where.until or 1e9)
    ]
    query = units(1, seed=3)[0]
    by_cosine = sorted(passing, key=lambda key: -float(vectors[key - 10] @ query))
    assert keys_of(index.search(query, 7, where)) == by_cosine[:7]
    mask, known = index.passing(np.array([10, 11, 31, 9999]), where)
    assert known.tolist() == [True, True, True, False]
    assert mask.tolist() == [key in passing for key in (10, 11, 31, 9999)]


def test_what_is_removed_is_not_found_and_overwritten(index: VectorIndex, path: Path) -> None:
    vectors = units(4)
    fill(index, vectors)
    index.remove([11, 999])
    assert len(index) == 3
    assert 11 not in keys_of(index.search(vectors[1], 10))
    assert index.cosines([10, 11], vectors[0]) == {10: pytest.approx(1.0, abs=1e-6)}
    assert vectors[1].tobytes() not in path.read_bytes()
    assert vectors[2].tobytes() in path.read_bytes()


def test_holes_are_never_candidates(index: VectorIndex) -> None:
    vectors = units(2 * BYTEWISE_FROM)
    fill(index, vectors)
    query = vectors[0]
    nearest = keys_of(index.search(query, 400))
    index.remove(nearest[:400])
    worse = keys_of(index.search(query, 400))
    assert len(worse) == 400
    assert not set(worse) & set(nearest)


def test_holes_are_closed_and_nothing_else_is_lost(index: VectorIndex, path: Path) -> None:
    vectors = units(3000)
    fill(index, vectors)
    before = path.stat().st_size
    index.remove(range(10, 2010))
    assert len(index) == 1000
    assert path.stat().st_size < before
    assert keys_of(index.search(vectors[2500], 1)) == [2510]
    index.put([entry(5)], vectors[:1])
    assert keys_of(index.search(vectors[0], 1, Where(scopes=("odd",)))) == [5]
    index.close()
    again = VectorIndex(path, ORIGIN)
    assert len(again) == 1000
    assert keys_of(again.search(vectors[2500], 1)) == [2510]
    again.close()


def test_a_key_put_again_is_replaced(index: VectorIndex) -> None:
    vectors = units(2)
    fill(index, vectors[:1])
    index.put([Entry(10, "odd", "other", 1.0)], vectors[1:])
    assert len(index) == 1
    ((key, cosine),) = index.search(vectors[1], 1, Where(scopes=("odd",)))
    assert key == 10
    assert cosine == pytest.approx(1.0, abs=1e-6)


def test_a_new_time_is_seen_by_filters(index: VectorIndex) -> None:
    fill(index, units(3))
    index.describe([entry(11, ts=900.0), entry(77, ts=900.0)])
    assert keys_of(index.search(units(1)[0], 9, Where(since=800.0))) == [11]


def test_an_empty_index_finds_nothing(index: VectorIndex) -> None:
    query = units(1)[0]
    assert index.search(query, 3) == []
    assert index.cosines([1], query) == {}


def flushed(path: Path, vectors: Vectors, change: int) -> None:
    index = VectorIndex(path, ORIGIN)
    fill(index, vectors)
    index.change = change
    index.flush(index.snapshot())
    index.close()


def test_what_was_flushed_is_there_again_and_only_that(path: Path) -> None:
    vectors = units(700)
    flushed(path, vectors, change=7)
    index = VectorIndex(path, ORIGIN)
    assert (len(index), index.change) == (700, 7)
    index.put([entry(9000)], units(1, seed=9))
    index.close()
    index = VectorIndex(path, ORIGIN)
    assert (len(index), index.change) == (700, 7)
    assert keys_of(index.search(vectors[5], 1)) == [15]
    assert {stat.S_IMODE(Path(f"{path}{end}").stat().st_mode) for end in SUFFIXES} == {0o600}
    index.close()


@pytest.mark.parametrize(
    "origin",
    [
        replace(ORIGIN, model="other"),
        replace(ORIGIN, dimension=8),
        replace(ORIGIN, database=b"e" * 16),
    ],
)
def test_files_of_another_origin_are_emptied(path: Path, origin: Origin) -> None:
    flushed(path, units(20), change=7)
    index = VectorIndex(path, origin)
    assert (len(index), index.change) == (0, 0)
    fill(index, units(3, origin.dimension))
    assert keys_of(index.search(units(3, origin.dimension)[1], 1)) == [11]
    index.close()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("wreck", ["no page", "torn page", "short", "empty", "gone", "of others"])
def test_damaged_files_are_emptied(path: Path, suffix: str, wreck: str, tmp_path: Path) -> None:
    flushed(path, units(600), change=7)
    part = Path(f"{path}{suffix}")
    whole = part.read_bytes()
    other = tmp_path / "other.vectors"
    flushed(other, units(600), change=7)
    wrecks = {
        "no page": b"\xff" * PAGE + whole[PAGE:],
        "torn page": whole[:30] + b"\xff" + whole[31:],
        "short": whole[: PAGE + 16 * 599],
        "empty": b"",
        "gone": None,
        "of others": Path(f"{other}{suffix}").read_bytes(),
    }
    wrecked = wrecks[wreck]
    if wrecked is None:
        part.unlink()
    else:
        part.write_bytes(wrecked)
    index = VectorIndex(path, ORIGIN)
    assert (len(index), index.change) == (0, 0)
    fill(index, units(2))
    assert len(index.search(units(1)[0], 5, EVERYWHERE)) == 2
    index.close()


def test_a_page_of_state_is_read_back_and_every_flipped_byte_is_seen() -> None:
    state = State("größe", 384, b"d" * 16, b"g" * 16, rows=2**40, change=3)
    page = state.page()
    assert len(page) == PAGE
    assert State.of(page) == state
    for place in (*range(100), PAGE - 1):
        flipped = bytearray(page)
        flipped[place] ^= 1
        assert State.of(bytes(flipped)) is None


def test_bytes_are_near_the_vectors() -> None:
    vectors = units(50, 384)
    vectors[3] = 0.0
    codes, scales = quantised(vectors)
    assert codes.min() >= -127
    assert np.abs(codes * scales[:, None] - vectors).max() <= scales.max() / 2 + 1e-7
    assert not codes[3].any()
