"""Writing to a database, and letting follow what is kept beside it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from antiphon_memory.sqlite.file import SqliteFile
from antiphon_memory.sqlite.tables import Tables

P = ParamSpec("P")
T = TypeVar("T")

NEVER = 2**63 - 1
"""A change that no database reaches."""


class Follower(Protocol):
    """What is kept beside a database, in step with its list of changes."""

    @property
    def change(self) -> int | None:
        """The last change that is in it; None while it follows nothing."""

    async def follow(self, changes: Sequence[sqlite3.Row], since: int) -> None:
        """Do what was committed; called right after every write, one after the other.

        Args:
            changes: rows of `Tables.changed`.
            since: the change that they follow.

        Raises:
            EngineError: the database failed.
        """


class Changes:
    """Writes to one database.

    Args:
        file: the database.
        tables: what is in it.
        followers: what follows it.
    """

    def __init__(self, file: SqliteFile, tables: Tables, *followers: Follower) -> None:
        self._file = file
        self._tables = tables
        self._followers = followers
        self._following = asyncio.Lock()
        self._making_up = asyncio.Lock()
        self._cancelled = 0
        self._made_up = 0

    async def write(
        self,
        change: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """See `SqliteFile.write`; what was changed comes back with the same trip.

        A caller that is cancelled may leave the followers behind; see `make_up`.
        """
        known = [one.change for one in self._followers if one.change is not None]
        since = min(known, default=NEVER)
        try:
            done, changes = await self._file.write(
                _with_changes, self._tables.changed, since, change, *args, **kwargs
            )
            async with self._following:
                for one in self._followers:
                    await one.follow(changes, since)
        except asyncio.CancelledError:
            self._cancelled += 1
            raise
        return done

    async def make_up(self) -> None:
        """Return when the followers know of every write that was cancelled.

        To be called before a follower is asked: what was forgotten must not come back.

        Raises:
            EngineError: the file failed.
        """
        if self._made_up == self._cancelled:
            return
        async with self._making_up:
            cancelled = self._cancelled
            if self._made_up < cancelled:
                # The writer's thread does it after what was cancelled and may still be at work.
                await self.write(_nothing)
                self._made_up = cancelled


def _nothing(_db: sqlite3.Connection) -> None:
    """Change nothing; what was changed before comes back all the same."""


def last_change(changes: Sequence[sqlite3.Row], since: int) -> int:
    """Return the last of some changes; `since` if there is none."""
    return max((row[5] for row in changes), default=since)


def _with_changes(
    db: sqlite3.Connection,
    changed: str,
    since: int,
    change: Callable[Concatenate[sqlite3.Connection, P], T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> tuple[T, list[sqlite3.Row]]:
    """Return what a change returns, and what was changed since then."""
    done = change(db, *args, **kwargs)
    return done, db.execute(changed, (since,)).fetchall()
