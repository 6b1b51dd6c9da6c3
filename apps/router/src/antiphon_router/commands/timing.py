"""Timing: timers, alarms and reminders."""

from __future__ import annotations

from functools import partial

from antiphon_contracts import (
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    EngineError,
    Timer,
    TimerChange,
    TimerDone,
    TimerEvent,
    TimerQuery,
    TimerSelector,
    TimerSet,
    WorkerGone,
)
from antiphon_contracts.payloads.timers import MAX_TIMER_S, TimerKind

from antiphon_router import phrases
from antiphon_router.commands.asking import Asking, Command
from antiphon_router.commands.resolving import clock_of, day_of, weekdays_of
from antiphon_router.commands.undoing import Undoing
from antiphon_router.spoken_times import (
    called,
    joined,
    sentence,
    spoken_due,
    spoken_duration,
    spoken_list,
    spoken_timers,
)

MAX_RINGING = 500
_DONE = {"cancel": "cancelled", "pause": "paused", "resume": "running again"}


class Ringing:
    """Knows what rings at each site."""

    def __init__(self) -> None:
        self._timers: dict[str, dict[str, Timer]] = {}

    def on_event(self, event: TimerEvent) -> None:
        """Note that a timer began or ceased to ring."""
        timer = event.timer
        here = self._timers.setdefault(timer.site_id, {})
        if event.event == "ringing" and len(here) < MAX_RINGING:
            here[timer.id] = timer
        elif event.event != "ringing":
            here.pop(timer.id, None)
        if not here:
            del self._timers[timer.site_id]

    def found(self, timer: Timer) -> None:
        """Note that a timer rings already."""
        self._timers.setdefault(timer.site_id, {})[timer.id] = timer

    def at(self, site_id: str) -> bool:
        """Whether something rings at a site."""
        return site_id in self._timers

    def silenced(self, site_id: str) -> None:
        """All that rang there was told to stop."""
        self._timers.pop(site_id, None)


