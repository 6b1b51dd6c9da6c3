"""Timers, alarms and reminders from the command line."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from antiphon_contracts import (
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    ConfigError,
    EngineError,
    RequestTopic,
    Timer,
    TimerChange,
    TimerDone,
    TimerQuery,
    TimerSelector,
    TimerSet,
)
from antiphon_runtime import Bus
from pydantic import ValidationError
from rich.console import Console

from antiphon.durations import clock_face, parse_duration
from antiphon.house import client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
ID_CHARS = 6
"""So many of an id's last characters are shown, and are enough to name it."""

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (TIMER_SET, TIMER_CHANGE, TIMER_QUERY)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Action = Literal["cancel", "pause", "resume", "add", "stop", "snooze"]

_TIME_OF_DAY = re.compile(r"(\d{1,2})(:\d\d)(:\d\d)?")


@asynccontextmanager
async def _timers(broker: str | None) -> AsyncIterator[Bus]:
    bus = client_bus(find_broker(broker))
    bus.install(requests=REQUESTS)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        yield bus


def parse_days(text: str) -> tuple[int, ...]:
    """Return the weekdays in `mon,wed`, `mon-fri`, `daily`, `weekdays` or `weekend`; 0 is Monday.

    Raises:
        ConfigError: it names none.
    """
    days: set[int] = set()
    words = {"daily": "mon-sun", "weekdays": "mon-fri", "weekend": "sat,sun"}
    lower = text.lower().strip()
    for part in words.get(lower, lower).split(","):
        first, _, last = (name.strip()[:3] for name in part.partition("-"))
        if first not in DAYS or (last and last not in DAYS):
            msg = "days are written like mon,wed or mon-fri, or daily, weekdays, weekend"
            raise ConfigError(msg)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {day % len(DAYS) for day in range(begin, end + 1 + 7 * (end < begin))}
    return tuple(sorted(days))


def asked_for(
    when: str, *, kind: str | None, days: str | None, text: str, **fields: Any
) -> TimerSet:
    """Return what is to be set.

    Args:
        when: a length of time (`5m`) or a time of day (`7:30`).
        kind: as in the contract; None is what fits: a reminder if there is a text, an alarm if
            there is a time of day.
        days: weekdays, see `parse_days`.
        text: what a reminder says.
        **fields: of `TimerSet`.

    Raises:
        ConfigError: something in it cannot be read.
    """
    found = _TIME_OF_DAY.fullmatch(when.strip())
    given: dict[str, Any] = {"text": text, **fields}
    if found is not None:
        given["at"] = f"{int(found[1]):02}{found[2]}{found[3] or ''}"
    else:
        given["after_s"] = parse_duration(when)
    if days:
        given["days"] = parse_days(days)
    given["kind"] = kind or ("reminder" if text else "alarm" if found else "timer")
    try:
        return TimerSet.model_validate(given)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        raise ConfigError(_WRONG.get(field, f"{field} is too long, or wrong")) from None


_WRONG = {
    "kind": "the kind is timer, alarm or reminder",
    "after_s": "a timer runs for more than 0 s and less than 366 days",
    "at": "a time of day is written like 7:30 or 19:05:00",
    "on": "a date is written like 2026-12-24",
}


async def set_timer(asked: TimerSet, *, site: str, json: bool, broker: str | None) -> None:
    """Set a timer and print it.

    Raises:
        BusError: there is no broker or no timer worker.
        EngineError: it was refused; the text says why.
    """
    async with _timers(broker) as bus:
        done = await bus.request(TIMER_SET, asked, timeout_s=ANSWER_TIMEOUT_S, site_id=site)
    _show(done, json=json)


async def show_list(*, site: str | None, json: bool, broker: str | None) -> None:
    """Print the timers, soonest first.

    Args:
        site: of this site; None is all.
        json: as JSON.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no timer worker.
    """
    async with _timers(broker) as bus:
        timers = await _all(bus, site)
    if json:
        print_json([timer.model_dump() for timer in timers])
        return
    console = Console()
    if not timers:
        print_line(console, "no timers are set")
    for timer in timers:
        print_line(console, line_of(timer))


async def _all(bus: Bus, site: str | None) -> Sequence[Timer]:
    query = TimerQuery(which=TimerSelector(everywhere=site is None))
    found = await bus.request(
        TIMER_QUERY, query, timeout_s=ANSWER_TIMEOUT_S, site_id=site or "default"
    )
    if found.error is not None:
        raise EngineError(found.error)
    return found.timers


async def change(
    action: Action,
    which: str | None = None,
    *,
    every: bool = False,
    seconds: float | None = None,
    site: str | None = None,
    json: bool = False,
    broker: str | None = None,
) -> None:
    """Change timers and print them.

    Args:
        action: what is done.
        which: a name, or the end of an id; None is all that the action can mean.
        every: whether all that fit are meant.
        seconds: for `add` and `snooze`.
        site: only those of this site; None is all sites.
        json: as JSON.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no timer worker.
        EngineError: nothing fits, or too much; the text says which.
    """
    async with _timers(broker) as bus:
        selector = TimerSelector(everywhere=site is None)
        if which is not None:
            named = which.casefold()
            ids = [
                timer.id
                for timer in await _all(bus, site)
                if timer.name.casefold() == named or timer.id.endswith(named)
            ]
            if not ids:
                msg = "there is no such timer: see `antiphon timers`"
                raise EngineError(msg)
            selector = TimerSelector(ids=tuple(ids))
        order = TimerChange(action=action, which=selector, every=every, seconds=seconds)
        done = await bus.request(
            TIMER_CHANGE, order, timeout_s=ANSWER_TIMEOUT_S, site_id=site or "default"
        )
    _show(done, json=json)


def _show(done: TimerDone, *, json: bool) -> None:
    if done.error is not None:
        for timer in done.timers:
            print_line(Console(stderr=True), line_of(timer))
        raise EngineError(done.error)
    if json:
        print_json([timer.model_dump() for timer in done.timers])
        return
    for timer in done.timers:
        print_line(Console(), line_of(timer))


def line_of(timer: Timer) -> str:
    """Return a timer as one line for people."""
    parts = [timer.id[-ID_CHARS:], timer.state, f"{clock_face(timer.left_s)} left"]
    if timer.left_s < 0:
        parts[-1] = f"{clock_face(-timer.left_s)} ago"
    if timer.due is not None:
        parts.append(time.strftime("%a %H:%M:%S", time.localtime(timer.due)))
    parts += [" ".join(filter(None, (timer.name, timer.kind))), f"at {timer.site_id}"]
    if timer.days:
        parts.append(",".join(DAYS[day] for day in timer.days))
    if timer.text:
        parts.append(timer.text)
    return "  ".join(parts)
