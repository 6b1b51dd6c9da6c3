"""The calls of tools for one request: together, within limits, told to the model and the person."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from antiphon_runtime.tasks import running

from antiphon_llm.service.draft import Draft
from antiphon_llm.service.model import RequestedCall
from antiphon_llm.service.tools import Told, ToolBelt, arguments_of

MAX_CALLS_PER_ROUND = 8
SAME_CALLS = 2
MALFORMED = 3


@dataclass(frozen=True, slots=True)
class CallRules:
    """Limits of a request's calls.

    Attributes:
        rounds: how often the model may call.
        total_s: how long all calls may take together.
        notice_after_s: after how long the person is told that it takes its time.
        shown: so many tools are shown to the model; 0 is what its profile says.
    """

    rounds: int = 5
    total_s: float = 60.0
    notice_after_s: float = 1.5
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a model called, and what came of it.

    Attributes:
        text: what it said before.
        calls: the calls.
        told: what the model is told of each, in order.
    """

    text: str
    calls: tuple[RequestedCall, ...]
    told: tuple[Told, ...]


class Calling:
    """Carries out the calls of one request, whichever model makes them.

    Args:
        belt: the tools.
        draft: of the reply; notes which tools were used.
        rules: limits.
        notify: tells the person that a tool takes its time; called once at most.
        suspected: whether the conversation so far may hold something from outside the house.

    Attributes:
        exchanges: what was called so far, oldest first.
        specs: the tools on offer to this request.
        tainted: whether the model has read something from outside the house for this request.
        is_over: no more calls: the model calls the same again and again, or nonsense.
    """

    def __init__(
        self,
        belt: ToolBelt,
        draft: Draft,
        rules: CallRules,
        notify: Callable[[], None],
        *,
        suspected: bool = False,
    ) -> None:
        self.rules = rules
        self.specs = belt.specs() if draft.request.data.tools else ()
        self.exchanges: list[Exchange] = []
        self.tainted = False
        self.is_over = False
        self._belt = belt
        self._draft = draft
        self._notify = notify
        self._suspected = suspected
        self._notified = False
        self._made: Counter[str] = Counter()
        self._malformed = 0
        self._used_s = 0.0

    @property
    def must_end(self) -> bool:
        """Whether the model may call no more."""
        spent = self._used_s >= self.rules.total_s
        return self.is_over or spent or len(self.exchanges) >= self.rules.rounds

    async def carry_out(self, text: str, calls: Sequence[RequestedCall]) -> Exchange:
        """Carry calls out at the same time; what goes wrong is told to the model.

        One that fails, or takes its time, ends no other. When this is cancelled, so are the tools.
        """
        clock = asyncio.get_running_loop()
        begun = clock.time()
        async with running(notice=self._notify_late()) as group:
            tasks = [
                group.create_task(self._call(number, call), name=f"tool:{call.name[:64]}")
                for number, call in enumerate(calls)
            ]
            await asyncio.wait(tasks)
        told = tuple(task.result() for task in tasks)
        self._used_s += clock.time() - begun
        self.tainted = self.tainted or any(item.untrusted for item in told)
        exchange = Exchange(text, tuple(calls), told)
        self.exchanges.append(exchange)
        return exchange

    async def _notify_late(self) -> None:
        if self._notified:
            return
        await asyncio.sleep(self.rules.notice_after_s)
        self._notified = True
        self._notify()

    async def _call(self, number: int, call: RequestedCall) -> Told:
        if number >= MAX_CALLS_PER_ROUND:
            return Told("Error: too many calls at once; this one was not carried out.")
        spec = next((tool for tool in self.specs if tool.name == call.name), None)
        arguments = arguments_of(call.arguments)
        if spec is None or arguments is None:
            return self._nonsense(is_known=spec is not None)
        self._malformed = 0
        key = f"{spec.name} {json.dumps(arguments, sort_keys=True)}"
        self._made[key] += 1
        if self._made[key] > SAME_CALLS:
            self.is_over = True
            return Told(
                "Error: this very call was made before; it was not carried out again. "
                "Answer with what you know."
            )
        self._draft.tools_used.append(spec.name)
        left_s = self.rules.total_s - self._used_s
        return await self._belt.call(
            spec,
            arguments,
            self._draft.request,
            tainted=self.tainted or self._suspected,
            at_most_s=left_s,
        )

    def _nonsense(self, *, is_known: bool) -> Told:
        self._malformed += 1
        self.is_over = self.is_over or self._malformed >= MALFORMED
        if is_known:
            return Told("Error: the arguments are not a JSON object; nothing was carried out.")
        known = ", ".join(tool.name for tool in self.specs) or "none"
        return Told(f"Error: there is no such tool. The tools are: {known}.")
