"""The LLM worker's settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

from antiphon_runtime.settings import Settings
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

ENVIRONMENT = "env:"


class ProviderSettings(BaseModel):
    """One model of a chain: a table `[[llm.providers]]`.

    Attributes:
        name: unique, for logs, health and breakers.
        kind: what runs there.
        base_url: up to and with `/v1`; empty is where that kind usually is.
        api_key: the key itself, or `env:NAME` for the environment variable that holds it.
        model: empty is the server's first; for `embedded` a known name or a .gguf file.
        profile: how it is asked; `small` for models of a few hundred million weights.
        tool_mode: how it calls tools.
        context_tokens: its context window; 0 is 2048 for embedded models, else 4096.
        max_tokens: longest reply; 0 is the profile's own.
        reasoning_effort: how long it may think, as its server calls it; empty says nothing.
        connect_timeout_s: longest time for the connection.
        first_token_timeout_s: longest time until its first sign of life; then the next is asked.
        stall_timeout_s: longest silence within an answer.
        thinking_timeout_s: longest time until its first word for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")
    kind: Literal["openai", "ollama", "llamacpp", "vllm", "lmstudio", "gemini", "embedded"]
    base_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    api_key: SecretStr = SecretStr("")
    model: str = ""
    profile: Literal["auto", "small", "standard"] = "auto"
    tool_mode: Literal["auto", "native", "schema", "none"] = "auto"
    context_tokens: int = Field(default=0, ge=0, le=1_000_000)
    max_tokens: int = Field(default=0, ge=0, le=32_768)
    reasoning_effort: str = Field(default="", max_length=20)
    connect_timeout_s: float = Field(default=5.0, gt=0)
    first_token_timeout_s: float | None = Field(default=None, gt=0)
    stall_timeout_s: float | None = Field(default=None, gt=0)
    thinking_timeout_s: float | None = Field(default=None, gt=0)

    @field_validator("api_key", mode="after")
    @classmethod
    def _from_environment(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.startswith(ENVIRONMENT):
            return value
        name = text.removeprefix(ENVIRONMENT)
        found = os.environ.get(name, "")
        if not found:
            msg = f"the environment variable {name} is not set"
            raise ValueError(msg)
        return SecretStr(found)


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
    providers: tuple[ProviderSettings, ...] = Field(
        default=(),
        max_length=8,
        description="Instead of the above: models in the order in which they are asked, each a "
        "table [[llm.providers]] with name, kind, base_url, api_key, model; see "
        "docs/language-models.md.",
    )
    fallback: bool = Field(
        default=False,
        description="Whether the embedded model answers, loaded when it is needed, while no other "
        "does.",
    )
    persona: Path | None = Field(
        default=None,
        description="File that says who the assistant is, see docs/persona.md; read again when it "
        "changes.",
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
        default=2.0, gt=0, description="How long memory and history may take, each, in seconds."
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
        description="Tool calls: the server's own, or by JSON schema; auto: servers native "
        "(schema where they refuse tools), embedded models none.",
    )
    tool_rounds: int = Field(
        default=5, ge=1, le=20, description="How often a reply may call tools before it must end."
    )
    tool_timeout_s: float = Field(
        default=30.0, gt=0, description="How long one tool call may take, in seconds."
    )
    tools_limit: int = Field(
        default=0,
        ge=0,
        le=200,
        description="So many tools are offered for a request, those that fit it best; 0 is 6 for "
        "the small prompt, else as many as a third of the context window holds.",
    )
    tool_total_s: float = Field(
        default=60.0, gt=0, description="How long all tool calls of a reply may take, in seconds."
    )
    tool_notice_s: float = Field(
        default=1.5,
        gt=0,
        description='"Let me check." is said when tools take longer than that, in seconds.',
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
    first_token_timeout_s: float = Field(
        default=15.0,
        gt=0,
        description="With a chain: the next model is asked when one shows no sign of life for so "
        "long, in seconds; the last has stall_timeout_s.",
    )
    thinking_timeout_s: float = Field(
        default=40.0,
        gt=0,
        description="How long a model may think before its first word, in seconds.",
    )
    reply_timeout_s: float = Field(
        default=180.0, gt=0, description="Longest time for a whole reply, in seconds."
    )

    @model_validator(mode="after")
    def _one_way(self) -> LlmSettings:
        if self.providers and (self.base_url or self.provider != "auto"):
            msg = "name models either by providers, or by provider and base_url, not by both"
            raise ValueError(msg)
        names = [provider.name for provider in self.providers]
        if len(set(names)) < len(names):
            msg = "two providers have the same name"
            raise ValueError(msg)
        return self
