"""Commands: what the fast path does, without the language model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from antiphon_contracts import (
    MEMORY_FORGET,
    MEMORY_REMEMBER,
    TOOLS_CALL,
    EngineError,
    MemoryForget,
    MemoryRemember,
    ToolCall,
)
from antiphon_runtime import Bus

from antiphon_router import phrases

COMMAND_TIMEOUT_S = 5.0


class Commands:
    """Carries out the fast path's intents.

    Args:
        bus: for requests to memory and tools.
        clock: the local time.
    """

    def __init__(self, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._bus = bus
        self._clock = clock

    async def carry_out(
        self, name: str, slots: dict[str, str], *, turn_id: str, site_id: str, last_answer: str
    ) -> str:
        """Return the answer to an intent of the grammar.

        Raises:
            BusError: the worker that is needed is away, busy or too slow.
            EngineError: it could not do it; the text is a sentence for people.
        """
        known = self.known_answer(name, last_answer=last_answer)
        if known is not None:
            return known
        answer = phrases.OKAY  # stop and dismiss: the interruption was all
        match name:
            case "sum":
                answer = await self._calculate(slots["expression"], turn_id)
            case "remember":
                answer = await self._remember(slots["text"], turn_id, site_id)
            case "forget":
                answer = await self._forget(slots["text"], turn_id, site_id)
        return answer

    def known_answer(self, name: str, *, last_answer: str) -> str | None:
        """Return the answer to an intent for which nobody is asked and nothing changes, else None.

        It is the answer of this moment: the time goes on.
        """
        match name:
            case "time":
                return phrases.spoken_time(self._clock())
            case "date":
                return phrases.spoken_date(self._clock())
            case "repeat":
                return last_answer or phrases.NOTHING_TO_REPEAT
        return None

    async def _calculate(self, expression: str, turn_id: str) -> str:
        call = ToolCall(name="calculate", arguments={"expression": expression})
        done = await self._bus.request(
            TOOLS_CALL, call, timeout_s=COMMAND_TIMEOUT_S, turn_id=turn_id
        )
        if done.error is not None:
            raise EngineError(done.error)
        result = done.result.get("result") if isinstance(done.result, dict) else done.result
        if isinstance(result, bool) or not isinstance(result, int | float):
            msg = "I could not work that out"
            raise EngineError(msg)
        return f"That is {phrases.spoken_number(result)}."

    async def _remember(self, text: str, turn_id: str, site_id: str) -> str:
        done = await self._bus.request(
            MEMORY_REMEMBER,
            MemoryRemember(text=text),
            timeout_s=COMMAND_TIMEOUT_S,
            turn_id=turn_id,
            site_id=site_id,
        )
        if done.error is not None:
            raise EngineError(done.error)
        said_back = phrases.to_listener(text)
        what = said_back if text.startswith("to ") else f"that {said_back}"
        if done.replaced:
            return f"I will remember {what}, and no longer that {_said_back(done.replaced[0])}."
        return f"I will remember {what}."

    async def _forget(self, text: str, turn_id: str, site_id: str) -> str:
        done = await self._bus.request(
            MEMORY_FORGET,
            MemoryForget(query=text),
            timeout_s=COMMAND_TIMEOUT_S,
            turn_id=turn_id,
            site_id=site_id,
        )
        if done.error is not None:
            raise EngineError(done.error)
        if not done.ids:
            return phrases.NOTHING_FOUND
        if not done.texts:
            return phrases.FORGOTTEN  # asked once more: the words are kept nowhere
        return f"I have forgotten that {_said_back(done.texts[0])}."


def _said_back(memory: str) -> str:
    return phrases.to_listener(memory).rstrip(" .")
