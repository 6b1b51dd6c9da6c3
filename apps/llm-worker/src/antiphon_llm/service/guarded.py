"""A language model behind a circuit breaker."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from antiphon_runtime.upstream import Upstream

from antiphon_llm.service.model import ChatModel, Delta, Prompt


class GuardedModel:
    """Asks `model` through `upstream`; see `ChatModel`."""

    def __init__(self, model: ChatModel, upstream: Upstream) -> None:
        self._model = model
        self._upstream = upstream

    @property
    def name(self) -> str:
        """See `ChatModel`."""
        return self._model.name

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """See `ChatModel`; an answer of which nothing came is begun once more."""
        return self._upstream.stream(lambda: self._model.stream(prompt))
