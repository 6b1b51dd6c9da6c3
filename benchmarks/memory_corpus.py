"""Memories in any number for benchmarks: real sentences, mixed, with vectors like real ones.

The sentences are those of Python's own language reference (`pydoc_data.topics`), embedded by the
model that memory works with. A memory is half of one and half of another; its vector is the two
sentences' mixture with some noise, so that vectors lie in clusters and near each other, as real
ones do and random ones do not.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import structlog
from antiphon_memory.engine import onnx
from antiphon_memory.settings import MemorySettings
from antiphon_memory.vectors import Entry, Origin, VectorIndex, Vectors
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings, load_settings

MODEL = "benchmark"
SENTENCES = 500
QUERIES = 100
NOISE = 0.4
BLOCK = 20_000
FIRST_TS = 1_700_000_000.0
SCOPES = ("household", "anna", "ben")


@dataclass(frozen=True)
class Corpus:
    """Sentences and queries, none of which is among the sentences, with their vectors."""

    sentences: list[str]
    vectors: Vectors
    queries: list[str]
    query_vectors: Vectors

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[1])


def logs_to_stderr() -> None:
    """Keep standard output for results."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def corpus() -> Corpus:
    """Return the sentences, embedded; blocks for some seconds."""
    embedder = onnx(
        MemorySettings(), ModelStore(default_root(load_settings(RuntimeSettings).models_dir))
    )
    embedder.load()
    found = re.findall(r"(?<=[.:] )[A-Z][a-z][^.:`*|=\n]{30,160}\.", _text())
    picked = list(dict.fromkeys(found))
    np.random.default_rng(1).shuffle(picked)
    sentences, queries = picked[QUERIES : QUERIES + SENTENCES], picked[:QUERIES]
    return Corpus(sentences, embedder.embed(sentences), queries, embedder.embed(queries))


def blocks(known: Corpus, count: int, seed: int = 2) -> Iterator[tuple[list[str], Vectors]]:
    """Yield texts and unit vectors of `count` memories, some at a time."""
    random = np.random.default_rng(seed)
    halves = [sentence.split() for sentence in known.sentences]
    for begin in range(0, count, BLOCK):
        size = min(BLOCK, count - begin)
        pairs = random.integers(len(halves), size=(size, 2))
        share = random.uniform(0.5, 0.9, size=(size, 1)).astype(np.float32)
        noise = random.standard_normal((size, known.dimension), dtype=np.float32)
        noise *= NOISE / np.sqrt(known.dimension)
        mixed = (
            known.vectors[pairs[:, 0]] * share + known.vectors[pairs[:, 1]] * (1 - share) + noise
        )
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        texts = [
            " ".join(halves[one][: len(halves[one]) // 2 + 1] + halves[other][-5:])
            + f" n{begin + number}"
            for number, (one, other) in enumerate(pairs.tolist())
        ]
        yield texts, mixed.astype(np.float32)


def fill(path: Path, known: Corpus, count: int, *, blobs: bool = True) -> None:
    """Put `count` memories into the database at `path`, which a store has made, and is closed.

    Without `blobs` the vectors are in the files beside it alone: it takes half of the space.
    """
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        ((token,),) = db.execute("SELECT value FROM meta WHERE key = 'database'")
        index = VectorIndex(
            path.with_suffix(".vectors"), Origin(MODEL, known.dimension, bytes.fromhex(token))
        )
        first = 1
        for texts, vectors in blocks(known, count):
            entries = [
                Entry(row, SCOPES[row % len(SCOPES)], "user", FIRST_TS + row)
                for row in range(first, first + len(texts))
            ]
            _insert(db, entries, texts, vectors if blobs else None)
            index.put(entries, vectors)
            first += len(texts)
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'vector_changes'", (count,))
        db.execute("DELETE FROM vector_changes")
        db.commit()
        ((index.change,),) = db.execute(
            "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'vector_changes'), 0)"
        )
        index.flush(index.snapshot())
        index.close()


def _insert(
    db: sqlite3.Connection, entries: list[Entry], texts: list[str], vectors: Vectors | None
) -> None:
    db.executemany(
        "INSERT INTO memories (row, id, text, source, scope, ts, digest, embedded)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
        (
            (one.key, f"id-{one.key}", text, one.source, one.scope, one.ts, _digest(text))
            for one, text in zip(entries, texts, strict=True)
        ),
    )
    if vectors is not None:
        rows = zip(entries, vectors, strict=True)
        db.executemany(
            "INSERT INTO vectors (row, embedding) VALUES (?, ?)",
            ((one.key, vector.tobytes()) for one, vector in rows),
        )
    db.commit()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.casefold().encode()).digest()


def _text() -> str:
    return "\n".join(re.sub(r"\s+", " ", str(topic)) for topic in topics.values())