class Timing:
    """Sets, changes and tells timers, alarms and reminders.

    Args:
        asking: asks the timer worker.
        undoing: told what can be taken back.

    Attributes:
        ringing: what rings at each site.
    """

    def __init__(self, asking: Asking, undoing: Undoing) -> None:
        self._asking = asking
        self._undoing = undoing
        self.ringing = Ringing()

    # Setting

    async def set_timer(self, command: Command) -> str:
        """Set a timer."""
        slots = command.slots
        refusal = _refusal(slots["length_s"])
        if refusal:
            return refusal
        length_s = float(slots["length_s"])
        name = slots.get("name", "")
        await self._set(command, TimerSet(name=name, after_s=length_s))
        called_so = f" for {name}" if name else ""
        return f"{sentence(spoken_duration(length_s))}{called_so}, starting now."

    async def set_alarm(self, command: Command) -> str:
        """Set an alarm."""
        timer = await self._set_due(command, "alarm")
        if isinstance(timer, str):
            return timer
        return f"Alarm set {spoken_due(timer, self._asking.clock())}."

    async def set_reminder(self, command: Command) -> str:
        """Set a reminder."""
        timer = await self._set_due(command, "reminder")
        if isinstance(timer, str):
            return timer
        what = phrases.to_listener(command.slots["text"])
        due = spoken_due(timer, self._asking.clock())
        return f"Okay, I will remind you {due}: {what}."

    async def _set_due(self, command: Command, kind: TimerKind) -> Timer | str:
        """Return what was set, or the sentence that says why it cannot be."""
        slots, now = command.slots, self._asking.clock()
        name, text = slots.get("name", ""), slots.get("text", "")
        if "after_s" in slots:
            refusal = _refusal(slots["after_s"])
            if refusal:
                return refusal
            order = TimerSet(kind=kind, name=name, text=text, after_s=float(slots["after_s"]))
        else:
            at = clock_of(slots, kind, now)
            order = TimerSet(
                kind=kind,
                name=name,
                text=text,
                at=at,
                on=day_of(slots, at, now),
                days=weekdays_of(slots),
            )
        return await self._set(command, order)

    async def _set(self, command: Command, order: TimerSet) -> Timer:
        done = await self._asking.request(TIMER_SET, order, command)
        if done.error is not None or not done.timers:
            raise EngineError(done.error or "the timer could not be set")
        timer = done.timers[0]
        self._undoing.note(command, partial(self._take_back, timer))
        return timer

    async def _take_back(self, timer: Timer, command: Command) -> str:
        selector = TimerSelector(ids=(timer.id,), everywhere=True)
        done = await self._change(command, TimerChange(action="cancel", which=selector))
        return _told(done, "cancel") or f"Okay, {called(timer)} is cancelled."

    # Changing

    async def change(self, command: Command) -> str:
        """Cancel, pause, resume or lengthen timers."""
        action = command.name.removeprefix("timer_")
        slots = command.slots
        seconds = float(slots["seconds"]) if "seconds" in slots else None
        order = TimerChange.model_validate(
            {
                "action": action,
                "which": _selector(slots, "timer"),
                "every": "every" in slots,
                "seconds": seconds,
            }
        )
        if seconds is not None and not 0 < abs(seconds) <= MAX_TIMER_S:
            return phrases.NO_TIME if seconds == 0 else phrases.TOO_LONG
        done = await self._change(command, order)
        return _told(done, "timer") or _changed(done, action)

    async def stop(self, command: Command) -> str:
        """Silence what rings; where nothing does, cancel the timer or alarm that is meant."""
        if self.ringing.at(command.site_id):
            return await self.silence(command)
        kind: TimerKind = "alarm" if command.name == "alarm_stop" else "timer"
        order = TimerChange(action="cancel", which=_selector(command.slots, kind))
        done = await self._change(command, order)
        return _told(done, kind) or _changed(done, "cancel")

    async def find_ringing(self) -> None:
        """Learn what rings already, anywhere.

        Raises:
            BusError: the timer worker is away, busy or too slow.
        """
        query = TimerQuery(which=TimerSelector(everywhere=True))
        found = await self._asking.request(TIMER_QUERY, query, Command("timer_list"))
        for timer in found.timers:
            if timer.state == "ringing":
                self.ringing.found(timer)

    async def silence(self, command: Command) -> str:
        """Silence all that rings at the site; returns at once if nothing does."""
        if not self.ringing.at(command.site_id):
            return phrases.OKAY
        try:
            done = await self._change(command, TimerChange(action="stop"))
        except WorkerGone:
            self.ringing.silenced(command.site_id)  # nobody is there to ring
            raise
        if done.error is not None and done.error_code != "not_found":
            raise EngineError(done.error)
        self.ringing.silenced(command.site_id)
        return phrases.OKAY

    async def snooze(self, command: Command) -> str:
        """Have what rings ring again later."""
        if not self.ringing.at(command.site_id):
            return phrases.NOT_RINGING
        seconds = command.slots.get("seconds")
        if seconds is not None and (refusal := _refusal(seconds)):
            return refusal
        length_s = None if seconds is None else float(seconds)
        done = await self._change(command, TimerChange(action="snooze", seconds=length_s))
        if done.error is not None:
            raise EngineError(done.error)
        self.ringing.silenced(command.site_id)
        left = [timer.left_s for timer in done.timers] or ([length_s] if length_s else [])
        return f"Okay, again in {spoken_duration(min(left))}." if left else phrases.OKAY

    async def cancel_due(self, command: Command) -> str:
        """Cancel alarms or reminders."""
        kind: TimerKind = "alarm" if command.name.startswith("alarm") else "reminder"
        slots = command.slots
        fits = [timer for timer in await self._query(command, kind) if self._fits(timer, slots)]
        if not fits:
            return _none(kind)
        if len(fits) > 1 and "every" not in slots and not {"at", "day", "text"} & slots.keys():
            return _which_one(fits)
        selector = TimerSelector(ids=tuple(timer.id for timer in fits), everywhere=True)
        order = TimerChange(action="cancel", which=selector, every=True)
        done = await self._change(command, order)
        return _told(done, kind) or _changed(done, "cancel")

    def _fits(self, timer: Timer, slots: dict[str, str]) -> bool:
        """Whether an alarm or reminder is one that was meant."""
        if at := slots.get("at"):
            hours, minutes = (int(part) for part in at.rstrip("?").split(":"))
            late = (hours + 12) % 24
            meant = {f"{hours:02d}:{minutes:02d}"}
            meant |= {f"{late:02d}:{minutes:02d}"} if at.endswith("?") else set()
            if timer.at is None or timer.at[:5] not in meant:
                return False
        if slots.get("day"):
            now = self._asking.clock()
            on = day_of({"day": slots["day"]}, "23:59", now)
            due = now.timestamp() + timer.left_s
            if now.fromtimestamp(due, tz=now.tzinfo).date().isoformat() != on:
                return False
        return slots.get("text", "").casefold() in timer.text.casefold()

    async def _change(self, command: Command, order: TimerChange) -> TimerDone:
        return await self._asking.request(TIMER_CHANGE, order, command)

    # Telling

    async def timers(self, command: Command) -> list[Timer]:
        """Return the timers that are meant."""
        return await self._query(command, "timer", _selector(command.slots, "timer"))

    async def tell_left(self, command: Command) -> str:
        """Tell how much is left."""
        timers = await self.timers(command)
        return spoken_timers(timers) if timers else _none("timer")

    async def tell_due(self, command: Command) -> str:
        """Tell which alarms or reminders there are."""
        kind: TimerKind = "alarm" if command.name.startswith("alarm") else "reminder"
        timers = await self._query(command, kind)
        return spoken_list(kind, timers, self._asking.clock()) if timers else _none(kind)

    async def _query(
        self, command: Command, kind: TimerKind, which: TimerSelector | None = None
    ) -> list[Timer]:
        query = TimerQuery(which=which or TimerSelector(kind=kind))
        found = await self._asking.request(TIMER_QUERY, query, command)
        if found.error is not None:
            raise EngineError(found.error)
        return [timer for timer in found.timers if timer.state in {"running", "paused", "ringing"}]


