"""Settings of the satellite."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from antiphon_runtime import Settings
from pydantic import Field
from pydantic_settings import SettingsConfigDict

Device = Literal["auto", "sounddevice", "file", "null"]


class SatelliteSettings(Settings):
    """What one site's satellite needs to know."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_SATELLITE_")
    section: ClassVar[str] = "satellite"

    site: str = Field(
        default="default",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="The one site that this satellite serves.",
    )
    speaker: Device = Field(
        default="auto",
        description="Where answers go; auto is sounddevice where it works, else null.",
    )
    microphone: Device = Field(
        default="auto",
        description="Where recordings come from; auto is sounddevice where it works, else none.",
    )
    speaker_device: str = Field(
        default="", description="Name or number of the sound device; empty is the system's own."
    )
    microphone_device: str = Field(
        default="", description="Name or number of the sound device; empty is the system's own."
    )
    echo: Literal["none", "external", "webrtc"] = Field(
        default="none",
        description="What takes the speaker's sound out of the microphone's: nothing, the sound "
        "system (see docs/audio.md), or WebRTC's canceller (the extra aec). Where it is taken "
        "out, people may speak while the assistant speaks.",
    )
    earcon: bool = Field(
        default=False,
        description="Whether a short tone says that the house listens; only where echo is taken "
        "out, as it would sound into what is said.",
    )
    hook: str = Field(
        default="",
        description="Program for a lamp, run as `PROGRAM STATE SITE` at the wake word (state wake) "
        "and when the dialogue's state changes: idle, listening, thinking, speaking, paused.",
    )
    level_hz: float = Field(
        default=0.0,
        ge=0,
        le=12.5,
        description="How often a second the stream's level is published, for displays; 0 is never.",
    )
    latency_s: float = Field(
        default=0.06, ge=0.005, le=1, description="Sound that the sound device may hold."
    )
    out_dir: Path | None = Field(
        default=None,
        description="Folder of the file speaker's WAVs; unset is `spoken` in the data folder.",
    )
    keep: int = Field(
        default=50, ge=1, le=100_000, description="How many of its WAVs the file speaker keeps."
    )
    in_file: Path | None = Field(
        default=None,
        description="Recording that the file microphone plays as its input; or a named pipe, from "
        "which it hears raw sound (16 kHz, mono, 16 bit) as it is written.",
    )
    in_repeat: bool = Field(
        default=False,
        description="Whether that recording begins again at its end; else silence follows.",
    )
    stream: bool | None = Field(
        default=None,
        description="Whether the microphone is heard all the time, as wake words need it; unset is "
        "yes for sounddevice and file, no for null.",
    )
    pace: float = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="Speed of file and null devices: 1 is real time, 0 as fast as possible.",
    )
    rate_hz: int = Field(
        default=22_050, ge=8_000, le=192_000, description="Rate of file and null speakers."
    )
    volume: float = Field(default=1.0, ge=0, le=1, description="Volume at the start, 0 to 1.")
    duck_volume: float = Field(
        default=0.3, ge=0, le=1, description="Factor on the volume while ducked."
    )
    jitter_ms: int = Field(
        default=80, ge=0, le=2_000, description="Sound gathered before an answer begins."
    )
    end_timeout_s: float = Field(
        default=10.0, gt=0, description="An answer without a frame for so long has ended."
    )
    max_pause_s: float = Field(
        default=600.0, gt=0, description="A pause longer than this stops the answer."
    )
    device_wait_s: float = Field(
        default=3.0, gt=0, le=60, description="How long an answer waits for a lost device."
    )
    reopen_s: float = Field(
        default=1.0,
        gt=0,
        le=30,
        description="Pause before a lost device is opened again; doubles up to 30 s.",
    )
    buffer_mb: int = Field(
        default=16, ge=1, le=1024, description="Memory for sound that waits to be played, in MB."
    )
