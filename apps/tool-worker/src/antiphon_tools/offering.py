"""Which of our own tools are on offer, as the file `tools.toml` has them.

Tools of third parties come by the entry-point group `antiphon.tools` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon_contracts import (
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    TIMER_CHANGE,
    TIMER_QUERY,
    TIMER_SET,
    ConfigError,
    RequestTopic,
)
from antiphon_runtime import load_engine
from antiphon_runtime.upstream import shown

from antiphon_tools.builtin.clock import get_time
from antiphon_tools.builtin.home import home_tools
from antiphon_tools.builtin.home_plan import plan_of
from antiphon_tools.builtin.lists import Lists
from antiphon_tools.builtin.measures import convert_units
from antiphon_tools.builtin.memory import recall, remember
from antiphon_tools.builtin.notes import notes_tools
from antiphon_tools.builtin.sums import calculate
from antiphon_tools.builtin.timers import timer_tools
from antiphon_tools.builtin.weather import WeatherProvider, weather_tool
from antiphon_tools.builtin.web import fetch_tool, search_tool
from antiphon_tools.engine import SearxNg
from antiphon_tools.house import House
from antiphon_tools.lookup_sections import WeatherSection
from antiphon_tools.tool import Tool
from antiphon_tools.tools_file import ToolsFile

WEATHER = "antiphon.weather"
"""Entry points of weather services: each takes the section `[weather]` and a `JsonClient`."""

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (
    MEMORY_REMEMBER,
    MEMORY_QUERY,
    TIMER_SET,
    TIMER_CHANGE,
    TIMER_QUERY,
)
"""What our tools ask other workers for."""


def house_tools(file: ToolsFile, house: House) -> list[Tool]:
    """Return our own tools, as the file wants them; to be called anew when the file has changed.

    Raises:
        ConfigError: the file cannot be followed; the text says where.
    """
    house.home_assistant.use(file.home_assistant)
    plan = plan_of(file, house.home_assistant.exposed, house.bus, house.base)
    lists = Lists(house.lists, file.lists, house.on_list_names)
    return [
        get_time,
        calculate,
        remember,
        recall,
        convert_units(house.units, file.units),
        *lists.tools(house.list_names),
        *notes_tools(house.lists),
        *home_tools(plan),
        *timer_tools(house.bus),
        _weather(file.weather, house),
        *_web(file, house),
    ]


def _weather(section: WeatherSection | None, house: House) -> Tool:
    if section is None:
        return weather_tool(None, None, None)
    provider: WeatherProvider = load_engine(WEATHER, section.provider)(section, house.http)
    return weather_tool(section, provider, house.upstream("weather", provider.server))


def _web(file: ToolsFile, house: House) -> list[Tool]:
    tools: list[Tool] = []
    if file.search is not None:
        server = f"The search server at {shown(file.search.url)}"
        engine = SearxNg(file.search, house.http)
        tools.append(search_tool(engine, house.upstream("search", server)))
    if file.fetch.enabled:
        tools.append(fetch_tool(house.pages, file.fetch))
    return tools


async def keep_offering(house: House, offer: Callable[[], object]) -> None:
    """Call `offer` whenever `house_tools` would return something else for the same file, for ever.

    Args:
        house: tells that.
        offer: gives `house_tools(file, house)` to the registry, with the file in force.
    """
    while True:
        await house.changed.wait()
        house.changed.clear()
        try:
            offer()
        except ConfigError as error:  # Home Assistant has more than the file allows for
            house.health.note("offer", f"The tools on offer are those of before: {error}.")
        else:
            house.health.clear_note("offer")
