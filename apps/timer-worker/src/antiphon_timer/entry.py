"""One timer as it is kept, and what time does to it."""

from __future__ import annotations

from datetime import date
from datetime import time as time_of_day
from typing import Literal

from antiphon_contracts import Timer, TimerKind
from pydantic import BaseModel, ConfigDict

from antiphon_timer.clock import Clock
from antiphon_timer.zones import Zone

State = Literal["running", "paused", "ringing", "missed", "over", "cancelled"]

DAY_S = 86_400.0
DRIFT_S = 1.0
"""So far the two clocks may part before what is kept of the wall clock's time is set right."""


class Instant(BaseModel):
    """A moment to come, by both clocks.

    Attributes:
        wall: seconds since the epoch.
        boot: the same moment by the clock that counts since the machine started; None if it is a
            time of day, which the wall clock alone knows.
        boot_id: what `boot` is counted within.
    """

    model_config = ConfigDict(frozen=True)

    wall: float
    boot: float | None = None
    boot_id: str = ""

    def is_counted(self, clock: Clock) -> bool:
        """Whether the wall clock does not matter, however it jumps."""
        return self.boot is not None and self.boot_id == clock.boot_id

    def left_s(self, clock: Clock) -> float:
        """Return the seconds until then; below 0 it is past."""
        if self.boot is not None and self.boot_id == clock.boot_id:
            return self.boot - clock.boot()
        return self.wall - clock.wall()

    def later(self, by_s: float) -> Instant:
        """Return the moment that is so much later."""
        boot = None if self.boot is None else self.boot + by_s
        return self.model_copy(update={"wall": self.wall + by_s, "boot": boot})


def instant_in(clock: Clock, seconds: float) -> Instant:
    """Return the moment in so many seconds, counted, whatever the wall clock does."""
    return Instant(wall=clock.wall() + seconds, boot=clock.boot() + seconds, boot_id=clock.boot_id)


