"""Writes that a crash cannot halve, on a server without transactions.

What a write is about to do is noted first, then done, then noted as done. A write that failed or
was cancelled half-way is done again before the next one, which changes nothing that was done
already. After a crash, the next start looks how far each pending write came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from antiphon_contracts import EngineError

from antiphon_memory.milvus.rows import Fields, Note, among, note_in, quoted
from antiphon_memory.milvus.schema import SEEN
from antiphon_memory.milvus.server import MilvusServer
from antiphon_memory.service import Outcome


@dataclass(frozen=True, slots=True)
class Work:
    """One write.

    Attributes:
        message_id: the message that asks for it.
        note: what it does.
        rows: to put, each with the message's id.
    """

    message_id: str
    note: Note
    rows: Sequence[Fields] = ()


class Writing:
    """Does one write at a time.

    Args:
        server: open while this is used.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, server: MilvusServer, now: Callable[[], float]) -> None:
        self._server = server
        self._now = now
        self._lock = asyncio.Lock()
        self._unfinished: Work | None = None
        self.collection = ""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the others, and finish what the last one may have left."""
        async with self._lock:
            if self._unfinished is not None:
                await self.do(self._unfinished)
            yield

    async def do(self, work: Work) -> None:
        """Do all of it, in a turn."""
        self._unfinished = work
        try:
            if work.rows or work.note.delete:
                await self._note(work, is_pending=True)
            if work.rows:
                await self._server.put(self.collection, work.rows)
            if work.note.delete:
                await self._server.delete(self.collection, work.note.delete)
            await self._note(work, is_pending=False)
        except EngineError as error:
            if not error.retryable:
                self._unfinished = None  # it would stand in the way of all others
            raise
        self._unfinished = None

    async def _note(self, work: Work, *, is_pending: bool) -> None:
        note = work.note if is_pending else replace(work.note, delete="")
        row = note.row(work.message_id, is_pending=is_pending, ts=self._now())
        await self._server.put(SEEN, [row])

    async def finish_all(self) -> None:
        """Bring to an end what was pending when the last process ended."""
        pending = await self._server.query(SEEN, "is_pending == true", ["message_id", "outcome"])
        async with self._lock:
            for row in pending:
                await self._finish(str(row["message_id"]), note_in(row))

    async def _finish(self, message_id: str, note: Note) -> bool:
        """Return whether it was done, or is now; if not, all is as if it had never begun."""
        ours = f"message_id == {quoted(message_id)}"
        done = await self._server.count(self.collection, ours) if note.changed else 0
        if note.delete or (note.changed and done == note.changed):
            await self.do(Work(message_id, note))
            return True
        await self._server.delete(SEEN, ours)
        return False

    async def settled(self, message_id: str) -> Note | None:
        """Return what was noted of a message, in a turn; None if it never came to an end."""
        row = await self._noted(message_id)
        if row is None:
            return None
        note = note_in(row)
        if row["is_pending"] and not await self._finish(message_id, note):
            return None
        return note

    async def done(self, message_id: str) -> Note | None:
        """Return what was noted of a message that was done; None if there is none."""
        row = await self._noted(message_id)
        return None if row is None or row["is_pending"] else note_in(row)

    async def _noted(self, message_id: str) -> Fields | None:
        rows = await self._server.query(
            SEEN, f"message_id == {quoted(message_id)}", ["outcome", "is_pending"], limit=1
        )
        return rows[0] if rows else None

    async def outcome(self, note: Note | None) -> Outcome | None:
        """Return the outcome that was noted; texts are those still stored."""
        if note is None:
            return None
        named = (*note.ids, *note.replaced)
        rows = (
            await self._server.query(self.collection, among("id", named), ["id", "text"])
            if named
            else []
        )
        texts = {str(row["id"]): str(row["text"]) for row in rows}
        return Outcome(
            note.ids,
            tuple(texts[one] for one in note.ids if one in texts),
            tuple(texts[one] for one in note.replaced if one in texts),
            note.count,
        )

    async def prune(self, *, before: float) -> None:
        """Forget what older messages did."""
        async with self.turn():
            await self._server.delete(SEEN, f"ts < {float(before)!r} and is_pending == false")
