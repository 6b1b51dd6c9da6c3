"""The LLM worker's settings."""

from __future__ import annotations

from typing import ClassVar, Literal

from antiphon_runtime.settings import Settings
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict


class LlmSettings(Settings):
    """Which language model answers, and how."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_LLM_")
    section: ClassVar[str] = "llm"

    provider: Literal["auto", "openai", "ollama", "embedded"] = Field(
        default="auto",
        description="Whose model: auto takes base_url, else a running Ollama, else embedded.",
    )
    base_url: str = Field(
        default="",
        pattern=r"^(https?://.+)?$",
        description="Any OpenAI-compatible server, e.g. http://127.0.0.1:8080/v1.",
    )
    api_key: SecretStr = Field(default=SecretStr(""), description="That server's key, if any.")
    model: str = Field(
        default="", description="The model's name at the server; empty is its first one."
    )
    ollama_url: str = Field(
        default="http://127.0.0.1:11434",
        pattern=r"^https?://.+$",
        description="Where an Ollama is looked for (at start and at reload).",
    )
    embedded_model: str = Field(
        default="smollm2-135m-instruct-q4_1",
        description="Weights of the embedded model: a known name, or the path of a .gguf file.",
    )
    threads: int = Field(
        default=1, ge=1, le=64, description="Compute threads of the embedded model."
    )
    profile: Literal["auto", "small", "standard"] = Field(
        default="auto",
        description="Prompt: small is made for the embedded SmolLM2, standard for all others.",
    )
    context_tokens: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="The model's context window; 0 is 2048 for embedded models, else 4096.",
    )
    max_tokens: int = Field(
        default=0, ge=0, le=32_768, description="Longest reply; 0 is the profile's own (80 or 512)."
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="Sampling temperature; unset is the profile's own."
    )
    system: str = Field(default="", description="System prompt instead of the profile's.")
    concurrency: int = Field(
        default=2, ge=1, le=64, description="Requests at once (embedded models compute one)."
    )
    context_timeout_s: float = Field(
        default=5.0, gt=0, description="How long memory and history may take, each, in seconds."
    )
    notes_limit: int = Field(
        default=5, ge=1, le=50, description="Memories in a prompt, at most (small: always one)."
    )
    notes_min_score: float = Field(
        default=0.2, ge=-1, le=1, description="Memories less alike than this stay out (small only)."
    )
    history_tokens: int = Field(
        default=1000, ge=0, description="Budget of the conversation's history; 0 is none."
    )
    history_summary: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Sum up what the budget does not hold; auto: servers do, embedded models not.",
    )
    history_summary_idle_s: float = Field(
        default=20.0, ge=0, description="Sum up after so many seconds without a request."
    )
    tool_mode: Literal["auto", "native", "schema", "none"] = Field(
        default="auto",
        description="Tool calls: the server's own, or by JSON schema; auto gives small none.",
    )
    tool_rounds: int = Field(
        default=5, ge=1, le=20, description="How often a reply may call tools before it must end."
    )
    tool_timeout_s: float = Field(
        default=30.0, gt=0, description="How long one tool call may take, in seconds."
    )
    tool_result_chars: int = Field(
        default=4000, ge=100, description="Longer tool results are cut for the model."
    )
    retry_delay_s: float = Field(
        default=0.3, ge=0, description="Mean wait before the one retry, in seconds."
    )
    stall_timeout_s: float = Field(
        default=50.0,
        gt=0,
        description="Longest silence of the model's server, in seconds; less than llm_timeout_s.",
    )
    reply_timeout_s: float = Field(
        default=180.0, gt=0, description="Longest time for a whole reply, in seconds."
    )
