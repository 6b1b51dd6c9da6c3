"""Settings of the tool worker."""

from __future__ import annotations

import os
from typing import ClassVar

from antiphon_runtime import Settings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class ToolsSettings(Settings):
    """Which tools are on offer."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_TOOLS_")
    section: ClassVar[str] = "tools"

    allow: tuple[str, ...] = Field(
        default=(), description='Names of the tools on offer, as ["a", "b"]; empty is all.'
    )
    timezone: str = Field(
        default="", description="The house's time zone, e.g. Europe/Paris; empty is the system's."
    )
    memory_timeout_s: float = Field(
        default=5.0, gt=0, description="How long the memory worker is waited for, in seconds."
    )


def environment_variable(name: str) -> str | None:
    """Return a variable that `tools.toml` names; None if it is not set."""
    return os.environ.get(name)
