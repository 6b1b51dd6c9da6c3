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

    async def write(
        self,
        change: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """See `SqliteFile.write`; what was changed comes back with the same trip.

        A caller that is cancelled leaves the followers behind until the next write.
        """
        known = [one.change for one in self._followers if one.change is not None]
        since = min(known, default=NEVER)
        done, changes = await self._file.write(
            _with_changes, self._tables.changed, since, change, *args, **kwargs
        )
        async with self._following:
            for one in self._followers:
                await one.follow(changes, since)
        return done


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
