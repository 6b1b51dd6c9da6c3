from typing import Any

import pytest
from antiphon_contracts import ConfigError
from antiphon_tools import wiring
from antiphon_tools.builtin.clock import get_time
from antiphon_tools.offering import house_tools
from antiphon_tools.tools_file import ToolsFile

pytestmark = pytest.mark.unit


def test_tools_of_third_parties_come_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points: dict[str, Any] = {"good": get_time, "odd": object()}

    def load(group: str, name: str) -> Any:
        assert group == "antiphon.tools"
        if name == "broken":
            raise ConfigError("'broken' cannot be loaded")
        return points[name]

    monkeypatch.setattr(wiring, "engine_names", lambda _group: ["broken", "good", "odd"])
    monkeypatch.setattr(wiring, "load_engine", load)
    faults: list[str] = []
    assert wiring.installed_tools(faults) == [get_time]
    assert faults == [
        "The tool broken cannot be used: 'broken' cannot be loaded.",
        "The tool odd cannot be used: its entry point names no tool.",
    ]


def test_an_unknown_weather_service_is_answered_with_the_choices(tmp_path: Any) -> None:
    file = ToolsFile.model_validate({"weather": {"place": "Lyon", "provider": "frog"}})
    with pytest.raises(ConfigError, match="open-meteo"):
        house_tools(file, a_house(tmp_path))


def test_every_tool_is_bounded(tmp_path: Any) -> None:
    """No text without a longest length, no list without an end, no tool without a time limit."""
    file = ToolsFile.model_validate(
        {
            "weather": {"place": "Lyon"},
            "search": {"url": "http://searx.lan"},
            "fetch": {"enabled": True},
            "devices": {"lamp": {"template": "zigbee2mqtt", "topic": "z/lamp"}},
            "scenes": {"night": {"topic": "scene", "payload": "1"}},
        }
    )
    tools = house_tools(file, a_house(tmp_path))
    assert len({tool.spec.name for tool in tools}) == len(tools) == 19
    for tool in tools:
        assert tool.spec.timeout_s <= 30
        assert tool.spec.parameters["additionalProperties"] is False
        for name, schema in tool.spec.parameters["properties"].items():
            where = f"{tool.spec.name}.{name}"
            if schema["type"] == "string":
                assert schema.keys() & {"enum", "maxLength", "pattern"}, where
            if schema["type"] == "array":
                assert "maxItems" in schema, where
            if schema["type"] in {"number", "integer"}:
                assert "maximum" in schema, where
    untrusted = {tool.spec.name for tool in tools if tool.spec.untrusted}
    assert untrusted == {"web_search", "fetch_page"}
    effects = {tool.spec.name for tool in tools if not tool.spec.idempotent}
    assert effects == {"home_set", "home_scene", "remember", "set_timer", "change_timer"}


def a_house(folder: Any) -> Any:
    from antiphon_tools.house import House

    class Nobody:
        def __getattr__(self, name: str) -> Any:
            return lambda *_args, **_more: None

    return House(data_dir=folder, bus=Nobody(), health=Nobody())
