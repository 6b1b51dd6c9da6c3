"""Moments: times of day and days, as people say them, once number words are digits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}

NOON, EVENING_BEGINS, HALF_DAY, DAY = 12, 6, 12, 24

PART_OF_DAY = {
    "morning": "09:00",
    "afternoon": "15:00",
    "evening": "19:00",
    "night": "20:00",
    "tonight": "20:00",
    "": "09:00",
}
"""When people mean who name no time of day."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of day, a day, or both.

    Attributes:
        at: `HH:MM`; `H:MM?` if it was not said which half of the day; empty if no time was said.
        day: `today`, `tomorrow`, `overmorrow`, a weekday, or `MM-DD`; empty is the next time.
        days: weekdays on which it comes again, 0 is Monday.
        part: the part of the day that was said, e.g. `morning`.
    """

    at: str = ""
    day: str = ""
    days: tuple[int, ...] = ()
    part: str = ""

    @property
    def usual_at(self) -> str:
        """The time of day; where none was said, the usual one of that part of the day."""
        return self.at or PART_OF_DAY[self.part]

    @property
    def settled(self) -> Moment:
        """The same, its time in the part of the day that was said apart from it."""
        if not (self.at.endswith("?") and self.part):
            return self
        return replace(self, at=_in_part(self.at.rstrip("?"), self.part))

    def slots(self) -> dict[str, str]:
        """Return it as an intent's slots."""
        days = ",".join(str(day) for day in self.days)
        return {k: v for k, v in (("at", self.at), ("day", self.day), ("days", days)) if v}


