"""Whether the microphone is muted, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from antiphon_contracts import ConfigError

from antiphon_satellite.service.ports import Notes

log = structlog.get_logger(__name__)


class Muting:
    """Keeps the state in a file: while it is there, the microphone is muted.

    Args:
        path: of the file.
        obey: mutes the microphone (true) or lets it listen.
        show: told what is so, once it is settled how long it holds.
        notes: told when the state cannot be kept.
    """

    def __init__(
        self,
        path: Path,
        obey: Callable[[bool], None],
        show: Callable[[bool], None],
        notes: Notes,
    ) -> None:
        self._path = path
        self._obey = obey
        self._show = show
        self._notes = notes

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
            self._obey(True)  # noqa: FBT003  (it is the state)
        try:
            await asyncio.to_thread(self._remember, muted)
        except OSError as error:
            but = "is muted, but only until I start again" if muted else "stays muted"
            self._notes.note(
                "mute", f"The microphone {but}: {self._path} cannot be changed ({error.strerror})."
            )
            if muted:
                self._show(True)  # noqa: FBT003  (it is the state)
            msg = f"the mute cannot be kept in {self._path}: {error.strerror}"
            raise ConfigError(msg) from error
        self._notes.clear_note("mute")
        self._say(muted)
        log.info("microphone.muted" if muted else "microphone.unmuted")

    def _remember(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        if muted:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        else:
            self._path.unlink(missing_ok=True)

    def _say(self, muted: bool) -> None:  # noqa: FBT001  (it is the state)
        self._obey(muted)
        self._show(muted)
