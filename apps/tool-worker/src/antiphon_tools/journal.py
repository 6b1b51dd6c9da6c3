"""Which calls were begun, on disk: what must not be done twice is not begun twice."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from antiphon_contracts import ConfigError, EngineError

KEPT_S = 86_400.0
"""A call is never repeated after a day."""


class CallJournal:
    """A file with a line for each call that was begun: the time, and a digest of the call's id.

    A line is one small append, so it is whole or not there when the process is killed.

    Args:
        path: the file; made with its folder when the first call is begun.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._begun: dict[str, float] = {}

    async def open(self) -> None:
        """Read what was begun within the last day; older lines are dropped from the file.

        Raises:
            ConfigError: the file is there and cannot be read or written.
        """
        try:
            await asyncio.to_thread(self._read)
        except OSError as error:
            msg = f"the list of calls at {self._path} cannot be used ({error.strerror})"
            raise ConfigError(msg) from error

    def _read(self) -> None:
        if not self._path.exists():
            return
        oldest = self._now() - KEPT_S
        self._begun = {}
        for line in self._path.read_text(errors="replace").splitlines():
            began, _, digest = line.partition(" ")
            try:
                if float(began) >= oldest:
                    self._begun[digest] = float(began)
            except ValueError:
                continue  # empty, or half a line that the disk had no room for
        new = self._path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text("".join(_line(began, name) for name, began in self._begun.items()))
        new.replace(self._path)

    async def begin(self, call_id: str) -> bool:
        """Note that a call is begun; false if it was begun before.

        Raises:
            EngineError: it cannot be noted; the call must not be made.
        """
        digest = sha256(call_id.encode()).hexdigest()
        if digest in self._begun:
            return False
        began = self._begun[digest] = self._now()
        try:
            await asyncio.to_thread(self._append, _line(began, digest))
        except OSError as error:
            del self._begun[digest]
            msg = f"I cannot note what I do ({error.strerror}), so I did not do it."
            raise EngineError(msg) from error
        return True

    def _append(self, line: str) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(file, line.encode())
        finally:
            os.close(file)
        if written != len(line.encode()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(began: float, digest: str) -> str:
    # Begun with the line break: what follows half a line stands on a line of its own.
    return f"\n{began:.3f} {digest}"
