"""The router: owns the dialogue of every site, one turn at a time."""

from __future__ import annotations

from antiphon_router.clauses import ClauseChunker
from antiphon_router.settings import RouterSettings

__all__ = ["ClauseChunker", "RouterSettings"]
