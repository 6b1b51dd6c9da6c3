"""Lengths of time as people type them: `90s`, `5m`, `1h30m`."""

from __future__ import annotations

import re

from antiphon_contracts import ConfigError

_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PART = r"(?:\d+(?:\.\d+)?[dhms])"
_WHOLE = re.compile(rf"(?P<sign>[+-]?)(?P<parts>{_PART}+)")
_PARTS = re.compile(r"(\d+(?:\.\d+)?)([dhms])")

RULE = "a length of time is written like 90s, 5m or 1h30m"


def parse_duration(text: str) -> float:
    """Return the seconds of a length of time such as `1h30m`; below 0 after a minus.

    Raises:
        ConfigError: it is none.
    """
    found = _WHOLE.fullmatch(text.strip().lower().replace(" ", ""))
    units = [] if found is None else [unit for _, unit in _PARTS.findall(found["parts"])]
    if found is None or units != sorted(set(units), key="dhms".index):
        raise ConfigError(RULE)
    seconds = sum(float(count) * _UNITS_S[unit] for count, unit in _PARTS.findall(found["parts"]))
    return -seconds if found["sign"] == "-" else seconds


def clock_face(seconds: float) -> str:
    """Return a length of time as `M:SS`, `H:MM:SS` or `3 d 4:05:06`; below 0 after a minus."""
    whole = round(abs(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    face = f"{hours}:{minutes:02}:{left:02}" if days or hours else f"{minutes}:{left:02}"
    return ("-" if seconds < 0 and whole else "") + (f"{days} d " if days else "") + face
