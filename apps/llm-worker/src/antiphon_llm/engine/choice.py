"""The chain of language models that the settings ask for, held open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from antiphon_contracts import ConfigError
from antiphon_models import ModelStore

from antiphon_llm.engine.chat_server import ChatServer, ChatServerOptions, open_chat_server
from antiphon_llm.engine.embedded import EmbeddedOptions
from antiphon_llm.engine.late import EmbeddedModel, open_embedded_model
from antiphon_llm.engine.presets import PRESETS
from antiphon_llm.engine.providers import providers_of
from antiphon_llm.service import (
    Brain,
    Pace,
    Profile,
    Sampling,
    SmallProfile,
    StandardProfile,
    ThoughtHabit,
    tool_mode_for,
)
from antiphon_llm.settings import LlmSettings, ProviderSettings

EMBEDDED_CONTEXT_TOKENS = 2048
SERVER_CONTEXT_TOKENS = 4096  # Ollama's default window
SMALL_MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class _Place:
    """A provider, and where in the chain it stands."""

    provider: ProviderSettings
    is_first: bool
    is_last: bool


@asynccontextmanager
async def open_brains(settings: LlmSettings, models: ModelStore) -> AsyncIterator[list[Brain]]:
    """Open the models that the settings name, in the order in which they are asked.

    A server need not be up yet. An embedded model is loaded now if it comes first, else when it is
    needed.

    Raises:
        ConfigError: what is configured cannot be had; the text says what mends it.
    """
    providers = await providers_of(settings)
    last = len(providers) - 1
    async with AsyncExitStack() as stack:
        yield [
            await _open(stack, settings, models, _Place(provider, at == 0, at == last))
            for at, provider in enumerate(providers)
        ]


async def _open(
    stack: AsyncExitStack, settings: LlmSettings, models: ModelStore, place: _Place
) -> Brain:
    provider = place.provider
    is_embedded = provider.kind == "embedded"
    window = provider.context_tokens or settings.context_tokens
    window = window or (EMBEDDED_CONTEXT_TOKENS if is_embedded else SERVER_CONTEXT_TOKENS)
    model: ChatServer | EmbeddedModel
    if is_embedded:
        model = await _open_embedded(stack, settings, models, place, window)
    else:
        model = await stack.enter_async_context(
            open_chat_server(server_options(settings, provider))
        )
    profile = profile_for(settings, provider, model.name)
    asked = settings.tool_mode if provider.tool_mode == "auto" else provider.tool_mode
    wants = settings.history_summary
    return Brain(
        model,
        profile,
        window,
        name=provider.name,
        # An embedded one reads hundreds of tokens before it can be stopped, and forgets the prefix
        # that it knew.
        summarises=wants == "on" or (wants == "auto" and not is_embedded),
        tool_mode=tool_mode_for(asked, profile, is_embedded=is_embedded),
        adapts=asked == "auto",
        is_own=is_embedded,
        pace=_pace(settings, place),
        thinking_s=provider.thinking_timeout_s or settings.thinking_timeout_s,
        prefills=PRESETS[provider.kind].is_local and (place.is_first or not is_embedded),
    )


async def _open_embedded(
    stack: AsyncExitStack,
    settings: LlmSettings,
    models: ModelStore,
    place: _Place,
    window: int,
) -> EmbeddedModel:
    name = place.provider.model or settings.embedded_model
    weights = await asyncio.to_thread(gguf_file, models, name)
    options = EmbeddedOptions(weights, settings.threads, window)
    stall_s = place.provider.stall_timeout_s or settings.stall_timeout_s
    model = await stack.enter_async_context(open_embedded_model(options, stall_timeout_s=stall_s))
    if place.is_first:
        await model.load()
    return model


def server_options(settings: LlmSettings, provider: ProviderSettings) -> ChatServerOptions:
    """Return how to reach a provider's server."""
    return ChatServerOptions(
        provider.base_url or PRESETS[provider.kind].base_url,
        provider.api_key.get_secret_value(),
        provider.model,
        provider.stall_timeout_s or settings.stall_timeout_s,
        connect_timeout_s=provider.connect_timeout_s,
        kind=provider.kind,
        reasoning_effort=provider.reasoning_effort,
    )


def _pace(settings: LlmSettings, place: _Place) -> Pace:
    stall_s = place.provider.stall_timeout_s or settings.stall_timeout_s
    # Nobody comes after the last: its model may take its time to load.
    first_s = stall_s if place.is_last else min(settings.first_token_timeout_s, stall_s)
    return Pace(place.provider.first_token_timeout_s or first_s, stall_s)


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


def profile_for(settings: LlmSettings, provider: ProviderSettings, model: str) -> Profile:
    """Return the profile that the settings or else the model's size ask for."""
    max_tokens = provider.max_tokens or settings.max_tokens or None
    sampling = Sampling(settings.temperature, max_tokens, settings.system or None)
    asked = settings.profile if provider.profile == "auto" else provider.profile
    is_small = provider.kind == "embedded" and SMALL_MODEL in model.lower()
    habit = ThoughtHabit(model)
    if asked == "small" or (asked == "auto" and is_small):
        return SmallProfile(sampling, notes_min_score=settings.notes_min_score, habit=habit)
    return StandardProfile(
        sampling,
        notes_limit=settings.notes_limit,
        history_tokens=settings.history_tokens,
        habit=habit,
    )
