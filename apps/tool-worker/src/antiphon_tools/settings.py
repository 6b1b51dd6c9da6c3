"""Settings of the tool worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

from antiphon_runtime import Settings
from antiphon_runtime.settings import config_path
from pydantic import Field
from pydantic_settings import SettingsConfigDict

FILE_NAME = "tools.toml"


class ToolsSettings(Settings):
    """Which tools are on offer."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_TOOLS_")
    section: ClassVar[str] = "tools"

    allow: tuple[str, ...] = Field(
        default=(),
        description='Names of the tools on offer, as ["a", "git.*"]; empty is all.',
    )
    timezone: str = Field(
        default="", description="The house's time zone, e.g. Europe/Paris; empty is the system's."
    )
    memory_timeout_s: float = Field(
        default=5.0, gt=0, description="How long the memory worker is waited for, in seconds."
    )
    file: Path | None = Field(
        default=None,
        description="The file tools.toml: MCP servers, and what each tool may do; unset is the one "
        "beside antiphon.toml, or in the data folder.",
    )
    language: Literal["en", "de"] = Field(
        default="en", description="In which language a person is asked before a tool is used."
    )
    concurrency: int = Field(
        default=8, ge=1, le=64, description="How many tools may be at work at once."
    )
    waiting: int = Field(
        default=128, ge=0, le=1000, description="How many calls may wait; more are refused as busy."
    )


def file_of(settings: ToolsSettings, data_dir: Path) -> Path:
    """Return where `tools.toml` is, or would be."""
    if settings.file is not None:
        return settings.file
    config = config_path()
    beside = None if config is None else config.parent / FILE_NAME
    return beside if beside is not None and beside.is_file() else data_dir / FILE_NAME


def environment_variable(name: str) -> str | None:
    """Return a variable that `tools.toml` names; None if it is not set."""
    return os.environ.get(name)
