"""Settings of the speech-to-text worker: [stt] in antiphon.toml, ANTIPHON_STT_… outside."""

from __future__ import annotations

from typing import ClassVar, Literal

from antiphon_runtime import Settings
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict


class SttSettings(Settings):
    """What the speech-to-text worker can be told."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_STT_")
    section: ClassVar[str] = "stt"

    engine: str = Field(
        default="faster-whisper", description="Engine: faster-whisper, openai or one you installed."
    )
    model: str = Field(
        default="tiny.en",
        min_length=1,
        description="Whisper model: tiny.en, base, a folder (with a /), or a hub name org/repo.",
    )
    language: str = Field(
        default="",
        pattern=r"^([a-z]{2,3})?$",
        description="Language spoken, e.g. en; empty lets the model find out.",
    )
    prompt: str = Field(
        default="",
        max_length=1_000,
        description="Words to expect, such as names of people and rooms.",
    )
    compute_type: Literal["auto", "default", "float32", "int16", "int8", "int8_float32"] = Field(
        default="int8", description="Number format of faster-whisper: int8 is fastest on a CPU."
    )
    beam_size: int = Field(
        default=1, ge=1, le=10, description="Search width of faster-whisper; more is dearer."
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Compute threads of the engine; 0 is half of the cores, at most 4.",
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern=r"^https?://\S+$",
        description="Server of the openai engine: any with /audio/transcriptions below this URL.",
    )
    openai_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for that server; empty if it wants none."
    )
    openai_model: str = Field(
        default="whisper-1", min_length=1, description="Model to ask that server for."
    )
    openai_format: Literal["verbose_json", "json"] = Field(
        default="verbose_json",
        description="Answer to ask for; verbose_json brings confidence, gpt-4o models want json.",
    )
    openai_timeout_s: float = Field(
        default=20.0, gt=0, description="How long that server may take for one recording."
    )
    parallel: int = Field(
        default=1,
        ge=1,
        le=32,
        description="Recordings given to the engine at once; more than 1 helps a server only.",
    )
    max_waiting: int = Field(
        default=8, ge=0, le=256, description="Recordings that may wait; more are told busy at once."
    )
    max_audio_s: float = Field(
        default=120.0, gt=0, le=3_600, description="Longer recordings are refused."
    )
    min_audio_ms: int = Field(default=200, ge=0, description="Shorter recordings are refused.")
    timeout_s: float = Field(
        default=60.0, gt=0, description="How long a recording may take, waiting included."
    )
    vad_threshold: float = Field(
        default=0.5, gt=0.15, lt=1, description="Probability from which sound counts as speech."
    )
    silence_dbfs: float = Field(
        default=-45.0, le=0, description="Recordings without speech below this level are silence."
    )
    live: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether to listen to microphones' streams; auto: unless in a group, whose "
        "members cannot share a stream.",
    )
    turn_detector: str = Field(
        default="auto",
        description="What tells whether somebody has finished: smart-turn (by sound and words), "
        "adaptive (by the words), one you installed, or auto: smart-turn where its weights are.",
    )
    min_silence_ms: int = Field(
        default=350,
        ge=100,
        le=3_000,
        description="Silence that ends an utterance which seems complete.",
    )
    max_silence_ms: int = Field(
        default=900,
        ge=200,
        le=5_000,
        description='Silence that ends any utterance, also after "and", "um" or a comma.',
    )
    min_speech_ms: int = Field(
        default=96, ge=32, le=1_000, description="Shorter sounds are not taken for speech."
    )
    max_utterance_s: float = Field(
        default=30.0, ge=2, le=120, description="A live utterance is ended after so long."
    )
    partials: bool = Field(
        default=True, description="Whether to say what is understood while somebody speaks."
    )
    partial_every_s: float = Field(
        default=1.5, ge=0.5, le=60, description="Speech between two partial transcripts, at least."
    )
    max_sites: int = Field(
        default=32, ge=1, le=256, description="Sites that can be listened to at once."
    )
