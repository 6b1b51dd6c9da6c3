"""Timers for tests: as simple as can be, and they never ring by themselves."""

from __future__ import annotations

from antiphon_contracts import (
    Message,
    Timer,
    TimerChange,
    TimerDone,
    TimerList,
    TimerQuery,
    TimerSelector,
    TimerSet,
)
from antiphon_runtime.testing import Heard

A_WHILE_S = 36_000.0


class ScriptedTimers:
    """A timer worker.

    Attributes:
        running: the timers.
        orders: what was set (`TimerSet`), changed (`TimerChange`) and asked (`TimerQuery`); not
            what the router asks of the whole house as it begins.
        refusal: what it answers instead, if anything.
    """

    def __init__(self) -> None:
        self.running: list[Timer] = []
        self.orders = Heard()
        self.refusal: TimerDone | None = None
        self._count = 0

    async def on_set(self, message: Message[TimerSet]) -> TimerDone:
        """Set a timer."""
        order = message.data
        self.orders.add(order)
        if self.refusal is not None:
            return self.refusal
        self._count += 1
        timer = Timer(
            id=str(self._count),
            kind=order.kind,
            site_id=message.site_id,
            name=order.name,
            text=order.text,
            state="running",
            left_s=order.after_s or A_WHILE_S,
            length_s=order.after_s,
            at=None if order.at is None else f"{order.at}:00",
            days=order.days,
        )
        self.running.append(timer)
        return TimerDone(action="set", timers=(timer,))

    async def on_change(self, message: Message[TimerChange]) -> TimerDone:
        """Change the timers that fit; several that fit are ambiguous."""
        order = message.data
        self.orders.add(order)
        if self.refusal is not None:
            return self.refusal
        fits = self._fits(order.which)
        if order.action in {"stop", "snooze"}:
            return TimerDone(action=order.action)
        if not fits:
            return TimerDone(action=order.action, error="none", error_code="not_found")
        if len(fits) > 1 and not order.every:
            return TimerDone(
                action=order.action, timers=tuple(fits), error="several", error_code="ambiguous"
            )
        return TimerDone(
            action=order.action, timers=tuple(self._changed(timer, order) for timer in fits)
        )

    def _changed(self, timer: Timer, order: TimerChange) -> Timer:
        place = self.running.index(timer)
        state = {"pause": "paused", "resume": "running"}.get(order.action, timer.state)
        left_s = timer.left_s + (order.seconds or 0.0)
        changed = timer.model_copy(update={"state": state, "left_s": left_s})
        self.running[place] = changed
        if order.action == "cancel":
            self.running.remove(changed)
        return changed

    async def on_query(self, message: Message[TimerQuery]) -> TimerList:
        """Return the timers that fit."""
        if not message.data.which.everywhere:
            self.orders.add(message.data)
        return TimerList(timers=tuple(self._fits(message.data.which)))

    def _fits(self, which: TimerSelector) -> list[Timer]:
        return [
            timer
            for timer in self.running
            if (not which.ids or timer.id in which.ids)
            and which.kind in {None, timer.kind}
            and which.name in {None, timer.name}
            and which.length_s in {None, timer.length_s}
        ]
