"""What is said about timers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from antiphon_timer.entry import Entry

MAX_LISTED = 3
"""So many are named, the rest are counted."""

_MINUTE_S = 60.0
_HOUR_S = 3_600.0
_DAY_S = 86_400.0


def ringing(entry: Entry) -> str:
    """Return what is said when it rings; empty if nothing needs to be."""
    name = " ".join(entry.name.split())
    if entry.kind == "reminder":
        text = entry.text.strip() or name
        return f"Here is your reminder: {text}" if text else "Here is your reminder."
    if not name:
        return ""
    if entry.kind == "alarm":
        return f"This is your {name} alarm."
    return f"Your {name} timer is done."


def ringing_together(entries: Iterable[Entry]) -> str:
    """Return what is said when these ring at one site; empty if nothing needs to be."""
    texts = [text for text in map(ringing, entries) if text]
    more = len(texts) - MAX_LISTED
    if more > 0:
        texts[MAX_LISTED:] = [f"{more} more {'is' if more == 1 else 'are'} ringing."]
    return " ".join(texts)


def missed(entries: Sequence[tuple[Entry, float]]) -> str:
    """Return what is said of what was missed.

    Args:
        entries: each with the seconds since it was due.
    """
    named = [f"{_called(entry)} went off {ago(late_s)}" for entry, late_s in entries[:MAX_LISTED]]
    more = len(entries) - len(named)
    if more:
        named.append(f"{more} more {'was' if more == 1 else 'were'} missed")
    return f"While I was away, {_joined(named)}."


def _called(entry: Entry) -> str:
    name = " ".join(entry.name.split())
    if entry.kind == "reminder":
        text = entry.text.strip(" .!?\n") or name
        return f"your reminder, {text}," if text else "a reminder"
    if name:
        return f"your {name} {entry.kind}"
    if entry.at is not None:
        return f"your {entry.at:%H:%M} {entry.kind}"
    return f"your {entry.kind}"


def ago(seconds: float) -> str:
    """Return how long ago something was, as people say it."""
    if seconds < 1.5 * _MINUTE_S:
        return "a minute ago"
    if seconds < 1.5 * _HOUR_S:
        return f"{round(seconds / _MINUTE_S)} minutes ago"
    if seconds < 1.5 * _DAY_S:
        return f"{round(seconds / _HOUR_S)} hours ago"
    return f"{round(seconds / _DAY_S)} days ago"


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def brief(entry: Entry) -> str:
    """Return how a timer is told from others, e.g. "the pasta timer"."""
    if entry.name:
        return f"the {' '.join(entry.name.split())} {entry.kind}"
    if entry.at is not None:
        return f"the {entry.at:%H:%M} {entry.kind}"
    if entry.length_s is not None:
        return f"the {spoken_length(entry.length_s)} {entry.kind}"
    return f"the {entry.kind}"


def spoken_length(seconds: float) -> str:
    """Return a length as it stands before a noun, e.g. "10 minute"."""
    whole = round(seconds)
    parts = [
        f"{count} {unit}"
        for count, unit in (
            (whole // 3600, "hour"),
            (whole % 3600 // 60, "minute"),
            (whole % 60, "second"),
        )
        if count
    ]
    return " ".join(parts) or "0 second"
