"""Places: the time zone of a city or country."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

_ALSO = {
    "new york city": "America/New_York",
    "nyc": "America/New_York",
    "washington": "America/New_York",
    "boston": "America/New_York",
    "miami": "America/New_York",
    "san francisco": "America/Los_Angeles",
    "seattle": "America/Los_Angeles",
    "california": "America/Los_Angeles",
    "las vegas": "America/Los_Angeles",
    "texas": "America/Chicago",
    "houston": "America/Chicago",
    "dallas": "America/Chicago",
    "india": "Asia/Kolkata",
    "mumbai": "Asia/Kolkata",
    "delhi": "Asia/Kolkata",
    "new delhi": "Asia/Kolkata",
    "bangalore": "Asia/Kolkata",
    "beijing": "Asia/Shanghai",
    "china": "Asia/Shanghai",
    "japan": "Asia/Tokyo",
    "osaka": "Asia/Tokyo",
    "kyoto": "Asia/Tokyo",
    "england": "Europe/London",
    "scotland": "Europe/London",
    "the uk": "Europe/London",
    "britain": "Europe/London",
    "edinburgh": "Europe/London",
    "manchester": "Europe/London",
    "germany": "Europe/Berlin",
    "munich": "Europe/Berlin",
    "hamburg": "Europe/Berlin",
    "frankfurt": "Europe/Berlin",
    "france": "Europe/Paris",
    "italy": "Europe/Rome",
    "milan": "Europe/Rome",
    "barcelona": "Europe/Madrid",
    "spain": "Europe/Madrid",
    "geneva": "Europe/Zurich",
    "switzerland": "Europe/Zurich",
    "austria": "Europe/Vienna",
    "south korea": "Asia/Seoul",
    "hawaii": "Pacific/Honolulu",
    "utc": "UTC",
    "greenwich": "UTC",
}
"""Places that the time zone database does not name itself."""

_AREAS = ("Europe", "America", "Asia", "Australia", "Africa", "Pacific", "Atlantic", "Indian")


@cache
def _zones() -> dict[str, str]:
    found = {
        zone.rpartition("/")[2].replace("_", " ").lower(): zone
        for zone in sorted(available_timezones(), reverse=True)
        if zone.startswith(tuple(f"{area}/" for area in _AREAS))
    }
    return found | _ALSO


def zone_of(place: str) -> str | None:
    """Return the IANA name of a place's time zone; None if the place is not known.

    The first call reads the time zone database's index, some 20 ms.
    """
    return _zones().get(place.lower().strip(" .?!,"))
