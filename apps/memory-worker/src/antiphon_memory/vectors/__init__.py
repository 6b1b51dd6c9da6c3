"""Unit vectors in files, and the nearest of them to another."""

from __future__ import annotations

from antiphon_memory.vectors.columns import Entry
from antiphon_memory.vectors.index import Origin, VectorIndex, Vectors

__all__ = ["Entry", "Origin", "VectorIndex", "Vectors"]
