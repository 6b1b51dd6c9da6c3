"""Deleting what is too old, once a day."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from antiphon_contracts import EngineError

from antiphon_memory.embedding import Notes

DAY_S = 86_400.0

log = structlog.get_logger(__name__)


async def prune_daily(parts: Sequence[Callable[[], Awaitable[None]]], notes: Notes) -> None:
    """Let every part delete what is too old, now and once a day, for ever.

    Args:
        parts: each deletes its own.
        notes: is told when one fails.
    """
    while True:
        try:
            for prune in parts:
                await prune()
        except EngineError as error:
            log.warning("memory.prune_failed", detail=str(error))
            notes.note("prune", f"Old conversations could not be deleted: {error}")
        else:
            notes.clear_note("prune")
        await asyncio.sleep(DAY_S)
