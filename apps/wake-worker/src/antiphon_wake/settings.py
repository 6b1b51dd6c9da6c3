"""Settings of the wake worker: [wake] in antiphon.toml, ANTIPHON_WAKE_… outside."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from antiphon_runtime import Settings
from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict


class WakeSettings(Settings):
    """Which wake words are listened for."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_WAKE_")
    section: ClassVar[str] = "wake"

    engine: str = Field(
        default="pymicro-wakeword",
        description="Engine: pymicro-wakeword, pyopen-wakeword (much dearer) or one you installed.",
    )
    phrases: tuple[str, ...] = Field(
        default=("okay_nabu",),
        min_length=1,
        max_length=8,
        description='Wake phrases, as ["a", "b"]: okay_nabu, hey_jarvis, alexa, hey_mycroft; with '
        "pyopen-wakeword also hey_rhasspy; or the name of a file in models.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Score from which a phrase counts; unset is each model's own.",
    )
    refractory_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="How long after a wake word no other one counts at its site, in seconds.",
    )
    models: tuple[Path, ...] = Field(
        default=(),
        description="Further models: a .json (with its .tflite beside it) for pymicro-wakeword, a "
        ".tflite for pyopen-wakeword. The file's name is the phrase.",
    )
    off_sites: tuple[str, ...] = Field(
        default=(), description="Sites where no wake word is listened for."
    )
    site_phrases: tuple[str, ...] = Field(
        default=(),
        description='Other phrases for some sites, as ["kitchen=alexa", "hall=alexa,hey_jarvis"].',
    )
    site_thresholds: tuple[str, ...] = Field(
        default=(), description='Other thresholds for some sites, as ["kitchen=0.95"].'
    )
    max_sites: int = Field(
        default=32, ge=1, le=256, description="How many sites are listened to at most."
    )
    forget_s: float = Field(
        default=120.0, gt=0, description="After how long without sound a site is forgotten."
    )

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        self.phrases_by_site()
        self.thresholds_by_site()
        return self

    def phrases_by_site(self) -> dict[str, tuple[str, ...]]:
        """Return the phrases of the sites that have their own."""
        found = {}
        for site, value in _pairs("site_phrases", self.site_phrases):
            names = tuple(name.strip() for name in value.split(",") if name.strip())
            if not names:
                raise ValueError("site_phrases names a site without a phrase")
            found[site] = names
        return found

    def thresholds_by_site(self) -> dict[str, float]:
        """Return the thresholds of the sites that have their own."""
        found = {}
        for site, value in _pairs("site_thresholds", self.site_thresholds):
            try:
                threshold = float(value)
            except ValueError:
                threshold = 0.0
            if not 0 < threshold <= 1:
                raise ValueError("site_thresholds must be above 0 and at most 1")
            found[site] = threshold
        return found


def _pairs(name: str, items: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [item.partition("=") for item in items]
    if any(not site.strip() or not sign for site, sign, _ in pairs):
        raise ValueError(f"{name} must be written as site=value")
    return [(site.strip(), value.strip()) for site, _, value in pairs]
