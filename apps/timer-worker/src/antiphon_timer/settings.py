"""Settings of the timer worker."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from antiphon_runtime import Settings
from pydantic import Field
from pydantic_settings import SettingsConfigDict

DAY_S = 86_400.0


class TimerSettings(Settings):
    """How timers, alarms and reminders ring."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_TIMER_")
    section: ClassVar[str] = "timer"

    path: Path | None = Field(
        default=None, description="SQLite file; empty is timers.sqlite in the data folder."
    )
    timezone: str = Field(
        default="", description="The house's time zone, e.g. Europe/Paris; empty is the system's."
    )
    timer_ring_s: float = Field(
        default=60.0, gt=0, le=3_600, description="How long a timer rings, in seconds."
    )
    alarm_ring_s: float = Field(
        default=300.0, gt=0, le=7_200, description="How long an alarm rings, in seconds."
    )
    snooze_s: float = Field(
        default=540.0,
        gt=0,
        le=DAY_S,
        description="After how long what was put off rings again, in seconds.",
    )
    late_s: float = Field(
        default=60.0,
        ge=0,
        le=DAY_S,
        description="What was due while nobody was there to ring it rings if it is no later than "
        "this, in seconds; older is only told.",
    )
    volume: float = Field(default=0.8, ge=0, le=1, description="How loud it rings at last, 0 to 1.")
    speak: bool = Field(
        default=True,
        description="Whether reminders, and timers and alarms with a name, are also spoken.",
    )
