"""Which language model answers: the configured server, an Ollama that runs here, or our own."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore

from antiphon_llm.engine.chat_server import ChatServerOptions, open_chat_server
from antiphon_llm.engine.embedded import EmbeddedOptions, embedded_server
from antiphon_llm.service import (
    Brain,
    ChatMessage,
    ChatModel,
    Profile,
    Prompt,
    Sampling,
    SmallProfile,
    StandardProfile,
)
from antiphon_llm.settings import LlmSettings

OLLAMA_TIMEOUT_S = 0.3
MAX_TAGS_BYTES = 1_000_000
EMBEDDED_CONTEXT_TOKENS = 2048
SERVER_CONTEXT_TOKENS = 4096  # Ollama's default window

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_brain(settings: LlmSettings, models: ModelStore) -> AsyncIterator[Brain]:
    """Choose a model and hold it open.

    A configured base_url wins; then an Ollama that answers within 0.3 s and has a model; then the
    embedded one. A server that is configured need not be up yet.

    Raises:
        ConfigError: what is configured cannot be had; the text says what mends it.
    """
    server = await _server(settings)
    if server is None:
        async with _embedded(settings, models) as brain:
            yield brain
        return
    async with open_chat_server(server) as model:
        window = settings.context_tokens or SERVER_CONTEXT_TOKENS
        summarises = settings.history_summary != "off"
        profile = profile_for(settings, is_small=False)
        yield Brain(model, profile, window, summarises=summarises)


async def _server(settings: LlmSettings) -> ChatServerOptions | None:
    """Return the server to talk to, None for the embedded one."""
    if settings.provider == "embedded":
        return None
    common = ChatServerOptions(
        settings.base_url,
        settings.api_key.get_secret_value(),
        settings.model,
        settings.stall_timeout_s,
    )
    if settings.provider != "ollama" and settings.base_url:
        return common
    if settings.provider == "openai":
        msg = "provider is openai, but base_url is empty; write e.g. https://api.openai.com/v1"
        raise ConfigError(msg)
    url = settings.ollama_url.rstrip("/")
    ollama = replace(common, base_url=f"{url}/v1")
    installed = await asyncio.to_thread(ollama_models, url)
    if settings.provider == "ollama":
        return replace(ollama, model=_pick(settings.model, installed))
    if not installed:
        return None
    return replace(ollama, model=_pick(settings.model, installed))


def _pick(wanted: str, installed: list[str]) -> str:
    return wanted or (installed[0] if installed else "")


def ollama_models(url: str) -> list[str]:
    """Return the models of the Ollama at `url`; none if nothing answers there at once. Blocks."""
    # Proxies of the environment cannot reach this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/tags", timeout=OLLAMA_TIMEOUT_S) as response:
            listed = json.loads(response.read(MAX_TAGS_BYTES))["models"]
        return [str(entry["name"]) for entry in listed]
    except (OSError, ValueError, KeyError, TypeError):
        return []


@asynccontextmanager
async def _embedded(settings: LlmSettings, models: ModelStore) -> AsyncIterator[Brain]:
    weights = await asyncio.to_thread(gguf_file, models, settings.embedded_model)
    window = settings.context_tokens or EMBEDDED_CONTEXT_TOKENS
    profile = profile_for(settings, is_small="smollm2-135m" in weights.name.lower())
    async with embedded_server(EmbeddedOptions(weights, settings.threads, window)) as address:
        options = ChatServerOptions(
            address.base_url,
            address.api_key,
            weights.stem,
            settings.stall_timeout_s,
            keep_alive=False,
            label=f"{weights.stem} (embedded llama.cpp)",
        )
        async with open_chat_server(options) as model:
            await _prefill(model, profile)
            # It reads hundreds of tokens before it can be stopped, and forgets the prefix it knew.
            summarises = settings.history_summary == "on"
            yield Brain(model, profile, window, summarises=summarises)


def gguf_file(models: ModelStore, name: str) -> Path:
    """Return the weights of that name. Blocks.

    Raises:
        ConfigError: there are none, or more than one; the text says what mends it.
    """
    path = models.checked_path(name)
    if path.is_file():
        return path
    found = sorted(path.glob("*.gguf"))
    if len(found) != 1:
        msg = f"{name} holds {len(found)} .gguf files; name one of them as embedded_model"
        raise ConfigError(msg)
    return found[0]


def profile_for(settings: LlmSettings, *, is_small: bool) -> Profile:
    """Return the profile that the settings or else the model's size ask for."""
    sampling = Sampling(settings.temperature, settings.max_tokens or None, settings.system or None)
    if settings.profile == "small" or (settings.profile == "auto" and is_small):
        return SmallProfile(sampling, notes_min_score=settings.notes_min_score)
    return StandardProfile(
        sampling, notes_limit=settings.notes_limit, history_tokens=settings.history_tokens
    )


async def _prefill(model: ChatModel, profile: Profile) -> None:
    """Let the server compute what every prompt begins with, so that the first answer is quick."""
    prompt = Prompt((*profile.prefix(), ChatMessage("user", "Hello")), max_tokens=1)
    try:
        async with aclosing(model.stream(prompt)) as stream:
            async for _ in stream:
                pass
    except EngineError as error:
        log.warning("model.prefill_failed", detail=str(error))
