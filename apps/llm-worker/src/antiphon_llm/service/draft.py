"""A reply in the making."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from antiphon_contracts import LlmRequest, LlmResponse, MemoryResult, Message, Usage

from antiphon_llm.service.model import Delta

Publish = Callable[[int, str], None]


class Draft:
    """What was made of a reply so far; every piece added is published with its number.

    Args:
        request: what is being answered.
        publish: takes the piece's number, from 0, and its text.

    Attributes:
        text: the reply so far.
        tools_used: names of the tools that were called.
        notes: the memories in the prompt.
        prompt_tokens: read, by all models that were asked.
        cached_tokens: of those, what a server still knew.
        completion_tokens: written.
        model: who answers, for people.
        before_first: called once, before the first piece is published.
    """

    def __init__(self, request: Message[LlmRequest], publish: Publish) -> None:
        self.request = request
        self.text = ""
        self.tools_used: list[str] = []
        self.notes: tuple[MemoryResult, ...] = ()
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.model = ""
        self.before_first: Callable[[], None] | None = None
        self._publish = publish
        self._count = 0
        self._begun = asyncio.get_running_loop().time()
        self._context_ms = 0.0
        self._first_token_ms = 0.0

    def add(self, text: str) -> None:
        """Append a piece, and publish it."""
        if not text:
            return
        announce, self.before_first = self.before_first, None
        if announce is not None:
            announce()
        if not self._count:
            self._first_token_ms = self._elapsed_ms()
        self._publish(self._count, text)
        self._count += 1
        self.text += text

    def count(self, delta: Delta) -> None:
        """Add up what a model's server counted."""
        self.prompt_tokens += delta.prompt_tokens
        self.cached_tokens += delta.cached_tokens
        self.completion_tokens += delta.completion_tokens

    def note_context(self) -> None:
        """The context is complete."""
        self._context_ms = self._elapsed_ms()

    def cancelled(self) -> LlmResponse:
        """Return the reply as far as it came."""
        return LlmResponse(reply=self.text, finish_reason="cancelled", **self._facts())

    def failed(self, sentence: str) -> LlmResponse:
        """Return the reply as far as it came, with the error."""
        return LlmResponse(reply=self.text, finish_reason="error", error=sentence, **self._facts())

    def finished(self, reason: Literal["stop", "length", "needs_tools"]) -> LlmResponse:
        """Return the whole reply, or what was made of it before a tool was needed."""
        return LlmResponse(reply=self.text, finish_reason=reason, **self._facts())

    def _elapsed_ms(self) -> float:
        return round((asyncio.get_running_loop().time() - self._begun) * 1000, 1)

    def _facts(self) -> dict[str, object]:
        return {
            "sources": tuple(note.id for note in self.notes),
            "tools_used": tuple(dict.fromkeys(self.tools_used)),
            "model": self.model,
            "usage": Usage(
                prompt_tokens=self.prompt_tokens,
                cached_tokens=self.cached_tokens,
                completion_tokens=self.completion_tokens,
                context_ms=self._context_ms,
                first_token_ms=self._first_token_ms,
                total_ms=self._elapsed_ms(),
            ),
        }
