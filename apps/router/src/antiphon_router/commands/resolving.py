"""Resolving: from what people say of a time to the time that they mean."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from antiphon_contracts import EngineError

from antiphon_router.spans.moments import WEEKDAYS

HALF_DAY = 12
RISING = range(4, 12)
"""An alarm at one of these hours is in the morning, unless it is said or obvious otherwise."""
WORKING = range(7, 12)
"""A reminder on another day at one of these hours is in the morning; others are later."""


def clock_of(slots: dict[str, str], kind: str, now: datetime) -> str:
    """Return the time of day that is meant, `HH:MM`.

    `7:30?` is a time of which nobody said whether it is in the morning. On another day, or
    again and again, an alarm from 4 to 11 and a reminder from 7 to 11 is in the morning, any other
    later. Today it is what comes next; but an alarm that is set after noon for 4 to 11 is for the
    morning.
    """
    at = slots["at"]
    if not at.endswith("?"):
        return at
    hours, minutes = (int(part) for part in at.rstrip("?").split(":"))
    hours %= HALF_DAY
    mornings = RISING if kind == "alarm" else WORKING
    is_other_day = bool(slots.get("days")) or slots.get("day", "today") != "today"
    if is_other_day or (kind == "alarm" and now.hour >= HALF_DAY and "day" not in slots):
        is_early = hours in mornings
    else:
        is_early = _comes_first(hours, minutes, now)
    return f"{hours if is_early else hours + HALF_DAY:02d}:{minutes:02d}"


def _comes_first(hours: int, minutes: int, now: datetime) -> bool:
    """Whether the morning's comes before the evening's, seen from now."""
    early, late = time(hours, minutes), time(hours + HALF_DAY, minutes)
    if now.time() < early:
        return True
    return now.time() >= late


def day_of(slots: dict[str, str], clock: str, now: datetime) -> str | None:
    """Return the date that is meant, `YYYY-MM-DD`; None is the next time that it is `clock`.

    Raises:
        EngineError: there is no such day, or the time has passed; a sentence for people.
    """
    day = slots.get("day", "")
    if not day:
        return None
    today = now.date()
    at = time.fromisoformat(clock)
    if day in WEEKDAYS:
        ahead = (WEEKDAYS.index(day) - today.weekday()) % 7
        if ahead == 0 and at <= now.time():
            ahead = 7
        return (today + timedelta(days=ahead)).isoformat()
    if "-" in day:
        return _date_of(day, at, now).isoformat()
    found = today + timedelta(days={"today": 0, "tomorrow": 1, "overmorrow": 2}[day])
    if found == today and at <= now.time():
        msg = "that time has already passed today"
        raise EngineError(msg)
    return found.isoformat()


def _date_of(day: str, at: time, now: datetime) -> date:
    month, number = (int(part) for part in day.split("-"))
    for year in (now.year, now.year + 1):
        try:
            found = date(year, month, number)
        except ValueError as error:
            msg = "there is no such day"
            raise EngineError(msg) from error
        if datetime.combine(found, at) > now.replace(tzinfo=None):
            return found
    msg = "there is no such day"
    raise EngineError(msg)


def weekdays_of(slots: dict[str, str]) -> tuple[int, ...]:
    """Return the weekdays on which it comes again."""
    return tuple(int(day) for day in slots.get("days", "").split(",") if day)


def weather_day(day: str, now: datetime) -> str:
    """Return a day as the weather tool wants it: `today`, `tomorrow` or a date."""
    if day in {"today", "tomorrow"}:
        return day
    return day_of({"day": day}, "23:59", now) or day
