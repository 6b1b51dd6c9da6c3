"""The labelled pairs with the real embedding model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from antiphon_memory.engine import onnx
from antiphon_memory.facts import COSINE_FLOOR, compare
from antiphon_memory.settings import MemorySettings
from antiphon_models import ModelStore, default_root

pytestmark = pytest.mark.e2e

DATA = Path(__file__).with_name("data")


@pytest.mark.parametrize("name", ["fact_pairs.tsv", "fact_pairs_held_out.tsv"])
def test_pairs_with_their_real_cosines(name: str) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    embedder = onnx(MemorySettings(), ModelStore(default_root()))
    embedder.load()
    cosines = (
        embedder.embed([old for _, old, _ in rows]) * embedder.embed([new for *_, new in rows])
    ).sum(axis=1)
    found = Counter(
        (compare(new, old, float(cosine)) or "none", wanted)
        for (wanted, old, new), cosine in zip(rows, cosines, strict=True)
    )
    assert all(got in {"none", wanted} for got, wanted in found), found
    for relation in ("same", "supersedes"):
        understood, missed = found[relation, relation], found["none", relation]
        assert understood / (understood + missed) >= 0.8, relation
    related = [
        cosine for (wanted, *_), cosine in zip(rows, cosines, strict=True) if wanted != "none"
    ]
    assert min(related) > COSINE_FLOOR
