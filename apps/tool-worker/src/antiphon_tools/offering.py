"""Which of our own tools are on offer, as the file `tools.toml` has them.

Tools of third parties come by the entry-point group `antiphon.tools` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon_contracts import MEMORY_QUERY, MEMORY_REMEMBER, RequestTopic

from antiphon_tools.builtin.clock import get_time
from antiphon_tools.builtin.home import home_tools
from antiphon_tools.builtin.home_plan import plan_of
from antiphon_tools.builtin.lists import Lists
from antiphon_tools.builtin.measures import convert_units
from antiphon_tools.builtin.memory import recall, remember
from antiphon_tools.builtin.notes import notes_tools
from antiphon_tools.builtin.sums import calculate
from antiphon_tools.house import House
from antiphon_tools.tool import Tool
from antiphon_tools.tools_file import ToolsFile

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (MEMORY_REMEMBER, MEMORY_QUERY)
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
    ]


async def keep_offering(house: House, offer: Callable[[], object]) -> None:
    """Call `offer` whenever `house_tools` would return something else for the same file, for ever.

    Args:
        house: tells that.
        offer: gives `house_tools(file, house)` to the registry, with the file in force.
    """
    while True:
        await house.changed.wait()
        house.changed.clear()
        offer()
