"""Weather: the tool `get_weather`, and the port of weather services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

from antiphon_contracts import EngineError
from antiphon_runtime.upstream import Upstream
from pydantic import JsonValue

from antiphon_tools.lookup_sections import WeatherSection
from antiphon_tools.tool import Tool, ToolContext, ToolError, tool

_TIMEOUT_S = 15.0
_HERE = frozenset({"", "here", "home", "at home", "outside"})
_LIKELY_PERCENT = 20
_WINDY_KMH = 39.0  # from 6 on the Beaufort scale, a strong breeze


@dataclass(frozen=True, slots=True)
class Place:
    """A place on earth.

    Attributes:
        latitude: degrees north.
        longitude: degrees east.
    """

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Day:
    """The weather of a day, in degrees and km/h or mph as asked for.

    Attributes:
        date: the local date.
        words: the sky, e.g. `light rain`; empty if it is not known.
        low: lowest temperature.
        high: highest temperature.
        rain_percent: how likely it is to rain or snow; None if it is not known.
        wind: strongest wind.
    """

    date: date
    words: str
    low: float
    high: float
    rain_percent: int | None
    wind: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a service says of a place.

    Attributes:
        days: from today on, local to the place.
        now_words: the sky now.
        now: the temperature now.
    """

    days: tuple[Day, ...]
    now_words: str
    now: float


class WeatherProvider(Protocol):
    """A weather service; entry points of the group `antiphon.weather` make one.

    They are called with the section and with an `engine.JsonClient`.
    """

    @property
    def server(self) -> str:
        """What and where it is, for people."""

    async def find(self, name: str) -> Place | None:
        """Return the place of that name; None if there is none.

        Raises:
            EngineError: the service does not answer, or not as it should.
        """

    async def forecast(self, place: Place) -> Forecast:
        """Return the weather of a place, in the section's units.

        Raises:
            EngineError: see `find`.
        """


def weather_tool(
    section: WeatherSection | None, provider: WeatherProvider | None, upstream: Upstream | None
) -> Tool:
    """Return the tool; without a section it asks nobody and says what to write.

    Its results are our own words and the service's numbers, so that they are trusted.
    """

    @tool(
        "get_weather",
        "Tells the weather now, or the forecast of a day.",
        {
            "place": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "A town; leave it out for here.",
            },
            "day": {
                "type": "string",
                "pattern": r"^(today|tomorrow|\d{4}-\d\d-\d\d)$",
                "description": "today, tomorrow or YYYY-MM-DD; today if unsaid.",
            },
        },
        idempotent=True,
        timeout_s=_TIMEOUT_S,
    )
    async def get_weather(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        if section is None or provider is None or upstream is None:
            raise ToolError(
                "No weather service is set up; write [weather] and place = your town in tools.toml."
            )
        said = " ".join(arguments.get("place", "").split())
        name = section.place if said.casefold() in _HERE else said
        try:
            place = await upstream.call(lambda: provider.find(name))
            if place is None:
                raise ToolError("I do not know that place.", code="bad_arguments")
            forecast = await upstream.call(lambda: provider.forecast(place))
        except EngineError as error:
            raise ToolError(str(error)) from error
        return _told(name, forecast, arguments.get("day", "today"), section)

    return get_weather


def _told(place: str, forecast: Forecast, asked: str, section: WeatherSection) -> JsonValue:
    if not forecast.days:
        raise ToolError("The weather service has no forecast for that place.")
    today = forecast.days[0].date
    wanted = _date(asked, today)
    day = next((day for day in forecast.days if day.date == wanted), None)
    if day is None:
        last = forecast.days[-1].date
        raise ToolError(f"The forecast goes from today to {last.day} {last:%B}.")
    sentence = _sentence(place, forecast, day, section)
    return {
        "text": sentence,
        "place": place,
        "date": day.date.isoformat(),
        "low": day.low,
        "high": day.high,
        "rain_percent": day.rain_percent,
    }


def _date(asked: str, today: date) -> date:
    if asked in {"today", "tomorrow"}:
        return today + timedelta(days=int(asked == "tomorrow"))
    try:
        return date.fromisoformat(asked)
    except ValueError:
        raise ToolError("There is no such date.", code="bad_arguments") from None


def _sentence(place: str, forecast: Forecast, day: Day, section: WeatherSection) -> str:
    span = f"between {_degrees(day.low)} and {_degrees(day.high)} degrees{_extras(day, section)}"
    today = forecast.days[0].date
    if day.date == today:
        sky = f" and {forecast.now_words}" if forecast.now_words else ""
        return (
            f"In {place} it is {_degrees(forecast.now)} degrees{sky} now; today it will be {span}."
        )
    if day.date == today + timedelta(days=1):
        when = "Tomorrow"
    elif day.date < today + timedelta(days=7):
        when = f"On {day.date:%A}"
    else:
        when = f"On {day.date.day} {day.date:%B}"
    sky = f"{day.words}, " if day.words else ""
    return f"{when} in {place}: {sky}{span}."


def _extras(day: Day, section: WeatherSection) -> str:
    found = []
    if day.rain_percent is not None and day.rain_percent >= _LIKELY_PERCENT:
        found.append(f"a {day.rain_percent} percent chance of rain or snow")
    unit, per_kmh = (
        ("kilometres per hour", 1.0) if section.units == "metric" else ("miles per hour", 0.6214)
    )
    if day.wind >= _WINDY_KMH * per_kmh:
        found.append(f"wind up to {round(day.wind)} {unit}")
    return f", with {' and '.join(found)}" if found else ""


def _degrees(value: float) -> str:
    return f"minus {-round(value)}" if round(value) < 0 else str(round(value))
