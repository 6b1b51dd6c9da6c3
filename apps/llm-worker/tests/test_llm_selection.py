"""Which tools are shown to a model that can tell only a few apart."""

from __future__ import annotations

from typing import Any

import pytest
from antiphon_contracts import ToolSpec
from antiphon_llm.service.selection import in_budget, relevant, tokens_of_tools

pytestmark = pytest.mark.unit


def spec(name: str, description: str, **properties: Any) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=description,
        parameters={"type": "object", "properties": properties},
    )


TOOLS = (
    spec("get_time", "The time of day."),
    spec("home_set", "Switches a device.", target={"enum": ["desk lamp", "hall light"]}),
    spec("list_add", "Puts things on a list.", list={"examples": ["shopping"]}),
    spec("set_timer", "Sets a timer.", after_s={"type": "number"}),
    spec("get_weather", "Tells the weather.", place={"type": "string"}),
    spec("web_search", "Searches the web.", query={"type": "string"}),
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("turn the hall lights off", "home_set"),
        ("put milk on the shopping list", "list_add"),
        ("how are the timers doing", "set_timer"),
        ("what is the weather in Paris", "get_weather"),
        ("what time is it", "get_time"),
    ],
)
def test_the_tool_that_is_meant_comes_first(text: str, name: str) -> None:
    assert [tool.name for tool in relevant(TOOLS, text, 1)] == [name]


def test_they_stay_in_their_order_and_no_limit_is_all() -> None:
    assert relevant(TOOLS, "timer, weather and time", 0) == TOOLS
    chosen = [tool.name for tool in relevant(TOOLS, "timer, weather and time", 3)]
    assert chosen == ["get_time", "set_timer", "get_weather"]


def test_a_window_holds_only_so_many() -> None:
    budget = tokens_of_tools(TOOLS) // 2

    kept = in_budget(TOOLS, "turn the hall light off", budget)

    assert tokens_of_tools(kept) <= budget
    assert "home_set" in [tool.name for tool in kept]
    assert in_budget(TOOLS, "anything", 10_000) == TOOLS


def test_a_huge_tool_keeps_no_other_away() -> None:
    huge = spec("home_manual", "Tells all of the hall light. " + "word " * 4_000)

    kept = in_budget((*TOOLS, huge), "turn the hall light off", tokens_of_tools(TOOLS))

    assert kept == TOOLS
