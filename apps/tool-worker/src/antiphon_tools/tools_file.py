"""The file `tools.toml`: which tools there are, and what they may do."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from antiphon_contracts import ConfigError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Policy = Literal["allow", "confirm", "deny"]


class Section(BaseModel):
    """A part of the file; a key that is not known is an error, for it is a slip of the pen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    """

    tools: dict[str, ToolRule] = Field(default_factory=dict)


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
