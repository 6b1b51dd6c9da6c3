"""Local time: when it is so late somewhere, also on the days when the clocks are changed.

A time that does not exist on a day (the clocks skip it) is the moment right after the gap. One that
exists twice is the first of the two.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from antiphon_contracts import ConfigError

_WEEK = 8
"""Days among which each weekday, and each time of day, comes again."""


class Zone:
    """The rules of one place.

    Args:
        name: IANA name, e.g. `Europe/Paris`; empty is the system's own zone.

    Raises:
        ConfigError: there is no such zone.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._info = _info(name) if name else None

    def local(self, moment: float) -> datetime:
        """Return the local time of a moment, in seconds since the epoch; without a zone."""
        aware = datetime.fromtimestamp(moment, UTC).astimezone(self._info)
        return aware.replace(tzinfo=None)

    def moment(self, day: date, at: time_of_day) -> float:
        """Return when it is so late on a day, in seconds since the epoch."""
        wanted = datetime.combine(day, at)
        # Of a time in a gap, fold 0 counts with the rules before it and fold 1 with those after.
        moment = self._epoch(wanted)
        if self.local(moment) == wanted:
            return moment
        early, late = self._epoch(wanted.replace(fold=1)), moment
        before = self._offset_s(early)
        while late - early > 1.0:
            middle = float((early + late) // 2)
            if self._offset_s(middle) == before:
                early = middle
            else:
                late = middle
        return late

    def next(
        self,
        after: float,
        at: time_of_day,
        *,
        on: date | None = None,
        days: Collection[int] = (),
    ) -> float | None:
        """Return when it is so late next, later than `after`.

        Args:
            after: a moment, in seconds since the epoch.
            at: the time of day.
            on: only on this day.
            days: only on these weekdays, 0 is Monday; none is every day.

        Returns:
            Seconds since the epoch; None if the day is over.
        """
        first = self.local(after).date()
        choice = [on] if on else [first + timedelta(days=number) for number in range(-1, _WEEK + 1)]
        for day in choice:
            if days and day.weekday() not in days:
                continue
            moment = self.moment(day, at)
            if moment > after:
                return moment
        return None

    def _epoch(self, local: datetime) -> float:
        return local.replace(tzinfo=self._info).timestamp()

    def _offset_s(self, moment: float) -> float:
        there = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
        return (self.local(moment) - there).total_seconds()


@lru_cache(maxsize=64)
def _info(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = "there is no such time zone; write it like Europe/Paris"
        raise ConfigError(msg) from None
