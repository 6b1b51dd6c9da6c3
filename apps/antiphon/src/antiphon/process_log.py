"""A process's log file: kept short while it is written, and read for the last words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

import orjson

LOG_BYTES = 5 * 1024 * 1024
TAIL_BYTES = 8 * 1024
WORDS_CHARS = 300
SERIOUS = frozenset({"warning", "error", "critical"})


class ProcessLog:
    """The log of one process after another. All methods block on files.

    Args:
        path: the file; what no longer fits goes to the same name with `.1`.
        limit_bytes: how long it may become.
    """

    def __init__(self, path: Path, limit_bytes: int = LOG_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._life_begins = 0

    def open(self) -> BinaryIO:
        """Open it to append to, for a new process.

        Raises:
            OSError: it cannot be written.
        """
        self.shorten()
        file = self.path.open("ab")
        self._life_begins = file.tell()
        return file

    def shorten(self) -> None:
        """Move what is in the file aside if it has grown too long.

        The file itself stays, as a process may hold it open: what it appends begins at the top.
        """
        try:
            if self.path.stat().st_size > self._limit_bytes:
                shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
                with self.path.open("r+b") as file:
                    file.truncate()
                self._life_begins = 0
        except OSError:
            return  # not there yet, or a full disk: the process's own writing will tell

    def last_words(self) -> str:
        """Return why the last process ended, as its log says it; empty if it does not say."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(self._life_begins, size - TAIL_BYTES))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return _sentence(lines[-1])[:WORDS_CHARS] if lines else ""


def _sentence(line: str) -> str:
    """Return a log line as people read it; nothing if it tells of no trouble."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.strip()
    if not isinstance(entry, dict) or entry.get("level") not in SERIOUS:
        return ""
    return " ".join(str(entry[key]) for key in ("event", "detail", "reason") if key in entry)