def _selector(slots: dict[str, str], kind: TimerKind) -> TimerSelector:
    length_s = float(slots.get("length_s", 0)) or None
    return TimerSelector(kind=kind, name=slots.get("name"), length_s=length_s)


def _refusal(seconds: str) -> str:
    """Return why a timer cannot run for so long; empty if it can."""
    if float(seconds) <= 0:
        return phrases.NO_TIME
    return phrases.TOO_LONG if float(seconds) > MAX_TIMER_S else ""


def _none(kind: str) -> str:
    return f"There is no such {kind}." if kind == "reminder" else f"There is no {kind} set."


def _which_one(timers: list[Timer]) -> str:
    return f"Which one: {joined([called(timer) for timer in timers[:5]])}?"


def _told(done: TimerDone, kind: str) -> str:
    """Return the sentence for a change that was not made; empty if it was."""
    match done.error_code:
        case None if done.error is None:
            return ""
        case "not_found":
            return _none("timer" if kind == "cancel" else kind)
        case "ambiguous" if done.timers:
            return _which_one(list(done.timers))
        case _:
            raise EngineError(done.error or "the timer could not be changed")


def _changed(done: TimerDone, action: str) -> str:
    timers = done.timers
    if action == "add":
        return f"Okay. {spoken_timers(timers)}" if timers else phrases.OKAY
    what = _DONE[action]
    if len(timers) == 1:
        return f"{sentence(called(timers[0]))} is {what}."
    kind = timers[0].kind if timers else "timer"
    return f"All {len(timers)} {kind}s are {what}." if timers else phrases.OKAY
