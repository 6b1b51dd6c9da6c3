"""The file `tools.toml`: which tools there are, and what they may do."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from antiphon_contracts import ConfigError
from pydantic import Field, ValidationError

from antiphon_tools.home_sections import (
    AreaSection,
    DeviceSection,
    HomeAssistantSection,
    SceneSection,
    SpokenName,
)
from antiphon_tools.lookup_sections import (
    FetchSection,
    ListsSection,
    SearchSection,
    UnitsSection,
    WeatherSection,
)
from antiphon_tools.section import Section

Policy = Literal["allow", "confirm", "deny"]


class ToolRule(Section):
    """What one tool may do.

    Attributes:
        policy: `confirm` asks a person before each call; `deny` does not offer it at all. None is
            the tool's own.
    """

    policy: Policy | None = None


class ToolsFile(Section):
    """What the file says.

    Attributes:
        tools: rules by the tool's name.
        units: how units are converted.
        weather: the weather service; None asks nobody.
        search: the search server; None offers no web search.
        fetch: whether web pages are read.
        lists: the lists of the house.
        devices: lamps, sockets and covers on MQTT, by their spoken name.
        areas: other names of the devices' areas, by the area's name.
        scenes: scenes by their spoken name.
        home_assistant: a Home Assistant whose devices are offered; None is none.
    """

    tools: dict[str, ToolRule] = Field(default_factory=dict)
    units: UnitsSection = UnitsSection()
    weather: WeatherSection | None = None
    search: SearchSection | None = None
    fetch: FetchSection = FetchSection()
    lists: ListsSection = ListsSection()
    devices: dict[SpokenName, DeviceSection] = Field(default_factory=dict, max_length=300)
    areas: dict[SpokenName, AreaSection] = Field(default_factory=dict, max_length=100)
    scenes: dict[SpokenName, SceneSection] = Field(default_factory=dict, max_length=100)
    home_assistant: HomeAssistantSection | None = None


def read_tools_file(path: Path) -> ToolsFile:
    """Return what the file says; a file that is not there says nothing. Blocks.

    Raises:
        ConfigError: it cannot be read or understood; the text says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ToolsFile()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise ConfigError(msg) from error
    try:
        return ToolsFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is no TOML: {error}"
        raise ConfigError(msg) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"{path}: {where}: {first['msg']}"
        raise ConfigError(msg) from error
