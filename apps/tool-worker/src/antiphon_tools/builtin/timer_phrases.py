"""Timers in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from antiphon_contracts import Timer, TimerDone

from antiphon_tools.builtin.item_names import enumerated
from antiphon_tools.tool import ToolContext

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WORKDAYS = (0, 1, 2, 3, 4)
_WEEKEND = (5, 6)
_DONE = {
    "cancel": "Cancelled",
    "pause": "Paused",
    "resume": "Going on",
    "add": "Changed",
    "stop": "Stopped",
    "snooze": "Snoozed",
}


def span(seconds: float) -> str:
    """Return a time as people say it, e.g. `1 hour and 5 minutes`; two units at most."""
    left = max(0, round(seconds))
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    parts: list[str] = []
    for number, (name, length) in enumerate(units):
        count, rest = divmod(left, length)
        if count:
            parts.append(f"{count} {name}" if count == 1 else f"{count} {name}s")
            left = rest
            if len(parts) == 2 or (number == 0 and rest < units[1][1]):  # noqa: PLR2004  (two units)
                break
        elif parts:
            break  # 1 day and 3 seconds is 1 day
    return " and ".join(parts) or "0 seconds"


def phrase(timer: Timer, context: ToolContext) -> str:
    """Return what a timer is and how it stands, without a full stop."""
    called = _called(timer)
    if timer.state == "paused":
        return f"{called} is paused with {span(timer.left_s)} left"
    if timer.state == "ringing":
        return f"{called} is ringing"
    if timer.state == "missed":
        return f"{called} was missed {span(-timer.left_s)} ago"
    if timer.state in {"over", "cancelled"}:
        return f"{called} is {timer.state}"
    if timer.length_s is not None:
        return f"{called} has {span(timer.left_s)} left"
    return f"{called} is set for {_when(timer, context)}"


def sentence_of(done: TimerDone, context: ToolContext) -> str:
    """Return what became of a request as sentences."""
    if not done.timers:
        return "There was nothing to do."
    names = enumerated([_called(timer).casefold() for timer in done.timers])  # twenty at most
    head = f"{_DONE[done.action]}: {names}." if done.action in _DONE else ""
    states = [
        f"{phrase(timer, context)}."
        for timer in done.timers[:5]
        if timer.state in {"running", "paused"} and done.action not in {"stop", "cancel"}
    ]
    return " ".join([head, *states]).strip()


def _called(timer: Timer) -> str:
    if timer.kind == "reminder" and timer.text:
        return f"The reminder “{timer.text[:100]}”"
    name = f"{timer.name} " if timer.name else ""
    return f"The {name}{timer.kind}"


def _when(timer: Timer, context: ToolContext) -> str:
    now = context.clock().astimezone(context.zone)
    due = (
        datetime.fromtimestamp(timer.due, UTC).astimezone(context.zone)
        if timer.due is not None
        else now + timedelta(seconds=timer.left_s)
    )
    clock = (timer.at or f"{due:%H:%M}").removesuffix(":00") if timer.at else f"{due:%H:%M}"
    if timer.days:
        return f"{clock} {_weekdays(tuple(sorted(timer.days)))}"
    days = (due.date() - now.date()).days
    day = {0: "", 1: "tomorrow"}.get(days, f"on {due:%A} {due.day} {due:%B}")
    return f"{clock} {day}".strip()


def _weekdays(days: tuple[int, ...]) -> str:
    if len(days) == len(_DAYS):
        return "every day"
    if days == _WORKDAYS:
        return "every weekday"
    if days == _WEEKEND:
        return "at weekends"
    return f"every {enumerated([_DAYS[day] for day in days])}"
