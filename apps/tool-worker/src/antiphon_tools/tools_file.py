"""The file `tools.toml`: which tools there are, and what they may do."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

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
from antiphon_tools.rules_section import ToolRule
from antiphon_tools.section import Section
from antiphon_tools.servers_section import ServerName, ServerSection

_MAX_BYTES = 1024 * 1024


class ToolsFile(Section):
    """What the file says.

    Attributes:
        tools: rules by the tool's name, as the registry has it; `*` stands for anything.
        servers: MCP servers by name.
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
    servers: dict[ServerName, ServerSection] = Field(default_factory=dict)
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
        ConfigError: it cannot be read or understood; the text says where and never shows a value.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        return ToolsFile()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        msg = f"{path} cannot be read: {reason}"
        raise ConfigError(msg) from error
    if len(text) > _MAX_BYTES:
        msg = f"{path} is larger than {_MAX_BYTES // 1024} KiB"
        raise ConfigError(msg)
    try:
        return ToolsFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is no TOML: {error}"
        raise ConfigError(msg) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = [str(part) for part in first["loc"]]
        line = _line_of(text, where)
        place = f"{path}, line {line}" if line else str(path)
        msg = f"{place}: {'.'.join(where)}: {first['msg']}"
        raise ConfigError(msg) from None


def _line_of(text: str, where: Sequence[str]) -> int:
    """Return the line of a key, or of the table that it is missing from; 0 if it is not found."""
    lines = text.splitlines()
    found = 0
    for part in where:
        name = re.escape(part)
        pattern = re.compile(
            rf"""^\s*(?:\[.*(?<![\w-])["']?{name}["']?\s*[\].]|["']?{name}["']?\s*=)"""
        )
        start = max(found - 1, 0)
        match = next(
            (n for n, line in enumerate(lines[start:], start + 1) if pattern.match(line)), 0
        )
        found = match or found
    return found