class Entry(BaseModel):
    """One timer as it is kept.

    Attributes:
        id: its id.
        kind: what it is.
        site_id: where it was set, and rings.
        name: what people call it.
        text: what a reminder says.
        state: see the contract.
        due: when it rings, rang or was to ring; None while paused.
        paused_s: what was left when it was paused.
        length_s: for how long it was set, with what was added since; None if for a time of day.
        at: local time of day; None if it was set for a while.
        on: local date of `at`; None is the next time.
        days: weekdays on which it comes again.
        zone: IANA time zone; empty is the system's.
        ring_end: when it has rung out; None unless it rings.
        rang: when it was due last, in seconds since the epoch, if it comes again.
        times: how often something happened to it; names its events.
        told: whether it was said that it was missed.
        moved: whether what comes again was put earlier or later this once.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: TimerKind
    site_id: str
    name: str = ""
    text: str = ""
    state: State = "running"
    due: Instant | None = None
    paused_s: float = 0.0
    length_s: float | None = None
    at: time_of_day | None = None
    on: date | None = None
    days: tuple[int, ...] = ()
    zone: str = ""
    ring_end: Instant | None = None
    rang: float | None = None
    times: int = 0
    told: bool = False
    moved: bool = False

    def left_s(self, clock: Clock) -> float:
        """Return the seconds until it rings; below 0, since when it was due."""
        return self.paused_s if self.due is None else self.due.left_s(clock)

    def shown(self, clock: Clock) -> Timer:
        """Return it as others see it."""
        left_s = self.left_s(clock)
        return Timer(
            id=self.id,
            kind=self.kind,
            site_id=self.site_id,
            name=self.name,
            text=self.text,
            state=self.state,
            left_s=round(left_s, 3),
            due=None if self.due is None else round(clock.wall() + left_s, 3),
            length_s=self.length_s,
            at=None if self.at is None else self.at.isoformat(timespec="seconds"),
            days=self.days,
            zone=self.zone,
        )

    def turned(self, **fields: object) -> Entry:
        """Return it after something has happened to it."""
        return self.model_copy(update={**fields, "times": self.times + 1})

    def paused(self, clock: Clock) -> Entry:
        """Return it standing still."""
        left_s = max(0.0, self.left_s(clock))
        return self.turned(state="paused", paused_s=left_s, due=None)

    def resumed(self, clock: Clock) -> Entry | None:
        """Return it going on; None if its day is over."""
        if self.at is None:
            return self.turned(state="running", due=instant_in(clock, self.paused_s))
        moment = Zone(self.zone).next(clock.wall(), self.at, on=self.on, days=self.days)
        if moment is None:
            return None
        return self.turned(state="running", due=Instant(wall=moment), moved=False)

    def lengthened(self, clock: Clock, by_s: float) -> Entry:
        """Return it with more left, or less; what rings is set anew."""
        length_s = None if self.length_s is None else max(0.0, self.length_s + by_s)
        if self.state == "ringing":
            due = instant_in(clock, by_s)
            return self.turned(state="running", due=due, ring_end=None, length_s=length_s)
        if self.due is None:
            return self.turned(paused_s=self.paused_s + by_s, length_s=length_s)
        due = self.due.later(by_s)
        at = self.at
        if at is not None and not self.days:
            at = Zone(self.zone).local(due.wall).time()
            on = None if self.on is None else Zone(self.zone).local(due.wall).date()
            return self.turned(due=due, at=at, on=on)
        if self.days:
            # The time that it would have rung at counts as rung.
            rang = _after(self.rang, self.due.wall)
            return self.turned(due=due, rang=rang, moved=True)
        return self.turned(due=due, length_s=length_s)

    def ringing(self, clock: Clock, ring_s: float) -> Entry:
        """Return it ringing for so long from now on."""
        return self.turned(state="ringing", ring_end=instant_in(clock, ring_s))

    def snoozed(self, clock: Clock, seconds: float) -> Entry:
        """Return it silent, to ring again after a while."""
        return self.turned(state="running", due=instant_in(clock, seconds), ring_end=None)

    def next_time(self, clock: Clock) -> Entry | None:
        """Return it waiting for the next of its days; None if there is none."""
        if self.at is None or not self.days:
            return None
        rang = self.rang if self.due is None else self.due.wall
        if self.moved and rang is not None:
            rang = _after(self.rang, rang)
        moment = Zone(self.zone).next(_after(rang, clock.wall()), self.at, days=self.days)
        if moment is None:
            return None
        due = Instant(wall=moment)
        return self.turned(state="running", due=due, ring_end=None, rang=rang, moved=False)

    def after_jump(self, clock: Clock, by_s: float) -> Entry:
        """Return it as it is after the wall clock was set forward, or back (below 0)."""
        if self.state != "running" or self.due is None:
            return self
        if self.due.is_counted(clock):
            wall = clock.wall() + self.due.left_s(clock)
            if abs(wall - self.due.wall) < DRIFT_S:
                return self
            return self.model_copy(update={"due": self.due.model_copy(update={"wall": wall})})
        stays = self.due.boot is not None or (self.moved and abs(by_s) < DAY_S)
        if self.at is None or not self.days or stays:
            return self
        after = _after(self.rang, clock.wall())
        moment = Zone(self.zone).next(after, self.at, days=self.days)
        # A whole day forward: the clock was wrong, and nothing was slept through.
        if moment is None or (moment >= self.due.wall and by_s < DAY_S):
            return self
        return self.model_copy(update={"due": Instant(wall=moment), "moved": False})


def _after(rang: float | None, now: float) -> float:
    """Return after which moment the next time is looked for.

    A clock that is set back by less than a day makes nothing ring twice; what rang in a wrong year
    is forgotten.
    """
    return now if rang is None or rang - now >= DAY_S else max(now, rang)
