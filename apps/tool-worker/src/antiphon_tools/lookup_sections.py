"""Sections of `tools.toml` about looking things up and noting them down."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from antiphon_tools.section import Section

WebAddress = Annotated[
    str, StringConstraints(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$", max_length=500)
]
"""Address of a server, with its path and without a query."""

ListName = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=60)
]


class UnitsSection(Section):
    """How units are converted.

    Attributes:
        measures: whose cups, pints, gallons and tons are meant, and how units are spelt.
    """

    measures: Literal["uk", "us"] = "uk"


class WeatherSection(Section):
    """The weather service; without this section nobody is asked.

    Attributes:
        provider: name of an entry point of the group `antiphon.weather`.
        place: where the house is, e.g. "Lyon"; asked about when no place is said.
        units: metric has degrees Celsius and km/h, imperial has Fahrenheit and mph.
        url: address of the forecast service; a self-hosted Open-Meteo has another.
        geocoding_url: address of the service that knows where places are.
        timeout_s: how long one request may take.
    """

    provider: str = Field(default="open-meteo", max_length=64)
    place: str = Field(min_length=1, max_length=100)
    units: Literal["metric", "imperial"] = "metric"
    url: WebAddress = "https://api.open-meteo.com"
    geocoding_url: WebAddress = "https://geocoding-api.open-meteo.com"
    timeout_s: float = Field(default=4.0, gt=0, le=30)


class SearchSection(Section):
    """The search server; without this section there is no web search.

    Attributes:
        url: address of a SearXNG whose settings allow the format `json`.
        language: language of the results, e.g. `en` or `de-CH`; `auto` is the server's guess.
        safe: how strictly the engines filter: 0 not, 1 moderately, 2 strictly.
        timeout_s: how long one request may take.
    """

    url: WebAddress
    language: str = Field(default="auto", pattern=r"^(auto|all|[A-Za-z]{2,3}(-[A-Za-z]{2,4})?)$")
    safe: Literal[0, 1, 2] = 1
    timeout_s: float = Field(default=8.0, gt=0, le=30)


class FetchSection(Section):
    """Reading web pages.

    Attributes:
        enabled: whether the tool is on offer.
        allow_private: hosts or networks of the house that may be read all the same.
        max_chars: how much of a page's text is handed on.
        timeout_s: how long one page may take.
    """

    enabled: bool = False
    allow_private: tuple[str, ...] = Field(default=(), max_length=50)
    max_chars: int = Field(default=8_000, ge=200, le=15_000)
    timeout_s: float = Field(default=12.0, gt=0, le=60)


class ListsSection(Section):
    """The lists of the house.

    Attributes:
        names: lists that are always there; others are begun by adding to them.
        default: the one that is meant when none is named.
    """

    names: tuple[ListName, ...] = Field(default=("shopping", "to-do"), max_length=20)
    default: ListName = "shopping"
