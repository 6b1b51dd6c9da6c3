"""Following the file `tools.toml` while the worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from antiphon_contracts import ConfigError
from antiphon_runtime.upstream import Notes

from antiphon_tools.policy import Rules
from antiphon_tools.tools_file import ToolsFile, read_tools_file

log = structlog.get_logger(__name__)

LOOK_S = 2.0
NOTE = "tools.toml"

Sight = tuple[int, int, int] | None
"""Time of change in ns, size and inode; None is no file."""


class FollowedFile:
    """The file as it was last understood.

    A file that cannot be understood changes nothing: what held before holds on, and health says
    where the fault is.

    Args:
        path: where it is, or may come to be.
        health: where a fault is noted.

    Attributes:
        content: what it said.
        rules: its rules for tools.
    """

    def __init__(self, path: Path, health: Notes) -> None:
        self._path = path
        self._health = health
        self._seen: Sight = None
        self.content = ToolsFile()
        self.rules = Rules()

    def read(self) -> ToolsFile:
        """Read it for the first time. Blocks.

        Raises:
            ConfigError: it cannot be understood; nothing is in force that could stand for it.
        """
        self._seen = _sight(self._path)
        self.content = read_tools_file(self._path)
        self.rules = Rules(self.content.tools)
        self._health.clear_note(NOTE)
        return self.content

    async def follow(self, apply: Callable[[ToolsFile], None]) -> None:
        """Call `apply` whenever the file has changed and can be understood, for ever.

        Args:
            apply: puts it into force; may raise ConfigError before it has changed anything.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look(apply)

    async def look(self, apply: Callable[[ToolsFile], None]) -> None:
        """Look once whether the file has changed, and put it into force."""
        seen = await asyncio.to_thread(_sight, self._path)
        if seen == self._seen:
            return
        self._seen = seen
        if seen is None:
            # Its rules protect the house: they do not go because a file does.
            self._note_fault(f"{self._path} is gone")
            return
        before = self.content, self.rules
        try:
            self.content = await asyncio.to_thread(read_tools_file, self._path)
            self.rules = Rules(self.content.tools)
            apply(self.content)
        except ConfigError as error:
            self.content, self.rules = before
            self._note_fault(str(error))
            return
        self._health.clear_note(NOTE)
        servers, rules = len(self.content.servers), len(self.content.tools)
        log.info("tools_file.reloaded", servers=servers, rules=rules)

    def _note_fault(self, sentence: str) -> None:
        self._health.note(NOTE, f"{sentence}; what held before holds on.")
        log.warning("tools_file.refused", detail=sentence)


def _sight(path: Path) -> Sight:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
