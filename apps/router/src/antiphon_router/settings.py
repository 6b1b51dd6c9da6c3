"""Settings of the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from antiphon_contracts.level import Level
from antiphon_runtime import Settings
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from antiphon_router.rules import LiveRules, Mode, SiteRules


class SiteSettings(BaseModel):
    """One site's own settings; what is not set is as everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode | None = None
    voice: str | None = None
    speed: float | None = Field(default=None, gt=0.2, lt=5)
    volume: float | None = Field(default=None, ge=0, le=1)


class RouterSettings(Settings):
    """See each field's description."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_ROUTER_")
    section: ClassVar[str] = "router"

    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2}$",
        description="Language of the fast path: en, or (with fewer commands) de, es, fr, it or nl.",
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
    mode: Mode = Field(
        default="wake",
        description="When a site listens: wake (after a wake word), open (all the time), off.",
    )
    listen_s: float = Field(
        default=6.0,
        gt=0,
        le=60,
        description="How long speech may take to begin after a wake word, in seconds.",
    )
    follow_up_s: float = Field(
        default=5.0,
        ge=0,
        le=60,
        description="How long one may go on without a wake word after an answer; 0 is not at all.",
    )
    speculate: bool = Field(
        default=True,
        description="Whether the language model begins as soon as somebody falls silent, before it "
        "is certain that they have finished.",
    )
    voice: str | None = Field(
        default=None, description="Name of the voice; unset is the speech worker's own."
    )
    speed: float = Field(default=1.0, gt=0.2, lt=5, description="Rate of speech, 1.0 is usual.")
    volume: float | None = Field(
        default=None, ge=0, le=1, description="Volume of the speakers; unset leaves it as it is."
    )
    hear_each_other: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="Groups of sites that hear one wake word together, of which one answers, e.g. "
        '[["kitchen", "hall"]].',
    )
    arbitration: Literal["first", "energy"] = Field(
        default="first",
        description="Which site of a group answers: the first to hear the wake word, or the one "
        "that hears it loudest (which takes 0.15 s).",
    )
    sites: Mapping[Level, SiteSettings] = Field(
        default_factory=dict,
        description="Sites that differ, each with its mode, voice, speed or volume, written "
        "[router.sites.kitchen].",
    )

    def live_rules(self) -> LiveRules:
        """Return the rules of live conversation."""
        usual = SiteRules(self.mode, self.voice, self.speed, self.volume)
        return LiveRules(
            listen_s=self.listen_s,
            follow_up_s=self.follow_up_s,
            speculate=self.speculate,
            usual=usual,
            sites={
                site: replace(usual, **own.model_dump(exclude_none=True))
                for site, own in self.sites.items()
            },
        )
