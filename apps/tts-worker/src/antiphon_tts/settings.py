"""Settings of the TTS worker."""

from __future__ import annotations

from typing import ClassVar, Literal

from antiphon_runtime import Settings
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict


class TtsSettings(Settings):
    """Which voice speaks, and how much may wait."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_TTS_")
    section: ClassVar[str] = "tts"

    engine: str = Field(default="piper", description="Who speaks: piper, espeak-ng or openai.")
    fallback: str = Field(
        default="espeak-ng",
        description="Who speaks if the engine is not available; empty in antiphon.toml is nobody.",
    )
    voice: str = Field(
        default="en_US-joe-medium",
        description="Piper's voice: the name of an installed one, or the path of an .onnx file.",
    )
    threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Compute threads of Piper: with 2 an answer begins after 0.6 of the time.",
    )
    espeak_voice: str = Field(
        default="en-us",
        pattern=r"^[a-z]{2,3}(-[a-z0-9-]{1,32})?$",
        description="Voice of espeak-ng.",
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Address of an OpenAI-compatible server, for the engine openai.",
    )
    openai_api_key: SecretStr = Field(
        default=SecretStr(""), description="Its key; empty where none is needed."
    )
    openai_model: str = Field(default="gpt-4o-mini-tts", description="Its speech model.")
    openai_voice: str = Field(default="alloy", description="Its voice.")
    openai_format: Literal["pcm", "wav"] = Field(
        default="pcm", description="What it sends: bare samples, or WAV, which names its rate."
    )
    openai_rate_hz: int = Field(
        default=24_000, ge=8_000, le=96_000, description="Rate of its bare samples, in Hz."
    )
    openai_timeout_s: float = Field(
        default=15.0, gt=0, description="How long it may be silent, in seconds."
    )
    phrase_cache_mb: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="Disk for the sound of short texts that are said often, in MB; 0 is none.",
    )
    gap_timeout_s: float = Field(
        default=5.0, gt=0, description="How long a missing clause is waited for, in seconds."
    )
    idle_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="When an answer without an end is closed after its newest clause, in seconds.",
    )
    chunk_timeout_s: float = Field(
        default=30.0, gt=0, description="The longest that one piece of speech may take, in seconds."
    )
    sites_at_once: int = Field(
        default=4, ge=1, le=64, description="Sites that are spoken to at the same time."
    )
    max_utterances: int = Field(default=64, ge=1, description="Answers that may be open.")
    max_clauses: int = Field(default=2_000, ge=1, description="Clauses that may wait, of all.")
    max_chars: int = Field(default=100_000, ge=1, description="Characters that may wait, of all.")
