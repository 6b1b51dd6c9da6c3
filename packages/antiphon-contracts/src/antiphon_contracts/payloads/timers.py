"""Payloads of timers, alarms and reminders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several

TimerKind = Literal["timer", "alarm", "reminder"]

MAX_TIMER_S = 366 * 86_400.0
MAX_TIMERS = 500
"""How many may be set in the whole house."""

_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"
_DATE = r"^\d{4}-\d\d-\d\d$"

Weekday = Annotated[int, Field(ge=0, le=6)]


class TimerSet(Payload):
    """Sets a timer, an alarm or a reminder at the message's site.

    Either `after_s` or `at` is given.

    Attributes:
        kind: a `timer` runs for a while, an `alarm` rings at a time of day, a `reminder` says
            something, after a while or at a time of day.
        name: what people call it, e.g. "pasta"; may be empty.
        text: what a reminder says.
        after_s: in so many seconds.
        at: local time of day, `HH:MM` or `HH:MM:SS`.
        on: local date, `YYYY-MM-DD`; None is the next time that it is `at` o'clock.
        days: weekdays on which it comes again, 0 is Monday; none is once. Needs `at`.
        zone: IANA time zone of `at` and `on`; None is the house's.
    """

    kind: TimerKind = "timer"
    name: str = Field(default="", max_length=100)
    text: str = Field(default="", max_length=1000)
    after_s: float | None = Field(default=None, gt=0, le=MAX_TIMER_S)
    at: str | None = Field(default=None, pattern=_CLOCK)
    on: str | None = Field(default=None, pattern=_DATE)
    days: Several[Weekday] = Field(default=(), max_length=7)
    zone: str | None = Field(default=None, max_length=64)


class TimerSelector(Payload):
    """Which timers are meant; what is given must all fit.

    Attributes:
        ids: by id, at any site.
        kind: of this kind.
        name: called so, whatever the case.
        length_s: that were set for so many seconds.
        at: that ring at this local time of day.
        everywhere: at every site, not only the message's.
    """

    ids: Several[str] = Field(default=(), max_length=MAX_TIMERS)
    kind: TimerKind | None = None
    name: str | None = Field(default=None, max_length=100)
    length_s: float | None = Field(default=None, gt=0, le=MAX_TIMER_S)
    at: str | None = Field(default=None, pattern=_CLOCK)
    everywhere: bool = False


class TimerChange(Payload):
    """Changes timers.

    Attributes:
        action: `add` changes what is left by `seconds`; `stop` silences what rings; `snooze` has
            what rings ring again after `seconds`, or the house's own snooze.
        which: the timers that are meant.
        every: whether all that fit are meant; without it, one must fit, and for `stop` and
            `snooze` all that ring are meant.
        seconds: for `add` (below 0 takes away) and `snooze`.
    """

    action: Literal["cancel", "pause", "resume", "add", "stop", "snooze"]
    which: TimerSelector = TimerSelector()
    every: bool = False
    seconds: float | None = Field(default=None, ge=-MAX_TIMER_S, le=MAX_TIMER_S)


class TimerQuery(Payload):
    """Asks which timers there are, soonest first.

    Attributes:
        which: the timers that are meant.
    """

    which: TimerSelector = TimerSelector()


class Timer(Payload):
    """One timer, alarm or reminder.

    Attributes:
        id: its id.
        kind: what it is.
        site_id: where it was set, and rings.
        name: what people call it; may be empty.
        text: what a reminder says.
        state: `missed`: nobody was there to ring it in time; `over`: it rang and was stopped, or
            rang out; `cancelled`: before it rang.
        left_s: seconds until it rings; below 0, since when it was due; while paused, what is left.
        due: when it rings, in seconds since the epoch; None while paused.
        length_s: for how long it was set, with what was added since; None if for a time of day.
        at: its local time of day, `HH:MM:SS`; None if it was set for a while.
        days: weekdays on which it comes again, 0 is Monday.
        zone: its IANA time zone; empty is the system's.
    """

    id: str
    kind: TimerKind
    site_id: str
    name: str = ""
    text: str = ""
    state: Literal["running", "paused", "ringing", "missed", "over", "cancelled"]
    left_s: float
    due: float | None = None
    length_s: float | None = None
    at: str | None = None
    days: Several[int] = ()
    zone: str = ""


class TimerDone(Payload):
    """What became of a request to set or change timers.

    Attributes:
        action: `set`, or the action of the change.
        timers: those that were set or changed; with the error `ambiguous`, those that fit.
        error: one sentence for people.
        error_code: machine-readable kind of the error.
    """

    action: str
    timers: Several[Timer] = ()
    error: str | None = None
    error_code: Literal["not_found", "ambiguous", "bad_time", "too_many", "failed"] | None = None


class TimerList(Payload):
    """The timers that fit, soonest first.

    Attributes:
        timers: running, paused, ringing and lately missed ones.
        error: one sentence for people.
    """

    timers: Several[Timer] = ()
    error: str | None = None


class TimerEvent(Payload):
    """Something happened to a timer of the site.

    Attributes:
        event: `missed` is told at the start, of what was due while nobody was there to ring.
        timer: as it is now.
    """

    event: Literal[
        "set",
        "changed",
        "paused",
        "resumed",
        "ringing",
        "snoozed",
        "stopped",
        "cancelled",
        "missed",
    ]
    timer: Timer
