"""Speculation: the language model begins before the end of speech is certain."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial

from antiphon_contracts import AntiphonError
from antiphon_runtime import Bus

from antiphon_router.language_model import (
    LanguageModel,
    Listener,
    Reply,
    ToolsNeededError,
    without_prefix,
)
from antiphon_router.preparing import FirstClause, Preparing

_WORD = re.compile(r"\w+")


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts differ in case, spaces and punctuation alone."""
    return _WORD.findall(one.casefold()) == _WORD.findall(other.casefold())


class Tentative:
    """A request that was begun with what may be the whole question.

    Args:
        text: the question so far.
        first_clause: gets what is streamed before somebody wants the reply.

    Attributes:
        task: asks for the reply; what it streams is handed to `take`.
    """

    def __init__(self, text: str, first_clause: FirstClause) -> None:
        self.text = text
        self.first_clause = first_clause
        self.task: asyncio.Task[Reply | AntiphonError] | None = None
        self._streamed = ""
        self._notices: list[str] = []
        self._listener: Listener | None = None

    def take(self, delta: str) -> None:
        """Keep a piece of the reply, or hand it on once somebody wants it."""
        self._streamed += delta
        self.first_clause.feed(delta)
        if self._listener is not None:
            self._listener.on_text(delta)

    def take_notice(self, text: str) -> None:
        """Keep what is said beside the reply, or hand it on once somebody wants it."""
        if self._listener is not None:
            self._listener.on_notice(text)
        else:
            self._notices = [text]

    def withdraw(self) -> None:
        """Nobody wants it: the language model is told to stop."""
        self.first_clause.stop()
        if self.task is not None:
            self.task.cancel()

    async def reply(
        self,
        listener: Listener,
        again: Callable[[Listener], Awaitable[Reply]],
    ) -> Reply:
        """Return the reply, as `LanguageModel.reply` does; when cancelled, it is withdrawn.

        Args:
            listener: hears what was streamed already at once, and the rest as it is made.
            again: asks anew, in earnest; for a reply that a tool is needed for.

        Raises:
            BusError: nothing came.
            EngineError: there is no reply.
        """
        self.first_clause.stop()  # from now on what comes is said at once
        if self.task is None:
            return await again(listener)
        for notice in self._notices:
            listener.on_notice(notice)
        if self._streamed:
            listener.on_text(self._streamed)
        self._listener = listener
        try:
            await asyncio.wait({self.task})
        finally:
            self._listener = None
            self.withdraw()
        outcome = AntiphonError("withdrawn") if self.task.cancelled() else self.task.result()
        if isinstance(outcome, Reply):
            return outcome
        if isinstance(outcome, ToolsNeededError) or self.task.cancelled():
            return await again(without_prefix(self._streamed, listener))
        raise outcome


class Speculation:
    """Begins requests tentatively, one at a site.

    Args:
        bus: counts them: `speculations`, `_used` and `_withdrawn`.
        language_model: what is asked.
        caught_up: returns when a site's history is written.
        preparing: told how a reply begins.
    """

    def __init__(
        self,
        bus: Bus,
        language_model: LanguageModel,
        caught_up: Callable[[str], Awaitable[None]],
        preparing: Preparing,
    ) -> None:
        self._bus = bus
        self._llm = language_model
        self._caught_up = caught_up
        self._preparing = preparing
        self._under_way: dict[str, Tentative] = {}
        self._group: asyncio.TaskGroup | None = None

    def begin_in(self, group: asyncio.TaskGroup) -> None:
        """Run what is begun in this group; `end` is to be called before the group ends."""
        self._group = group

    def end(self) -> None:
        """Withdraw everything, and begin nothing more."""
        self._group = None
        for site_id in list(self._under_way):
            self.withdraw(site_id)

    def begin(self, site_id: str, turn_id: str, text: str) -> None:
        """Ask tentatively; the same again goes on, another one is withdrawn."""
        tentative = self._under_way.get(site_id)
        if tentative is not None:
            if same_words(tentative.text, text):
                return
            self.withdraw(site_id)
        if self._group is None:
            return
        first_clause = FirstClause(partial(self._preparing.clause, site_id, turn_id))
        tentative = self._under_way[site_id] = Tentative(text, first_clause)
        tentative.task = self._group.create_task(
            self._ask(tentative, site_id, turn_id), name=f"tentative:{turn_id}"
        )
        self._bus.counters["speculations"] += 1

    def withdraw(self, site_id: str) -> None:
        """The person went on, or said something else."""
        tentative = self._under_way.pop(site_id, None)
        if tentative is not None:
            self._bus.counters["speculations_withdrawn"] += 1
            tentative.withdraw()

    def take_over(self, site_id: str, text: str) -> Tentative | None:
        """Return the request that was begun with the same words; any other is withdrawn."""
        tentative = self._under_way.get(site_id)
        if tentative is None or not same_words(tentative.text, text):
            self.withdraw(site_id)
            return None
        del self._under_way[site_id]
        self._bus.counters["speculations_used"] += 1
        return tentative

    async def _ask(self, tentative: Tentative, site_id: str, turn_id: str) -> Reply | AntiphonError:
        try:
            await self._caught_up(site_id)
            reply = await self._llm.reply(
                tentative.text,
                site_id=site_id,
                turn_id=turn_id,
                listener=Listener(tentative.take, tentative.take_notice),
                tentative=True,
            )
        except AntiphonError as error:
            return error
        if reply.error is None and not reply.replaces:
            tentative.first_clause.finish(reply.rest)
        return reply
