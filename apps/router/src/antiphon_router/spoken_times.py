"""How times, durations, days and timers are spoken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from antiphon_contracts import Timer

from antiphon_router import phrases
from antiphon_router.spans.moments import WEEKDAYS

_UNITS_S = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_A_DAY_S = 86_400
_EVERY_DAY, _WEEKDAYS, _WEEKEND = tuple(range(7)), tuple(range(5)), (5, 6)
_FEW = 5


def parts_of_duration(seconds: float) -> list[tuple[int, str]]:
    """Return how many of each unit a duration has; from a day on, whole minutes are enough."""
    left = max(0, math.ceil(seconds - 0.001))
    if left >= _A_DAY_S:
        left = round(left / 60) * 60
    parts = []
    for unit_s, unit in _UNITS_S:
        many, left = divmod(left, unit_s)
        if many:
            parts.append((many, unit))
    return parts or [(0, "second")]


def spoken_duration(seconds: float) -> str:
    """Return a duration: `1 hour and 5 minutes`."""
    parts = parts_of_duration(seconds)
    return joined([f"{many} {unit}{'' if many == 1 else 's'}" for many, unit in parts])


def joined(parts: Sequence[str]) -> str:
    """Return parts as people list them: `a, b and c`."""
    if len(parts) < 2:  # noqa: PLR2004  (two are joined)
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def spoken_clock(at: str) -> str:
    """Return a time of day `HH:MM`: `7:30 in the morning`, `noon`."""
    hours, minutes = (int(part) for part in at.split(":")[:2])
    if minutes == 0 and hours in {0, 12}:
        return "noon" if hours else "midnight"
    hour = hours % 12 or 12
    time = f"{hour}:{minutes:02d}" if minutes else f"{hour} o'clock"
    return f"{time} in the {phrases.part_of_day(hours)}"


def spoken_day(day: date, today: date) -> str:
    """Return a day: `today`, `tomorrow`, `on Friday`, `on December 1st`."""
    ahead = (day - today).days
    if ahead in {0, 1}:
        return "tomorrow" if ahead else "today"
    if 0 < ahead < len(WEEKDAYS):
        return f"on {day:%A}"
    return f"on {day:%B} {phrases.ordinal(day.day)}"


def spoken_days(days: Sequence[int]) -> str:
    """Return weekdays: `every day`, `every weekday`, `every Monday and Friday`."""
    known = {_EVERY_DAY: "every day", _WEEKDAYS: "every weekday", _WEEKEND: "every weekend"}
    ordered = tuple(sorted(set(days)))
    named = joined([WEEKDAYS[day].capitalize() for day in ordered])
    return known.get(ordered, f"every {named}")


def spoken_due(timer: Timer, now: datetime) -> str:
    """Return when an alarm or reminder comes: `at 7 o'clock in the morning, tomorrow`."""
    if timer.length_s is not None or timer.at is None:
        return f"in {spoken_duration(timer.left_s)}"
    said = f"at {spoken_clock(timer.at)}"
    if timer.days:
        return f"{said}, {spoken_days(timer.days)}"
    due = now + timedelta(seconds=timer.left_s)
    return f"{said} {spoken_day(due.date(), now.date())}"


def called(timer: Timer) -> str:
    """Return what a timer is called: `the pasta timer`, `the 5 minute timer`."""
    if timer.kind == "alarm" and timer.at is not None:
        return f"the alarm at {spoken_clock(timer.at)}"
    if timer.kind == "reminder":
        return f"the reminder about {phrases.to_listener(timer.text)}" if timer.text else "it"
    if timer.name:
        return f"the {timer.name} {timer.kind}"
    if timer.length_s is None:
        return f"the {timer.kind}"
    return f"the {_as_adjective(timer.length_s)} {timer.kind}"


def _as_adjective(length_s: float) -> str:
    return (
        spoken_duration(length_s)
        .replace("minutes", "minute")
        .replace("seconds", "second")
        .replace("hours", "hour")
    )


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def spoken_timers(timers: Sequence[Timer]) -> str:
    """Return how much is left on each: `Pasta has 3 minutes and 10 seconds left.`."""
    told = [_left(timer, alone=len(timers) == 1) for timer in timers[:_FEW]]
    if len(timers) == 1:
        return f"{sentence(told[0])}."
    more = len(timers) - len(told)
    rest = [f"{more} more"] if more else []
    return f"You have {len(timers)} timers. {sentence(joined([*told, *rest]))}."


def _left(timer: Timer, *, alone: bool) -> str:
    who = timer.name or ("the timer" if alone else called(timer))
    if timer.state == "ringing":
        return f"{who} is ringing"
    left = spoken_duration(timer.left_s)
    paused = ", paused" if timer.state == "paused" else ""
    return f"{who} has {left} left{paused}"


def spoken_list(kind: str, timers: Sequence[Timer], now: datetime) -> str:
    """Return alarms or reminders, soonest first."""
    told = [_entry(timer, now) for timer in timers[:_FEW]]
    more = len(timers) - len(told)
    rest = [f"{more} more"] if more else []
    if len(timers) == 1:
        return f"You have one {kind}: {told[0]}."
    return f"You have {len(timers)} {kind}s: {joined([*told, *rest])}."


def _entry(timer: Timer, now: datetime) -> str:
    due = spoken_due(timer, now)
    if timer.kind == "reminder" and timer.text:
        return f"{phrases.to_listener(timer.text)}, {due}"
    return f"{timer.name} {due}" if timer.name else due
