"""The memory worker: long-term memory and conversation history.

A store and an embedder of your own keep the ports `MemoryStore` and `Embedder`; entry points
(`antiphon.stores`, `antiphon.embedders`) make them known.
"""

from __future__ import annotations

from antiphon_memory.embedding import Embedder, Notes
from antiphon_memory.service import Candidate, Memory, MemoryStore, Outcome, Turn
from antiphon_memory.settings import MemorySettings

__all__ = [
    "Candidate",
    "Embedder",
    "Memory",
    "MemorySettings",
    "MemoryStore",
    "Notes",
    "Outcome",
    "Turn",
]
