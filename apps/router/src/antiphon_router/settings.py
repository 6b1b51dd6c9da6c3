"""Settings of the router."""

from __future__ import annotations

from typing import ClassVar

from antiphon_runtime import Settings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class RouterSettings(Settings):
    """See each field's description."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_ROUTER_")
    section: ClassVar[str] = "router"

    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2}$",
        description="Language of the fast path's grammar; only en today.",
    )
    llm_timeout_s: float = Field(
        default=60.0, gt=0, description="How long the language model may take for an answer."
    )
    use_rag: bool = Field(
        default=True, description="Whether long-term memory is looked into for every question."
    )
    tools: bool = Field(default=True, description="Whether the language model may call tools.")
    apologise_within_s: float = Field(
        default=60.0,
        ge=0,
        description="After a crash: how old an open question may be to get an apology.",
    )
    waiting_turns: int = Field(
        default=4, ge=0, le=64, description="Questions that may wait at one site; more are told so."
    )
