"""The chat server: whether the language model that the settings name answers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from antiphon_contracts import AntiphonError
from antiphon_llm.engine.chat_server import ChatServerOptions, open_chat_server
from antiphon_llm.engine.choice import server_options
from antiphon_llm.engine.providers import ollama_models
from antiphon_llm.service import ChatMessage, Prompt
from antiphon_llm.settings import LlmSettings
from antiphon_runtime.upstream import shown

TIMEOUT_S = 10.0
GREETING = Prompt((ChatMessage("user", "Hello"),), max_tokens=16)
WITHOUT_IT = "ANTIPHON_LLM_PROVIDER=embedded antiphon up"
NO_SERVER = "the provider is openai, but no server is named"
NAME_ONE = "export ANTIPHON_LLM_BASE_URL=http://127.0.0.1:8080/v1  # or wherever it is"


@dataclass(frozen=True, slots=True)
class Look:
    """What was found.

    Attributes:
        detail: one sentence.
        remedy: the command that mends it; empty if all is well.
    """

    detail: str
    remedy: str = ""


async def look(settings: LlmSettings, timeout_s: float = TIMEOUT_S) -> Look:
    """Greet the server that the settings choose, just as the LLM worker would talk to it.

    An embedded model is not started for it.
    """
    if settings.providers:
        return await _look_at_all(settings, timeout_s)
    if settings.provider == "embedded":
        return Look(f"the embedded {settings.embedded_model}")
    if settings.provider != "ollama" and settings.base_url:
        key = settings.api_key.get_secret_value()
        server = ChatServerOptions(settings.base_url, key, settings.model)
        return await _greet(server, WITHOUT_IT, timeout_s)
    if settings.provider == "openai":
        return Look(NO_SERVER, NAME_ONE)
    return await _look_at_ollama(settings, timeout_s)


async def _look_at_ollama(settings: LlmSettings, timeout_s: float) -> Look:
    url = settings.ollama_url.rstrip("/")
    installed = await asyncio.to_thread(ollama_models, url)
    if not installed:
        nobody = f"no Ollama with a model answers at {shown(url)}"
        if settings.provider == "auto":
            return Look(f"the embedded {settings.embedded_model} ({nobody})")
        return Look(nobody, f"ollama pull {settings.model or 'qwen3:4b'}  # while `ollama serve`")
    model = settings.model or installed[0]
    remedy = f"ollama pull {model}"
    return await _greet(ChatServerOptions(f"{url}/v1", model=model), remedy, timeout_s)


async def _look_at_all(settings: LlmSettings, timeout_s: float) -> Look:
    """Greet every server of a chain; what is wrong with one of them is worth knowing."""
    details: list[str] = []
    remedy = ""
    for provider in settings.providers:
        if provider.kind == "embedded":
            details.append(f"the embedded {provider.model or settings.embedded_model}")
            continue
        mend = f"look at [[llm.providers]] {provider.name} in antiphon.toml"
        found = await _greet(server_options(settings, provider), mend, timeout_s)
        details.append(f"{provider.name}: {found.detail}")
        remedy = remedy or found.remedy
    return Look("; ".join(details), remedy)


async def _greet(server: ChatServerOptions, remedy: str, timeout_s: float) -> Look:
    where = shown(server.base_url)
    try:
        async with asyncio.timeout(timeout_s), open_chat_server(server) as model:
            async with aclosing(model.stream(GREETING)) as reply:
                async for _ in reply:
                    pass
            return Look(f"{model.name} answers")
    except TimeoutError:
        return Look(f"{where} has not answered a greeting within {timeout_s:g} s", remedy)
    except AntiphonError as error:
        return Look(str(error), remedy)