_DAY_NAMES = "|".join(f"{day}s?" for day in WEEKDAYS)
_MONTH_NAMES = "|".join(_MONTHS)
_HALF = r"(?P<half>a\.?m\b\.?|p\.?m\b\.?)"
_UNIT = r"(?:second|sec|minute|min|hour|hr|day|week)s?\b"
_SEVERAL = rf"(?:{_DAY_NAMES})(?:(?:,? and |, ?| )(?:every )?(?:{_DAY_NAMES}))*"
_CLOCK = re.compile(
    r"(?:at |by |around |for |from )?(?:exactly )?(?:"
    r"(?P<part_past>half|(?:a |1 )?quarter|\d{1,2}(?: minutes?)?) "
    r"(?P<side>past|after|to|before|till) (?P<part_hour>\d{1,2})(?:[ ]?o'?clock)?"
    r"|(?P<named>noon|midday|midnight)"
    r"|half (?P<half_hour>\d{1,2})"
    rf"|(?P<hour>\d{{1,2}})(?:(?P<sign>[:.h ]| oh | 0)(?P<minute>[0-5]?\d))?(?P<clock> ?o'?clock)?"
    rf")(?![\d%:]|\.\d| ?%| per ?cent| ?(?:more )?{_UNIT})(?: ?{_HALF})?",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(?:in the (?P<in_the>morning|afternoon|evening)|at (?P<night>night)|(?P<tonight>tonight)"
    r"|this (?P<this>morning|afternoon|evening))\b",
    re.IGNORECASE,
)
_DAY = re.compile(
    rf"(?:(?P<overmorrow>the day after tomorrow|day after tomorrow)|(?P<day>today|tomorrow)"
    rf"|(?:on |this |next |this coming |coming )?(?P<weekday>{'|'.join(WEEKDAYS)})"
    rf"|(?:on |for )?(?:the )?(?P<date>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH_NAMES})"
    rf"|(?:on )?(?P<us_month>{_MONTH_NAMES}) (?:the )?(?P<us_date>\d{{1,2}}|{'|'.join(_ORDINALS)})"
    r"(?:st|nd|rd|th)?)\b(?: (?P<part>morning|afternoon|evening|night)\b)?",
    re.IGNORECASE,
)
_DAYS = re.compile(
    r"(?:(?P<daily>every ?day|daily|each day|every (?P<part>morning|afternoon|evening|night))"
    r"|(?P<weekdays>(?:every|each) week ?day|(?:on |at )?week ?days"
    r"|week ?day(?= (?:alarm|wake|reminder))"
    r"|(?:every )?monday (?:to|through) friday)"
    r"|(?P<weekends>every weekend|(?:on |at )?(?:the )?weekends?)"
    rf"|(?:every|each|on) (?P<several>{_SEVERAL})"
    rf"|(?P<plural>(?:{'|'.join(day + 's' for day in WEEKDAYS)})))\b"
    r"(?: (?P<late_part>mornings?|afternoons?|evenings?|nights?)\b)?",
    re.IGNORECASE,
)
_JOIN = re.compile(r",? |, ?", re.IGNORECASE)
_FOR = re.compile(r"for (?=\S)", re.IGNORECASE)


def moment_of(text: str, begin: int, *, plain_hours: bool) -> tuple[Moment, int] | None:
    """Return the moment that begins in `text` just at `begin`, and where it ends.

    Args:
        text: what was said; number words must be digits already.
        begin: where it must begin.
        plain_hours: whether `for 7` and `7 30` are times of day.
    """
    parts: dict[str, str | tuple[int, ...]] = {}
    at = begin
    while True:
        found = (
            _days_at(text, at, parts)
            or _day_at(text, at, parts)
            or _part_at(text, at, parts)
            or _clock_at(text, at, parts, plain_hours=plain_hours)
        )
        if not found:
            break
        end = at = found
        gap = _JOIN.match(text, at)
        if gap is None:
            break
        at = gap.end()
    if not parts:
        return None
    return _moment(parts), end


def _moment(parts: dict[str, str | tuple[int, ...]]) -> Moment:
    part, clock = str(parts.get("part", "")), str(parts.get("clock", ""))
    day, days = str(parts.get("day", "")), parts.get("days", ())
    days = days if isinstance(days, tuple) else ()
    return Moment(at=clock, day=day, days=days, part=part).settled


def _in_part(clock: str, part: str) -> str:
    """Return `H:MM` in a part of the day as `HH:MM`."""
    hours, minutes = (int(number) for number in clock.split(":"))
    hours %= HALF_DAY
    is_late = part in {"afternoon", "evening", "tonight"} or (
        part == "night" and hours >= EVENING_BEGINS
    )
    if part in {"tonight", "night"} and clock.startswith("12"):
        is_late = False
    return f"{hours + (HALF_DAY if is_late else 0):02d}:{minutes:02d}"


def _clock_at(
    text: str, at: int, parts: dict[str, str | tuple[int, ...]], *, plain_hours: bool
) -> int | None:
    found = _CLOCK.match(text, at)
    if found is None or "clock" in parts:
        return None
    part = parts.get("part", "")
    clock = _clock(found, is_said=bool(part) or "day" in parts or "days" in parts or plain_hours)
    before = found.group().lower()
    if clock is None or (before.startswith(("for ", "from ")) and not plain_hours):
        return None
    parts["clock"] = clock
    return found.end()


def _clock(found: re.Match[str], *, is_said: bool) -> str | None:
    """Return `HH:MM` or `H:MM?`; None if it is no time of day.

    Args:
        found: what looks like one.
        is_said: whether a bare number is one.
    """
    if named := found["named"]:
        return "00:00" if named.lower() == "midnight" else "12:00"
    half = (found["half"] or "").lower().replace(".", "")
    hours, minutes, is_clear = _numbers(found)
    at_it = found.group().lower().startswith(("at ", "by ", "around "))
    if not (is_clear or half or at_it or is_said):
        return None
    if hours > DAY or minutes > 59 or (half and not 1 <= hours <= HALF_DAY):  # noqa: PLR2004  (minutes of an hour)
        return None
    if half:
        late = HALF_DAY if half == "pm" else 0
        return f"{hours % HALF_DAY + late:02d}:{minutes:02d}"
    written = found["hour"] or ""
    if hours > HALF_DAY or hours == 0 or (written.startswith("0") and found["minute"]):
        return f"{hours % DAY:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}?"


def _numbers(found: re.Match[str]) -> tuple[int, int, bool]:
    """Return hours, minutes, and whether they can be nothing but a time of day."""
    if past := found["part_past"]:
        said = past.lower().removeprefix("a ").removeprefix("1 ")
        minutes = {"half": 30, "quarter": 15}.get(said) or int(said.split()[0])
        hours = int(found["part_hour"])
        if found["side"].lower() in {"to", "before", "till"}:
            hours, minutes = (hours - 1) or HALF_DAY, 60 - minutes
        return hours, minutes, not said.isdigit()
    if found["half_hour"]:
        return int(found["half_hour"]), 30, True
    sign = found["sign"]
    is_clear = sign == ":" or found["clock"] is not None
    return int(found["hour"]), int(found["minute"] or 0), is_clear


def _part_at(text: str, at: int, parts: dict[str, str | tuple[int, ...]]) -> int | None:
    found = _PART.match(text, at)
    if found is None or "part" in parts or (found["night"] and "clock" not in parts):
        return None
    part = found["in_the"] or found["night"] or found["tonight"] or found["this"]
    parts["part"] = part.lower()
    if found["tonight"] or found["this"]:
        parts.setdefault("day", "today")
    return found.end()


def _day_at(text: str, at: int, parts: dict[str, str | tuple[int, ...]]) -> int | None:
    start = at
    if (before := _FOR.match(text, at)) is not None:
        start = before.end()
    found = _DAY.match(text, start)
    if found is None or "day" in parts or "days" in parts:
        return None
    if found["overmorrow"]:
        parts["day"] = "overmorrow"
    elif found["day"] or found["weekday"]:
        parts["day"] = (found["day"] or found["weekday"]).lower()
    else:
        month = _MONTHS.index((found["month"] or found["us_month"]).lower()) + 1
        said = (found["date"] or found["us_date"]).lower()
        parts["day"] = f"{month:02d}-{_ORDINALS.get(said) or int(said):02d}"
    if found["part"] and "part" not in parts:
        parts["part"] = found["part"].lower()
    return found.end()


def _days_at(text: str, at: int, parts: dict[str, str | tuple[int, ...]]) -> int | None:
    found = _DAYS.match(text, at)
    if found is None or "day" in parts or "days" in parts:
        return None
    if found["daily"]:
        days: tuple[int, ...] = tuple(range(7))
    elif found["weekdays"]:
        days = tuple(range(5))
    elif found["weekends"]:
        days = (5, 6)
    else:
        named = (found["several"] or found["plural"]).lower()
        once = found["several"] and found.group().lower().startswith("on")
        if once and not re.search(r"days\b", named) and " and " not in named:
            return None  # `on monday` is the next one
        days = tuple(place for place, day in enumerate(WEEKDAYS) if day in named)
    parts["days"] = days
    part = found["part"] or (found["late_part"] or "").rstrip("s")
    if part and "part" not in parts:
        parts["part"] = part.lower()
    return found.end()
