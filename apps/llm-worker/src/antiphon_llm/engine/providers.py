"""Which language models are asked, in which order: what the settings say, as one list."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from antiphon_contracts import ConfigError

from antiphon_llm.settings import LlmSettings, ProviderSettings

OLLAMA_TIMEOUT_S = 0.3
MAX_TAGS_BYTES = 1_000_000


async def providers_of(settings: LlmSettings) -> tuple[ProviderSettings, ...]:
    """Return the models to ask; the simple settings are a chain of one.

    A configured base_url wins; then an Ollama that answers within 0.3 s and has a model; then the
    embedded one. With `fallback` the embedded one is the last of any chain.

    Raises:
        ConfigError: a server is wanted but not named.
    """
    chain = settings.providers or (await _single(settings),)
    if settings.fallback and all(provider.kind != "embedded" for provider in chain):
        chain += (_embedded(settings),)
    return chain


async def _single(settings: LlmSettings) -> ProviderSettings:
    if settings.provider == "embedded":
        return _embedded(settings)
    common = ProviderSettings(
        name="model",
        kind="openai",
        base_url=settings.base_url,
        api_key=settings.api_key,
        model=settings.model,
    )
    if settings.provider != "ollama" and settings.base_url:
        return common.model_copy(update={"kind": _kind_of(settings.base_url)})
    if settings.provider == "openai":
        msg = "provider is openai, but base_url is empty; write e.g. https://api.openai.com/v1"
        raise ConfigError(msg)
    url = settings.ollama_url.rstrip("/")
    installed = await asyncio.to_thread(ollama_models, url)
    if settings.provider == "auto" and not installed:
        return _embedded(settings)
    model = settings.model or (installed[0] if installed else "")
    return common.model_copy(update={"kind": "ollama", "base_url": f"{url}/v1", "model": model})


def _embedded(settings: LlmSettings) -> ProviderSettings:
    return ProviderSettings(name="embedded", kind="embedded", model=settings.embedded_model)


def _kind_of(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "openai"
    return "gemini" if host.endswith("googleapis.com") else "openai"


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
