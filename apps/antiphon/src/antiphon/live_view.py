"""A live view of sites: what is heard as it is understood, on a terminal or line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_contracts import (
    DialogueState,
    PlainAnswer,
    PlaybackStatus,
    SiteStatus,
    SttFinal,
    SttPartial,
    WakeEvent,
)

from antiphon import screens
from antiphon.output import print_line

if TYPE_CHECKING:
    from rich.console import Console

    from antiphon.live_events import Event

METER = " ▁▂▃▄▅▆▇█"
QUIETEST_DBFS = -60.0
_SILENT_ENDS = {"no_speech", "cancelled"}
"""Ends of a listening window that nobody needs to be told."""


def meter(level_dbfs: float) -> str:
    """Return a level as one character; -60 dBFS and less is blank."""
    share = 1 - min(0.0, max(QUIETEST_DBFS, level_dbfs)) / QUIETEST_DBFS
    return METER[round(share * (len(METER) - 1))]


class LiveView:
    """Shows events of sites.

    On a terminal, what is being understood stands in one line that changes; elsewhere only what is
    final is printed.

    Args:
        console: where to.
        names_sites: whether to say where each thing happened.
        stages: whether to show what of a turn took how long.
    """

    def __init__(self, console: Console, *, names_sites: bool, stages: bool = False) -> None:
        self._console = console
        self._names_sites = names_sites
        self._stages = stages
        self._line = ""
        self._levels = ""
        self._listening = False

    def show(self, site: str, event: Event) -> None:
        """Show one event."""
        where = f"{site}: " if self._names_sites else ""
        if isinstance(event, SttPartial):
            self._draw(f"{where}{event.text or '…'}{' …' if event.text else ''}")
        elif isinstance(event, DialogueState):
            self._on_state(where, event)
        elif isinstance(event, SttFinal):
            self._on_final(where, event)
        elif isinstance(event, PlainAnswer):
            self._on_answer(where, event)
        elif isinstance(event, WakeEvent):
            self._print(f"{where}({event.phrase.replace('_', ' ')}, {event.score:.2f})")
        elif isinstance(event, PlaybackStatus) and event.state == "stopped":
            self._print(f"{where}(interrupted after {event.played_ms / 1000:.1f} s)")
        elif isinstance(event, SiteStatus) and event.muted:
            self._print(f"{where}(the microphone is muted)")

    def show_level(self, level_dbfs: float) -> None:
        """Show how loud the microphone hears; only while it listens, on a terminal."""
        if self._listening:
            self._levels = (self._levels + meter(level_dbfs))[-16:]
            self._draw(self._line)

    def _on_state(self, where: str, state: DialogueState) -> None:
        self._listening = state.state == "listening"
        self._levels = ""
        if self._listening:
            self._draw(f"{where}listening …")
        else:
            self._draw("")

    def _on_final(self, where: str, final: SttFinal) -> None:
        if final.rejected is None:
            self._print(f"{where}> {final.text}")
        elif final.rejected not in _SILENT_ENDS:
            self._print(f"{where}({final.detail or final.rejected})")

    def _on_answer(self, where: str, answer: PlainAnswer) -> None:
        if answer.answer or answer.error:
            self._print(f"{where}{answer.answer or '(' + str(answer.error) + ')'}")
        if self._stages and answer.stages and self._console.is_terminal:
            self._draw("")
            for line in screens.waterfall(answer.stages, None):
                print_line(self._console, line)

    def _print(self, line: str) -> None:
        self._draw("")
        print_line(self._console, line)

    def _draw(self, line: str) -> None:
        """Write the changing line; nothing where there is no terminal."""
        if not self._console.is_terminal:
            return
        self._line = line
        room = max(10, self._console.width - len(self._levels) - 2)
        shown = f"{self._levels} {line[-room:]}".strip() if line else ""
        self._console.file.write(f"\r\x1b[K{shown}")
        self._console.file.flush()
