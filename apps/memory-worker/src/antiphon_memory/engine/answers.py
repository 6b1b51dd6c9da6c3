"""Checking what an embedding server sent: as many vectors as texts, all of one length, finite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from antiphon_contracts import EngineError

from antiphon_memory.embedder import Vectors


def unit_vectors(
    rows: Sequence[Sequence[float]], server: str, *, count: int, dimension: int
) -> Vectors:
    """Return the rows with length 1, shape (count, dimension).

    Args:
        rows: as they came, in the order of the texts.
        server: begins the sentences of errors.
        count: how many there must be.
        dimension: how long they must be; 0 is not known yet.

    Raises:
        EngineError: they are not what they must be; again does not help.
    """
    if len(rows) != count:
        msg = f"{server} gave {len(rows)} vectors for {count} texts."
        raise EngineError(msg)
    try:
        lengths = {len(row) for row in rows}
        # A number too large for float32 becomes infinite, and is refused below.
        with np.errstate(over="ignore"):
            vectors = np.array(rows, dtype=np.float32) if len(lengths) == 1 else None
    except (TypeError, ValueError):
        raise EngineError(f"{server} gave vectors that are not made of numbers.") from None
    if vectors is None or lengths != {dimension or vectors.shape[1]} or 0 in lengths:
        found = ", ".join(map(str, sorted(lengths)))
        msg = (
            f"{server} gave vectors of {found} numbers, not of {dimension or 'one length'}: if its "
            "model has changed, restart the memory worker."
        )
        raise EngineError(msg)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        msg = f"{server} gave vectors without a direction."
        raise EngineError(msg)
    unit: Vectors = (vectors / norms).astype(np.float32)
    return unit
