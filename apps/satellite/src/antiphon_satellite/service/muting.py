"""Whether the microphone is muted, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from antiphon_contracts import ConfigError

log = structlog.get_logger(__name__)


class Muting:
    """Keeps the state in a file: while it is there, the microphone is muted.

    Args:
        path: of the file.
        tell: those who must know, told at `recall` and at every change, in order.
    """

    def __init__(self, path: Path, *tell: Callable[[bool], None]) -> None:
        self._path = path
        self._tell = tell

    def recall(self) -> None:
        """Tell how it was left. Blocks for a look at the disk."""
        self._say(self._path.exists())

    async def mute(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        """Mute at once, or unmute, and remember it.

        Raises:
            ConfigError: it cannot be remembered. A mute holds until the next start even so; an
                unmute is not carried out.
        """
        if muted:
            self._say(True)  # noqa: FBT003  (it is the state)
        try:
            await asyncio.to_thread(self._remember, muted)
        except OSError as error:
            msg = f"the mute cannot be kept in {self._path}: {error.strerror}"
            raise ConfigError(msg) from error
        self._say(muted)
        log.info("microphone.muted" if muted else "microphone.unmuted")

    def _remember(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        if muted:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        else:
            self._path.unlink(missing_ok=True)

    def _say(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        for tell in self._tell:
            tell(muted)
