"""Weather by Open-Meteo, or a server of one's own that speaks like it.

Sources: Open-Meteo, "Geocoding API" and "Weather Forecast API"; the codes are those of WMO table
4677, as its documentation lists them.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from typing import Annotated

from antiphon_contracts import EngineError
from antiphon_runtime.upstream import shown
from pydantic import BaseModel, Field, JsonValue, ValidationError

from antiphon_tools.builtin.weather import Day, Forecast, Place
from antiphon_tools.engine.json_client import HttpStatusError, JsonClient
from antiphon_tools.lookup_sections import WeatherSection

MAX_PLACES = 200
_DAYS = 14
_SERVICE = "The weather service"
_CODES = {
    0: "clear",
    1: "mostly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "foggy",
    48: "freezing fog",
    51: "light drizzle",
    53: "drizzle",
    55: "heavy drizzle",
    56: "freezing drizzle",
    57: "heavy freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "freezing rain",
    67: "heavy freezing rain",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light showers",
    81: "showers",
    82: "violent showers",
    85: "snow showers",
    86: "heavy snow showers",
    95: "a thunderstorm",
    96: "a thunderstorm with hail",
    99: "a thunderstorm with heavy hail",
}
_ADJECTIVES = frozenset({0, 1, 2, 3, 45})

Degrees = Annotated[float, Field(ge=-200, le=200, allow_inf_nan=False)]


class _Found(BaseModel):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class _Search(BaseModel):
    results: list[_Found] = Field(default_factory=list, max_length=100)


class _Now(BaseModel):
    temperature_2m: Degrees
    weather_code: int | None = None


class _Daily(BaseModel):
    time: list[date] = Field(max_length=32)
    weather_code: list[int | None]
    temperature_2m_min: list[Degrees | None]
    temperature_2m_max: list[Degrees | None]
    precipitation_probability_max: list[int | None]
    wind_speed_10m_max: list[float | None]


class _Answer(BaseModel):
    current: _Now
    daily: _Daily


class OpenMeteo:
    """See `antiphon_tools.builtin.weather.WeatherProvider`.

    Args:
        settings: where it is, and the units.
        client: by which it is asked.
    """

    def __init__(self, settings: WeatherSection, client: JsonClient) -> None:
        self._settings = settings
        self._client = client
        self._places: OrderedDict[str, Place] = OrderedDict()
        self.server = f"{_SERVICE} at {shown(settings.url)}"

    async def find(self, name: str) -> Place | None:
        """See the port; a place that was found is not asked for again."""
        known = self._places.get(name.casefold())
        if known is not None:
            return known
        query = {"name": name, "count": "1", "language": "en", "format": "json"}
        answer = await self._asked(f"{self._settings.geocoding_url}/v1/search", query)
        try:
            found = _Search.model_validate(answer).results
        except ValidationError as error:
            raise _odd() from error
        if not found:
            return None
        place = Place(found[0].latitude, found[0].longitude)
        self._places[name.casefold()] = place
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)
        return place

    async def forecast(self, place: Place) -> Forecast:
        """See the port."""
        is_metric = self._settings.units == "metric"
        query = {
            "latitude": f"{place.latitude:.4f}",
            "longitude": f"{place.longitude:.4f}",
            "current": "temperature_2m,weather_code",
            "daily": "weather_code,temperature_2m_max,temperature_2m_min,"
            "precipitation_probability_max,wind_speed_10m_max",
            "temperature_unit": "celsius" if is_metric else "fahrenheit",
            "wind_speed_unit": "kmh" if is_metric else "mph",
            "timezone": "auto",
            "forecast_days": str(_DAYS),
        }
        answer = await self._asked(f"{self._settings.url.rstrip('/')}/v1/forecast", query)
        try:
            found = _Answer.model_validate(answer)
            return Forecast(
                tuple(_days(found.daily)),
                _now_words(found.current.weather_code),
                found.current.temperature_2m,
            )
        except (ValidationError, ValueError) as error:
            raise _odd() from error

    async def _asked(self, url: str, query: dict[str, str]) -> JsonValue:
        try:
            return await self._client.get(
                url, query=query, server=_SERVICE, timeout_s=self._settings.timeout_s
            )
        except HttpStatusError as error:
            if error.status == 429:  # noqa: PLR2004  (too many requests)
                msg = f"{_SERVICE} was asked too often; try again later."
                raise EngineError(msg, retryable=True) from error
            raise


def open_meteo(settings: WeatherSection, client: JsonClient) -> OpenMeteo:
    """Return the weather service of the section."""
    return OpenMeteo(settings, client)


def _days(daily: _Daily) -> list[Day]:
    """Return the days, without those of which the service does not know the temperature.

    Raises:
        ValueError: the columns are of different lengths.
    """
    columns = zip(
        daily.time,
        daily.weather_code,
        daily.temperature_2m_min,
        daily.temperature_2m_max,
        daily.precipitation_probability_max,
        daily.wind_speed_10m_max,
        strict=True,
    )
    return [
        Day(at, _CODES.get(code or 0, "") if code is not None else "", low, high, rain, wind or 0)
        for at, code, low, high, rain, wind in columns
        if low is not None and high is not None
    ]


def _now_words(code: int | None) -> str:
    if code is None or code not in _CODES:
        return ""
    return _CODES[code] if code in _ADJECTIVES else f"there is {_CODES[code]}"


def _odd() -> EngineError:
    return EngineError(f"{_SERVICE} answered with something that I do not understand.")
