"""The journal's file: one row for each open turn, in SQLite."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path

import structlog

_SCHEMA = """
CREATE TABLE IF NOT EXISTS open_turns (
    entry TEXT PRIMARY KEY,
    turn_id TEXT NOT NULL,
    site_id TEXT NOT NULL,
    question TEXT NOT NULL,
    ask_id TEXT,
    spoken INTEGER NOT NULL,
    may_repeat INTEGER NOT NULL,
    begun REAL NOT NULL
)
"""
# Without waiting for the disk: what a process wrote outlives its crash; a power cut takes longer
# than anybody waits for an answer.
_PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF", "PRAGMA busy_timeout = 500")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn that has no answer yet.

    Attributes:
        entry: its name in the journal: the id of the message that began it.
        turn_id: the turn.
        site_id: where it was asked.
        question: a digest by which the same question is known when it comes again.
        ask_id: the id of a plain question; None if it has none, or was spoken.
        spoken: whether its answer is spoken.
        may_repeat: whether an earlier one of the same `question` is this one.
        begun: when, on the system's monotonic clock, which outlives a process but no restart of
            the machine.
    """

    entry: str
    turn_id: str
    site_id: str
    question: str
    ask_id: str | None
    spoken: bool
    may_repeat: bool
    begun: float

    @property
    def key(self) -> tuple[str, str]:
        """What its answer is known by."""
        return self.site_id, self.turn_id


class JournalFile:
    """The file; to be used in one thread.

    Each method raises OSError or sqlite3.Error if the disk fails.

    Args:
        path: the file; made, with its folder, where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def read(self) -> list[OpenTurn]:
        """Open the file and return what is in it; a damaged one is begun anew."""
        try:
            rows = self._rows()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorname", "") not in {"SQLITE_CORRUPT", "SQLITE_NOTADB"}:
                raise
            log.warning("journal.damaged")
            self.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            rows = self._rows()
        return [
            OpenTurn(*row[:5], spoken=bool(row[5]), may_repeat=bool(row[6]), begun=row[7])
            for row in rows
        ]

    def _rows(self) -> list[tuple[str, str, str, str, str | None, int, int, float]]:
        return self._opened().execute("SELECT * FROM open_turns ORDER BY begun").fetchall()

    def write(self, begun: tuple[OpenTurn, ...], ended: tuple[str, ...]) -> bool:
        """Add turns and delete turns, all or none; false if that changed nothing."""
        before = self._opened().total_changes
        with self._opened() as connection:
            connection.executemany("DELETE FROM open_turns WHERE entry = ?", zip(ended))
            connection.executemany(
                "INSERT OR REPLACE INTO open_turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                map(astuple, begun),
            )
        return connection.total_changes > before

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, check_same_thread=False)
            try:
                for statement in (*_PRAGMAS, _SCHEMA):
                    connection.execute(statement)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection
