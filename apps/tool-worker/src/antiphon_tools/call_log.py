"""The last calls of tools, for people to look at; neither arguments nor results."""

from __future__ import annotations

from collections import deque

from antiphon_contracts import Message, ToolLog, ToolLogEntry, ToolLogQuery

KEPT = 500


class CallLog:
    """Keeps the last 500 calls in memory."""

    def __init__(self) -> None:
        self._entries: deque[ToolLogEntry] = deque(maxlen=KEPT)

    def add(self, entry: ToolLogEntry) -> None:
        """Note a call that has ended."""
        self._entries.appendleft(entry)

    async def on_query(self, message: Message[ToolLogQuery]) -> ToolLog:
        """Return the calls that are asked for, newest first."""
        name, limit = message.data.name, message.data.limit
        found = [entry for entry in self._entries if name is None or entry.name == name]
        return ToolLog(entries=tuple(found[:limit]))
