"""The journal of open turns: what the router owes an answer for, also after a crash.

No word that anybody said is in it. See ADR 0010.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog
from antiphon_runtime import ModelThread, running

from antiphon_router.journal_file import JournalFile, OpenTurn

WRITTEN_WITHIN_S = 0.5
"""A disk that takes longer is not waited for: the question is acknowledged, the answer given."""
GATHERED_S = 0.01
"""How long turns are gathered before they are written: what is answered by then need not be."""
END_S = 0.5
FIRST_S = 5.0
"""For so long after the start the broker may bring again what an earlier life died of."""
MAX_OPEN = 4096

log = structlog.get_logger(__name__)


class Notes(Protocol):
    """Where a part says that it works with less, and why; `HealthReporter` is one."""

    def note(self, name: str, sentence: str) -> None:
        """Say so."""

    def clear_note(self, name: str) -> None:
        """It works fully again."""


K = TypeVar("K")


class _Promises(Generic[K]):
    """Futures that are done when something is in the file, or when that takes too long."""

    def __init__(self) -> None:
        self.made: dict[K, asyncio.Future[None]] = {}

    def make(self, key: K) -> asyncio.Future[None]:
        made = self.made.get(key)
        if made is None:
            loop = asyncio.get_running_loop()
            made = self.made[key] = loop.create_future()
            timer = loop.call_later(WRITTEN_WITHIN_S, self.keep, key)
            made.add_done_callback(lambda _made: timer.cancel())
        return made

    def keep(self, key: K) -> None:
        made = self.made.get(key)
        if made is not None and not made.done():
            made.set_result(None)
            # Not before those who wait for it were called.
            asyncio.get_running_loop().call_soon(self.made.pop, key, None)


class Journal:
    """Keeps open turns in a small file, in the background and in batches.

    A disk that is full or broken costs the journal, not the turn, and health says so.

    Args:
        path: the file; made, with its folder, where it is missing.
        notes: told when turns cannot be written down.
        keep_s: turns of an earlier life that began longer ago are forgotten.
        clock: the system's monotonic clock.

    Attributes:
        left_over: turns of an earlier life that are young enough; known inside `lifespan`.
    """

    def __init__(
        self,
        path: Path,
        notes: Notes,
        *,
        keep_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.left_over: tuple[OpenTurn, ...] = ()
        self._file = JournalFile(path)
        self._notes = notes
        self._keep_s = keep_s
        self._clock = clock
        self._open: dict[str, OpenTurn] = {}
        self._to_write: dict[str, OpenTurn] = {}
        self._to_delete: dict[str, OpenTurn] = {}
        self._unwritten: set[str] = set()
        self._entries: dict[tuple[str, str], str] = {}
        self._written: _Promises[str] = _Promises()
        self._deleted: _Promises[tuple[str, str]] = _Promises()
        self._begun = clock()
        self._is_read = False
        self._is_writing = False
        self._failing = False
        self._due = asyncio.Event()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Read what an earlier life left, then write while the block runs."""
        with ModelThread("journal") as thread:
            try:
                self._begin(await thread.call(self._file.read))
            except (OSError, sqlite3.Error) as error:
                self._complain(error)
                self._begin(())
            async with running(journal=self._write(thread)):
                yield
                await self._settled()
            with suppress(sqlite3.Error):
                await thread.call(self._file.close)

    def _begin(self, found: Iterable[OpenTurn]) -> None:
        now = self._clock()
        young: dict[str, OpenTurn] = {}
        questions: set[str] = set()
        for turn in found:
            repeats = turn.may_repeat and turn.question in questions
            if repeats or not 0 <= now - turn.begun <= self._keep_s:
                self._delete(turn)
                continue
            young[turn.entry] = turn
            questions.add(turn.question)
            self._entries[turn.key] = turn.entry
        for entry in young.keys() & self._to_write.keys():
            # The broker brought its message again: it is noted already.
            del self._to_write[entry]
            self._written.keep(entry)
        self._open |= young
        self._is_read = True
        for key in self._deleted.made:
            self._end_of(key)
        self.left_over = tuple(young.values())

    # What the dialogue tells

    def begin(
        self,
        entry: str,
        *,
        turn_id: str,
        site_id: str,
        question: str,
        ask_id: str | None = None,
        spoken: bool,
        may_repeat: bool,
    ) -> asyncio.Future[None] | None:
        """Note a turn; the future is done when it is written, or when that takes too long.

        None if it is noted already.
        """
        if entry in self._open:
            return self._written.made.get(entry)
        turn = OpenTurn(
            entry, turn_id, site_id, question, ask_id, spoken, may_repeat, self._clock()
        )
        if len(self._open) >= MAX_OPEN:
            self.end(next(iter(self._open)))
        self._open[entry] = self._to_write[entry] = turn
        self._entries[turn.key] = entry
        self._due.set()
        return self._written.make(entry)

    def end(self, entry: str) -> None:
        """A turn has its answer."""
        turn = self._open.pop(entry, None)
        if turn is None:
            return
        self._changed.set()
        self.spare(entry)
        if entry in self._unwritten:
            self._unwritten.remove(entry)
            self._forget(turn)
        else:
            self._delete(turn)
        self._written.keep(entry)

    def spare(self, entry: str) -> None:
        """A turn's answer leaves now: if it is not written yet, it never need be.

        Its question is acknowledged at once, in one segment with the answer: the broker gets both
        or neither.
        """
        if self._to_write.pop(entry, None) is not None:
            self._unwritten.add(entry)
            self._written.keep(entry)

    def end_of(self, site_id: str, turn_id: str) -> asyncio.Future[None] | None:
        """A turn's answer was heard; the future is done when that is written.

        None if the turn is not in the journal.
        """
        key = (site_id, turn_id)
        if self._is_read and key not in self._entries:
            return None
        heard = self._deleted.make(key)
        if self._is_read:
            self._end_of(key)
        return heard

    def _end_of(self, key: tuple[str, str]) -> None:
        entry = self._entries.get(key)
        if entry is None:
            self._deleted.keep(key)
        else:
            self.end(entry)

    def is_open(self, entry: str) -> bool:
        """Whether a turn waits for its answer."""
        return entry in self._open

    def drop(self, entry: str) -> None:
        """A message came again: its turn goes by another entry, or is one that was left over."""
        if all(turn.entry != entry for turn in self.left_over):
            self.end(entry)

    def is_known(self, question: str, *, but: str) -> bool:
        """Whether a question was begun under another entry and is open, or was left over."""
        turns = (*self._open.values(), *self.left_over)
        return any(turn.question == question and turn.entry != but for turn in turns)

    async def noted(self, entry: str) -> None:
        """In the first seconds of a life, return when a turn is written.

        Else a question that kills the router at once would come again for ever.
        """
        written = self.written(entry)
        if written is not None and self._clock() - self._begun < FIRST_S:
            await written

    def written(self, entry: str | None) -> asyncio.Future[None] | None:
        """Return the future of `begin`; None if there is nothing to wait for."""
        return None if entry is None else self._written.made.get(entry)

    # Writing

    def _delete(self, turn: OpenTurn) -> None:
        self._to_delete[turn.entry] = turn
        self._due.set()

    def _forget(self, turn: OpenTurn) -> None:
        if self._entries.get(turn.key) == turn.entry:
            del self._entries[turn.key]
            self._deleted.keep(turn.key)

    async def _write(self, thread: ModelThread) -> None:
        """Write what is due, for ever; what comes meanwhile makes the next batch."""
        while True:
            await self._due.wait()
            await asyncio.sleep(GATHERED_S)
            self._due.clear()
            begun, self._to_write = self._to_write, {}
            ended, self._to_delete = self._to_delete, {}
            if not begun and not ended:
                continue
            self._is_writing = True
            try:
                changed = await thread.call(self._file.write, tuple(begun.values()), tuple(ended))
            except (OSError, sqlite3.Error) as error:
                self._complain(error)
                self._to_delete = ended | self._to_delete
                while len(self._to_delete) > MAX_OPEN:
                    self._forget(self._to_delete.pop(next(iter(self._to_delete))))
            else:
                if changed:  # what changed nothing says nothing of the disk
                    self._failing = False
                    self._notes.clear_note("journal")
                for turn in ended.values():
                    self._forget(turn)
            self._is_writing = False
            for entry in begun:
                self._written.keep(entry)
            self._changed.set()

    async def _settled(self) -> None:
        """Return when nothing is open, at the latest in time: answers are on their way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while self._open or self._to_write or self._to_delete or self._is_writing:
                    self._changed.clear()
                    await self._changed.wait()

    def _complain(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if not self._failing:
            log.warning("journal.failed", error=code)
        self._failing = True
        full = code in {"SQLITE_FULL", "SQLITE_IOERR_WRITE"} or "No space" in str(error)
        reason = "the disk is full: free some space" if full else f"{code}: check the data folder"
        self._notes.note(
            "journal",
            f"Questions that are open when I crash are lost, as I cannot note them ({reason}).",
        )
