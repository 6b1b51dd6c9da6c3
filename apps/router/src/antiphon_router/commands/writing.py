"""Writing: lists, notes, and what is to be remembered."""

from __future__ import annotations

from functools import partial

from antiphon_contracts import (
    MEMORY_FORGET,
    MEMORY_REMEMBER,
    EngineError,
    MemoryForget,
    MemoryRemember,
)

from antiphon_router import phrases
from antiphon_router.commands.asking import Asking, Command, said
from antiphon_router.commands.undoing import Undoing

_OPPOSITE = {"list_add": "list_remove", "list_remove": "list_add", "list_clear": "list_add"}
MOST_ITEMS = 50
"""So many things may be put on a list at once."""
_TOOLS = {"note_take": "take_note", "notes_read": "read_notes"}


class Writing:
    """Keeps lists, notes and memories.

    Args:
        asking: asks the tool worker and the memory worker.
        undoing: told what can be taken back.
    """

    def __init__(self, asking: Asking, undoing: Undoing) -> None:
        self._asking = asking
        self._undoing = undoing

    async def change_list(self, command: Command) -> str:
        """Put items on a list, or take them off it."""
        items, named = command.slots["items"].split("|"), command.slots["list"]
        result = await self._asking.call(command, command.name, list=named, items=items)
        self._note_change(command, named, _changed(result, items))
        return said(result)

    def _note_change(self, command: Command, named: str, changed: list[str]) -> None:
        """Have only that taken back which was not so before."""
        if 0 < len(changed) <= MOST_ITEMS:
            undo = partial(self._take_back, _OPPOSITE[command.name], named, changed)
            self._undoing.note(command, undo)

    async def _take_back(self, tool: str, named: str, items: list[str], command: Command) -> str:
        return await self._asking.say(command, tool, list=named, items=items)

    async def tell_list(self, command: Command) -> str:
        """Tell what is on a list."""
        return await self._asking.say(command, command.name, list=command.slots["list"])

    async def clear_list(self, command: Command) -> str:
        """Take everything off a list."""
        named = command.slots["list"]
        result = await self._asking.call(command, command.name, list=named)
        self._note_change(command, named, _changed(result, []))
        return said(result)

    async def note(self, command: Command) -> str:
        """Take a note, or read the notes."""
        return await self._asking.say(command, _TOOLS[command.name], **command.slots)

    async def remember(self, command: Command) -> str:
        """Remember what was said."""
        text = command.slots["text"]
        done = await self._asking.request(MEMORY_REMEMBER, MemoryRemember(text=text), command)
        if done.error is not None:
            raise EngineError(done.error)
        if done.ids and not done.replaced:
            self._undoing.note(command, partial(self._take_memory_back, tuple(done.ids)))
        said_back = phrases.to_listener(text)
        what = said_back if text.startswith("to ") else f"that {said_back}"
        if done.replaced:
            return f"I will remember {what}, and no longer that {_said_back(done.replaced[0])}."
        return f"I will remember {what}."

    async def _take_memory_back(self, ids: tuple[str, ...], command: Command) -> str:
        done = await self._asking.request(MEMORY_FORGET, MemoryForget(ids=ids), command)
        if done.error is not None:
            raise EngineError(done.error)
        return phrases.FORGOTTEN

    async def forget(self, command: Command) -> str:
        """Forget what fits best."""
        query = MemoryForget(query=command.slots["text"])
        done = await self._asking.request(MEMORY_FORGET, query, command)
        if done.error is not None:
            raise EngineError(done.error)
        if not done.ids:
            return phrases.NOTHING_FOUND
        if not done.texts:
            return phrases.FORGOTTEN  # asked once more: the words are kept nowhere
        return f"I have forgotten that {_said_back(done.texts[0])}."


def _changed(result: object, items: list[str]) -> list[str]:
    """Return what a tool says it put on a list or took off it; `items` if it does not say."""
    changed = result.get("changed") if isinstance(result, dict) else None
    if not isinstance(changed, list):
        return items
    return [item for item in changed if isinstance(item, str)]


def _said_back(memory: str) -> str:
    return phrases.to_listener(memory).rstrip(" .")
