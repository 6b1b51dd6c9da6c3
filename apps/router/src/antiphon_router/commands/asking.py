"""Asking: what a command is told, and how it asks the workers that do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from antiphon_contracts import TOOLS_CALL, EngineError, Payload, RequestTopic, ToolCall
from antiphon_runtime import Bus

from antiphon_router import phrases
from antiphon_router.vocabulary import Vocabulary

COMMAND_TIMEOUT_S = 5.0

Q = TypeVar("Q", bound=Payload)
A = TypeVar("A", bound=Payload)


@dataclass(frozen=True, slots=True)
class Command:
    """An intent to carry out.

    Attributes:
        name: the intent.
        slots: its slots.
        turn_id: the turn that wants it.
        site_id: where.
        last_answer: what was answered before, there.
    """

    name: str
    slots: dict[str, str] = field(default_factory=dict)
    turn_id: str = ""
    site_id: str = "default"
    last_answer: str = ""


class Asking:
    """Asks workers for one command.

    Args:
        bus: for the requests.
        clock: the local time.

    Attributes:
        clock: the local time.
        vocabulary: which tools there are.
    """

    def __init__(self, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._bus = bus
        self.clock = clock
        self.vocabulary = Vocabulary()

    async def request(
        self,
        topic: RequestTopic[Q, A],
        data: Q,
        command: Command,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> A:
        """Return the answer.

        Raises:
            BusError: the worker is away, busy or too slow.
        """
        return await self._bus.request(
            topic, data, timeout_s=timeout_s, turn_id=command.turn_id, site_id=command.site_id
        )

    async def call(self, command: Command, tool: str, /, **arguments: object) -> object:
        """Return a tool's result.

        Raises:
            BusError: the tool worker is away, busy or too slow.
            EngineError: the tool could not do it; the text is a sentence for people.
        """
        call = ToolCall(name=tool, arguments=arguments, priority="high")
        timeout_s = self.vocabulary.timeouts_s.get(tool, COMMAND_TIMEOUT_S)
        done = await self.request(TOOLS_CALL, call, command, timeout_s)
        if done.error is not None:
            raise EngineError(done.error)
        return done.result

    async def say(self, command: Command, tool: str, /, **arguments: object) -> str:
        """Return the sentence in a tool's result.

        Raises:
            BusError: the tool worker is away, busy or too slow.
            EngineError: the tool could not do it; the text is a sentence for people.
        """
        return said(await self.call(command, tool, **arguments))


def said(result: object) -> str:
    """Return the sentence in a tool's result."""
    text = result.get("text") if isinstance(result, dict) else result
    return text if isinstance(text, str) and text.strip() else phrases.OKAY
