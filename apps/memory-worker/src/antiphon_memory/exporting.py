"""All that is remembered, page by page: for lists, exports and imports."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from antiphon_contracts import (
    MemoryDone,
    MemoryImport,
    MemoryList,
    MemoryPage,
    MemoryRecord,
    Message,
    is_memory_scope,
)

from antiphon_memory.service import Memory, MemoryStore, Where
from antiphon_memory.utterances import normalise

PAGE_CHARS = 262_144
"""Of text in a page: a MiB in UTF-8 at the most, well below what a message may hold."""


class Exporter:
    """Lists and imports memories.

    Args:
        store: keeps them.
        on_unembedded: called when memories were stored without a vector.
    """

    def __init__(self, store: MemoryStore, *, on_unembedded: Callable[[], None]) -> None:
        self._store = store
        self._on_unembedded = on_unembedded

    async def on_list(self, message: Message[MemoryList]) -> MemoryPage:
        """Return the next memories in the order of their ids."""
        asked = message.data
        scopes = () if "all" in asked.scopes else asked.scopes
        memories = await self._store.rows(
            after=asked.after or "",
            limit=asked.limit,
            where=Where(scopes),
            superseded=asked.superseded,
        )
        page = _of_one_page(memories)
        is_last = len(page) == len(memories) < asked.limit
        return MemoryPage(
            records=tuple(map(_record, page)), next=None if is_last or not page else page[-1].id
        )

    async def on_import(self, message: Message[MemoryImport]) -> MemoryDone:
        """Store memories under their own ids; ids, and texts, that are there are passed over."""
        records = message.data.records
        if any(not is_memory_scope(record.scope) for record in records):
            return MemoryDone(
                action="import",
                error="A scope is none: it must be household, person:NAME or site:NAME.",
            )
        memories = [_memory(record) for record in records if normalise(record.text)]
        outcome = await self._store.restore(message.id, memories)
        if outcome.count:
            self._on_unembedded()
        return MemoryDone(action="import", ids=outcome.ids, count=outcome.count)


def _of_one_page(memories: Sequence[Memory]) -> list[Memory]:
    """Return the first memories, as many as one message may hold, at least one."""
    page: list[Memory] = []
    left = PAGE_CHARS
    for memory in memories:
        left -= len(memory.text)
        if left < 0 and page:
            break
        page.append(memory)
    return page


def _record(memory: Memory) -> MemoryRecord:
    return MemoryRecord(
        id=memory.id,
        text=memory.text,
        source=memory.source,
        scope=memory.scope,
        ts=memory.ts,
        superseded_by=memory.superseded_by,
    )


def _memory(record: MemoryRecord) -> Memory:
    text = normalise(record.text)
    return Memory(record.id, text, record.source, record.scope, record.ts, record.superseded_by)
