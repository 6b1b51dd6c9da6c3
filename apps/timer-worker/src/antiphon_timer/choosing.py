"""Which timers are meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import time as time_of_day
from typing import Literal

from antiphon_contracts import TimerSelector

from antiphon_timer.clock import Clock
from antiphon_timer.entry import Entry, State

Action = Literal["cancel", "pause", "resume", "add", "stop", "snooze"]

STATES: dict[Action, tuple[tuple[State, ...], ...]] = {
    "cancel": (("running", "paused", "ringing"),),
    "pause": (("running",),),
    "resume": (("paused",),),
    # "Five minutes more" to what rings sets it anew, unless another still runs.
    "add": (("running", "paused"), ("ringing",)),
    "stop": (("ringing",),),
    "snooze": (("ringing",),),
}
"""In which states a timer can be meant by an action; the first that fits anything counts."""

LISTED: tuple[State, ...] = ("running", "paused", "ringing", "missed")


def soonest_first(entries: Iterable[Entry], clock: Clock) -> list[Entry]:
    """Return timers in the order in which they ring; those that are paused come last."""
    return sorted(entries, key=lambda entry: (entry.due is None, entry.left_s(clock), entry.id))


def fitting(
    entries: Iterable[Entry], which: TimerSelector, site_id: str, states: Sequence[State]
) -> list[Entry]:
    """Return the timers that a selector means, if they are in one of the states.

    Args:
        entries: among these.
        which: the selector.
        site_id: where it was said.
        states: see above.
    """
    return [entry for entry in entries if entry.state in states and _fits(entry, which, site_id)]


def meant(
    entries: Sequence[Entry], which: TimerSelector, site_id: str, action: Action
) -> list[Entry]:
    """Return the timers that an action can mean."""
    for states in STATES[action]:
        found = fitting(entries, which, site_id, states)
        if found:
            return found
    return []


def _fits(entry: Entry, which: TimerSelector, site_id: str) -> bool:
    is_here = which.everywhere or entry.site_id == site_id
    return (
        (entry.id in which.ids if which.ids else is_here)
        and which.kind in {None, entry.kind}
        and (which.name is None or _plain(which.name) == _plain(entry.name))
        and (which.at is None or time_of_day.fromisoformat(which.at) == entry.at)
        and (
            which.length_s is None
            or (entry.length_s is not None and abs(entry.length_s - which.length_s) < 0.5)  # noqa: PLR2004  (half a second)
        )
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
