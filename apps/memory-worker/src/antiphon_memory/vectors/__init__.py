"""Unit vectors in files, and the nearest of them to another."""

from __future__ import annotations

from antiphon_memory.vectors.index import Entry, Origin, VectorIndex, Vectors

__all__ = ["Entry", "Origin", "VectorIndex", "Vectors"]
