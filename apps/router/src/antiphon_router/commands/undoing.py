"""Undoing: the last thing that was done at a site, and how it is taken back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from antiphon_contracts import AntiphonError

from antiphon_router import phrases
from antiphon_router.commands.asking import Command
from antiphon_router.trouble import sentence_for

UNDO_WITHIN_S = 120.0
MAX_SITES = 512

Undo = Callable[[Command], Awaitable[str]]
"""Takes something back and returns the sentence that says so."""


@dataclass(frozen=True, slots=True)
class _Done:
    turn_id: str
    undos: tuple[Undo, ...]
    until: float


class Undoing:
    """Knows what `cancel that` means at each site."""

    def __init__(self) -> None:
        self._done: OrderedDict[str, _Done] = OrderedDict()

    def note(self, command: Command, undo: Undo) -> None:
        """Something was done that can be taken back."""
        until = asyncio.get_running_loop().time() + UNDO_WITHIN_S
        before = self._done.get(command.site_id)
        together = before is not None and before.turn_id == command.turn_id
        undos = (undo, *before.undos) if before is not None and together else (undo,)
        self._done[command.site_id] = _Done(command.turn_id, undos, until)
        self._done.move_to_end(command.site_id)
        if len(self._done) > MAX_SITES:
            self._done.popitem(last=False)

    def forget(self, site_id: str, turn_id: str = "") -> None:
        """The conversation went on, in this turn: `cancel that` means something else now."""
        done = self._done.get(site_id)
        if done is not None and (not turn_id or done.turn_id != turn_id):
            del self._done[site_id]

    async def undo(self, command: Command) -> str:
        """Take back what the last turn did, once; where there is nothing, never mind.

        Raises:
            BusError: the worker that is needed is away, busy or too slow.
            EngineError: it could not be done; the text is a sentence for people.
        """
        done = self._done.pop(command.site_id, None)
        if done is None or asyncio.get_running_loop().time() > done.until:
            return phrases.OKAY
        answers: list[str] = []
        error: AntiphonError | None = None
        for undo in done.undos:
            try:
                answers.append(await undo(command))
            except AntiphonError as failure:
                error = error or failure
        if error is not None and not answers:
            raise error
        if error is not None:
            answers.append(sentence_for(error))
        return " ".join(dict.fromkeys(answers))
