"""Timers, alarms and reminders: set, changed, asked for, and rung when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from datetime import time as time_of_day
from typing import Literal

import structlog
from antiphon_contracts import (
    MAX_TIMERS,
    TIMER_EVENT,
    ConfigError,
    EngineError,
    Message,
    TimerChange,
    TimerDone,
    TimerKind,
    TimerList,
    TimerQuery,
    TimerSet,
    new_id,
)
from antiphon_contracts.payloads.timers import MAX_TIMER_S

from antiphon_timer import phrases
from antiphon_timer.choosing import LISTED, Action, fitting, meant, soonest_first
from antiphon_timer.clock import Clock
from antiphon_timer.entry import DAY_S, DRIFT_S, Entry, Instant, instant_in
from antiphon_timer.ledger import EventName, Ledger, Write
from antiphon_timer.zones import Zone

KEPT_MISSED = 50

ErrorCode = Literal["not_found", "ambiguous", "bad_time", "too_many", "failed"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """How it rings.

    Attributes:
        ring_s: how long, by kind, in seconds.
        snooze_s: after how long what was put off rings again.
        late_s: what is later than this is not rung but told.
        zone: the house's time zone; empty is the system's.
    """

    ring_s: dict[TimerKind, float]
    snooze_s: float = 540.0
    late_s: float = 60.0
    zone: str = ""


class _Refused(Exception):  # noqa: N818  (it is an answer)
    """The request is answered with an error."""

    def __init__(self, code: ErrorCode, sentence: str, found: Sequence[Entry] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.found = found


class TimerService:
    """Does what is asked, and what time does.

    Args:
        ledger: the timers.
        clock: the time.
        rules: how it rings.
    """

    def __init__(self, ledger: Ledger, clock: Clock, rules: Rules) -> None:
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._changing = asyncio.Lock()
        self._look = asyncio.Event()
        self._offset_s: float | None = None

    # What is asked

    async def on_query(self, message: Message[TimerQuery]) -> TimerList:
        """Return the timers that are meant, soonest first."""
        found = fitting(self._ledger, message.data.which, message.site_id, LISTED)
        shown = (entry.shown(self._clock) for entry in soonest_first(found, self._clock))
        return TimerList(timers=tuple(shown))

    async def on_set(self, message: Message[TimerSet]) -> TimerDone:
        """Set a timer; asked again with the same id, the answer is the same."""
        return await self._once(message, "set", lambda write: self._set(message, write))

    async def on_change(self, message: Message[TimerChange]) -> TimerDone:
        """Change timers; asked again with the same id, the answer is the same."""
        return await self._once(
            message, message.data.action, lambda write: self._change(message, write)
        )

    async def _once(
        self,
        message: Message[TimerSet] | Message[TimerChange],
        action: str,
        work: Callable[[Write], list[Entry]],
    ) -> TimerDone:
        async with self._changing:
            try:
                known = await self._ledger.answer_to(message.id)
                if known is not None:
                    return TimerDone.model_validate_json(known)
                write = Write()
                done = self._done(action, work(write))
                write.answered = (message.id, done.model_dump_json())
                await self._ledger.write(write)
            except _Refused as refusal:
                shown = self._done(action, refusal.found)
                return shown.model_copy(update={"error": str(refusal), "error_code": refusal.code})
            except EngineError as error:
                return TimerDone(action=action, error=str(error), error_code="failed")
        self._look.set()
        return done

    def _done(self, action: str, entries: Sequence[Entry]) -> TimerDone:
        return TimerDone(action=action, timers=tuple(entry.shown(self._clock) for entry in entries))

    # Setting

    def _set(self, message: Message[TimerSet], write: Write) -> list[Entry]:
        TIMER_EVENT.at(site=message.site_id)  # refused before anything is written
        waiting = sum(entry.state != "missed" for entry in self._ledger)
        if waiting >= MAX_TIMERS:
            raise _Refused("too_many", f"There are {waiting} timers already; cancel some first.")
        asked = message.data
        entry = Entry(
            id=new_id(),
            kind=asked.kind,
            site_id=message.site_id,
            name=asked.name.strip(),
            text=asked.text.strip(),
            zone=self._rules.zone if asked.zone is None else asked.zone,
            days=tuple(sorted(set(asked.days))),
        )
        entry = entry.model_copy(update=self._time_of(asked, entry))
        write.kept.append(entry)
        write.events.append(self._ledger.event("set", entry))
        log.info("timer.set", kind=entry.kind, left_s=round(entry.left_s(self._clock)))
        return [entry]

    def _time_of(self, asked: TimerSet, entry: Entry) -> dict[str, object]:
        if (asked.after_s is None) == (asked.at is None):
            raise _Refused("bad_time", "Say either how long, or at what time of day.")
        if asked.after_s is not None:
            if asked.days or asked.on:
                raise _Refused("bad_time", "Only what has a time of day can have a day.")
            due = instant_in(self._clock, asked.after_s)
            return {"due": due, "length_s": asked.after_s}
        at = time_of_day.fromisoformat(str(asked.at))
        on = _date_of(asked)
        try:
            moment = Zone(entry.zone).next(self._clock.wall(), at, on=on, days=entry.days)
        except ConfigError:
            sentence = "I do not know that time zone; use a name such as Europe/Paris."
            raise _Refused("bad_time", sentence) from None
        except (OverflowError, ValueError):
            moment = None
        if moment is None:
            raise _Refused("bad_time", "That time is past.")
        if moment - self._clock.wall() > MAX_TIMER_S:
            raise _Refused("bad_time", "That is more than a year away.")
        return {"due": Instant(wall=moment), "at": at, "on": on}

    # Changing

    def _change(self, message: Message[TimerChange], write: Write) -> list[Entry]:
        order = message.data
        found = meant(list(self._ledger), order.which, message.site_id, order.action)
        found = soonest_first(found, self._clock)
        if not found:
            raise _Refused("not_found", _NOT_FOUND[order.action])
        if len(found) > 1 and not order.every and order.action not in {"stop", "snooze"}:
            names = ", or ".join(phrases.brief(entry) for entry in found[: phrases.MAX_LISTED])
            raise _Refused("ambiguous", f"There are {len(found)}: {names}; say which.", found)
        return [self._changed(entry, order, write) for entry in found]

    def _changed(self, entry: Entry, order: TimerChange, write: Write) -> Entry:
        if order.action == "stop":
            return self._silence(entry, write)
        after = self._after(entry, order.action, order.seconds)
        return self._note(write, after, _EVENTS[order.action])

    def _after(self, entry: Entry, action: Action, seconds: float | None) -> Entry:
        match action:
            case "pause":
                return entry.paused(self._clock)
            case "resume":
                return _on_a_day(entry.resumed(self._clock))
            case "snooze":
                if seconds is not None and seconds <= 0:
                    raise _Refused("bad_time", "Say for how long it shall be silent.")
                return entry.snoozed(self._clock, seconds or self._rules.snooze_s)
            case "add":
                return self._lengthened(entry, seconds)
            case _:
                return entry.turned(state="cancelled", ring_end=None)

    def _lengthened(self, entry: Entry, seconds: float | None) -> Entry:
        if not seconds:
            raise _Refused("bad_time", "Say how much shall be added.")
        after = entry.lengthened(self._clock, seconds)
        left_s = after.left_s(self._clock)
        if left_s <= 0:
            raise _Refused("bad_time", "There is less left than that.")
        if left_s > MAX_TIMER_S:
            raise _Refused("bad_time", "That is more than a year away.")
        return after

    def _silence(self, entry: Entry, write: Write) -> Entry:
        """End the ringing; what comes again waits for its next time."""
        again = entry.next_time(self._clock)
        after = again or entry.turned(state="over", ring_end=None)
        return self._note(write, after, "stopped")

    def _note(self, write: Write, after: Entry, event: EventName) -> Entry:
        if after.state in {"over", "cancelled"}:
            write.gone.append(after.id)
        else:
            write.kept.append(after)
        write.events.append(self._ledger.event(event, after))
        return after

    async def silence(self, entries: Sequence[Entry]) -> None:
        """End the ringing of some timers: a person has pressed a button, or heard the reminder."""
        async with self._changing:
            write = Write()
            for entry in entries:
                now = self._ledger.find(entry.id)
                if now is not None and now.state == "ringing":
                    self._silence(now, write)
            if write.events:
                await self._ledger.write_anyway(write)
        self._look.set()

    async def note_told(self, entries: Sequence[Entry]) -> None:
        """It was said that these were missed."""
        async with self._changing:
            now = [self._ledger.find(entry.id) for entry in entries]
            kept = [entry.model_copy(update={"told": True}) for entry in now if entry is not None]
            await self._ledger.write_anyway(Write(kept=kept))

    # What time does

    async def run(self) -> None:
        """Ring what is due, for ever."""
        while True:
            self._look.clear()
            await self.look()
            await self._clock.wait(self._look, self._rest_s(), by_wall=self._goes_by_wall())

    async def look(self) -> None:
        """Ring what is due now, end what has rung out, and follow a wall clock that was set."""
        async with self._changing:
            write = Write()
            write.kept += self._after_jump()
            jumped = {entry.id: entry for entry in write.kept}
            for entry in self._ledger:
                self._pass(jumped.get(entry.id, entry), write)
            if write.kept or write.gone or write.events:
                await self._ledger.write_anyway(write)

    def _pass(self, entry: Entry, write: Write) -> None:
        """Do to a timer what time does."""
        clock = self._clock
        if entry.state == "ringing":
            if entry.ring_end is None or entry.ring_end.left_s(clock) <= 0:
                self._silence(entry, write)
        elif entry.state == "running" and (left_s := entry.left_s(clock)) <= 0:
            if -left_s <= self._rules.late_s:
                after = entry.ringing(clock, self._rules.ring_s[entry.kind])
                self._note(write, after, "ringing")
                log.info("timer.rings", kind=entry.kind, late_ms=round(-left_s * 1000))
            else:
                self._miss(entry, write)

    def _miss(self, entry: Entry, write: Write) -> None:
        missed = entry.turned(state="missed")
        write.events.append(self._ledger.event("missed", missed))
        log.warning("timer.missed", kind=entry.kind, late_s=round(-entry.left_s(self._clock)))
        again = missed.next_time(self._clock)
        if again is None:
            write.kept.append(missed)
        else:
            copy = {"id": f"{missed.id}.{missed.times}", "days": ()}
            write.kept += [again, missed.model_copy(update=copy)]

    def _after_jump(self) -> list[Entry]:
        """Return what a wall clock that was set has changed; at the first look, since the last."""
        offset_s = self._clock.wall() - self._clock.boot()
        by_s = 0.0 if self._offset_s is None else offset_s - self._offset_s
        if self._offset_s is not None and abs(by_s) < DRIFT_S:
            return []
        self._offset_s = offset_s
        if by_s:
            log.info("clock.set", by_s=round(by_s, 1))
        moved = [(entry, entry.after_jump(self._clock, by_s)) for entry in self._ledger]
        return [after for before, after in moved if after is not before]

    def _rest_s(self) -> float | None:
        """Return how long nothing will happen; None is until somebody asks for something."""
        ends = [entry.ring_end for entry in self._ledger if entry.state == "ringing"]
        dues = [entry.due for entry in self._ledger if entry.state == "running"]
        lefts = [due.left_s(self._clock) for due in (*ends, *dues) if due is not None]
        return max(0.001, min(lefts)) if lefts else None

    def _goes_by_wall(self) -> bool:
        dues = [entry.due for entry in self._ledger if entry.state == "running"]
        return any(due is not None and not due.is_counted(self._clock) for due in dues)

    # What was missed

    async def start(self) -> None:
        """Ring or miss what was due meanwhile, and forget what was missed long ago."""
        await self.look()
        async with self._changing:
            missed = [entry for entry in self._ledger if entry.state == "missed"]
            missed = soonest_first(missed, self._clock)
            old = [entry for entry in missed if entry.told and entry.left_s(self._clock) < -DAY_S]
            gone = {entry.id for entry in (*old, *missed[:-KEPT_MISSED])}
            if gone:
                await self._ledger.write_anyway(Write(gone=list(gone)))

    def untold(self) -> list[Entry]:
        """Return what was missed and not told, the last first."""
        missed = [entry for entry in self._ledger if entry.state == "missed" and not entry.told]
        return soonest_first(missed, self._clock)[::-1]


def _date_of(asked: TimerSet) -> date | None:
    if asked.on is None:
        return None
    if asked.days:
        raise _Refused("bad_time", "Say either a date, or the days on which it comes again.")
    try:
        return date.fromisoformat(asked.on)
    except ValueError:
        raise _Refused("bad_time", "There is no such day.") from None


def _on_a_day(entry: Entry | None) -> Entry:
    if entry is None:
        raise _Refused("bad_time", "Its day is over; set a new one.")
    return entry


_NOT_FOUND: dict[Action, str] = {
    "cancel": "There is nothing like that to cancel.",
    "pause": "There is nothing like that to pause.",
    "resume": "Nothing like that is paused.",
    "add": "There is nothing like that to add to.",
    "stop": "Nothing is ringing.",
    "snooze": "Nothing is ringing.",
}
_EVENTS: dict[Action, EventName] = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "resumed",
    "add": "changed",
    "stop": "stopped",
    "snooze": "snoozed",
}
