"""Durations: how long, as people say it, once number words are digits."""

from __future__ import annotations

import re

_UNITS_S = {
    "second": 1.0,
    "sec": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "hr": 3600.0,
    "day": 86_400.0,
    "week": 604_800.0,
}
_FRACTIONS = {"half": 0.5, "quarter": 0.25, "third": 1 / 3, "3 quarters": 0.75}
_WORDS = {"a": 1.0, "an": 1.0, "one": 1.0, "another": 1.0, "zero": 0.0, "a couple of": 2.0}

_UNIT = r"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?)\b"
_NUMBER = r"\d++(?:\.\d++)?+"
_AND_A_PART = r"(?: and (?:a |1 )?(?P<{}>half|quarter))?"
_PIECE = re.compile(
    rf"\b(?:(?P<fraction>half|3 quarters|(?:a |1 )?quarter|(?:a |1 )?third)(?: of)?(?: an?| 1)?"
    rf"|(?:another )?(?P<number>{_NUMBER})(?P<more> more)?{_AND_A_PART.format('before')}"
    rf"|(?P<word>another|an|a couple of|a|one|zero))[ -]?(?:more )?{_UNIT}"
    rf"{_AND_A_PART.format('after')}",
    re.IGNORECASE,
)
_SHORT = re.compile(
    rf"\b(?P<number>{_NUMBER})(?P<unit>h|s)\b|\b(?P<least>{_NUMBER})m(?:in)?\b", re.IGNORECASE
)
_BETWEEN = re.compile(r",?(?: and)? |, ?| ?(?=\d)", re.IGNORECASE)
_MINUTES_AFTER_HOURS = re.compile(r"(?: and)? (\d{1,2})\b(?!\.\d|:|[ -]?[a-z%])", re.IGNORECASE)


def duration_s(text: str, begin: int = 0) -> tuple[float, int, int] | None:
    """Return the first duration in `text`, in seconds, and where it begins and ends.

    Number words must be digits already: `1 and a half hours`, `2 hours and 5 minutes`, `half an
    hour`, `a minute and a half`, `2 hours 30`.

    Args:
        text: what was said.
        begin: where to look from.
    """
    first = _PIECE.search(text, begin) or _SHORT.search(text, begin)
    if first is None:
        return None
    total_s, end = _seconds(first), first.end()
    unit = _unit_s(first)
    while (gap := _BETWEEN.match(text, end)) is not None:
        piece = _PIECE.match(text, gap.end()) or _SHORT.match(text, gap.end())
        if piece is None or _unit_s(piece) >= unit:
            break  # a smaller unit follows a larger one: 5 minutes and 10 minutes are two
        total_s, end, unit = total_s + _seconds(piece), piece.end(), _unit_s(piece)
    if unit == _UNITS_S["hour"] and (minutes := _MINUTES_AFTER_HOURS.match(text, end)):
        total_s, end = total_s + 60 * int(minutes.group(1)), minutes.end()
    return total_s, first.start(), end


def _unit_s(piece: re.Match[str]) -> float:
    parts = piece.groupdict()
    if parts.get("least"):
        return _UNITS_S["minute"]
    unit = parts["unit"].lower()
    return _UNITS_S[{"h": "hour", "s": "second"}.get(unit, unit.rstrip("s"))]


def _seconds(piece: re.Match[str]) -> float:
    parts = piece.groupdict()
    unit_s = _unit_s(piece)
    if parts.get("least"):
        return float(parts["least"]) * unit_s
    if fraction := parts.get("fraction"):
        many = _FRACTIONS[fraction.lower().removeprefix("a ").removeprefix("1 ")]
    elif word := parts.get("word"):
        many = _WORDS[word.lower()]
    else:
        many = float(parts["number"])
    for part in (parts.get("before"), parts.get("after")):
        many += _FRACTIONS[part.lower()] if part else 0.0
    return many * unit_s
