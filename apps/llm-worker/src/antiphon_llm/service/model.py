"""The port to language models, and what passes through it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from antiphon_contracts import EngineError, ToolSpec

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length"]


class ToolsUnsupported(EngineError):  # noqa: N818  (it is a finding about the model)
    """The model or its server takes no native tool calls."""


class Declined(EngineError):  # noqa: N818  (it is an answer, not a fault)
    """The provider will not answer this; asking another model would evade its rules."""


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call as the model wrote it.

    Attributes:
        id: the server's id, by which the result refers to it.
        name: the tool's name; may be wrong.
        arguments: meant to be a JSON object; may be none.
        extra: what else the server wants to have back with it (Gemini's thought signatures).
    """

    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a prompt."""

    role: Role
    content: str
    calls: tuple[RequestedCall, ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that a model is asked at once.

    Attributes:
        messages: system, history, question, tool results, in order.
        tools: tools on offer for native calls.
        may_call: false keeps the tools in the prompt, but forbids to call one.
        schema: JSON Schema that the whole answer keeps to.
        temperature: None is the server's own.
        max_tokens: longest answer.
        repeat_penalty: llama.cpp's; None sends none.
        stop: texts that end the answer.
        budget_tokens: what all messages may have together, roughly; 0 is no limit.
        kept_first: so many messages begin every prompt and are never left out.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    tools: tuple[ToolSpec, ...] = ()
    may_call: bool = True
    schema: dict[str, Any] | None = field(default=None, compare=False)
    temperature: float | None = None
    repeat_penalty: float | None = None
    stop: tuple[str, ...] = ()
    budget_tokens: int = 0
    kept_first: int = 1

    def extended(self, *messages: ChatMessage) -> Prompt:
        """Return this prompt with messages appended."""
        return replace(self, messages=self.messages + messages)


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer.

    Attributes:
        text: to be appended.
        calls: complete tool calls; they come with the last piece.
        finish_reason: set on the last piece; `length` was cut by `max_tokens`.
        prompt_tokens: as the server counted, once known.
        completion_tokens: likewise.
        cached_tokens: of the prompt's, what the server still knew.
        thinking: the model thinks where nobody hears it: a sign of life without text.
    """

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    thinking: bool = False


class ChatModel(Protocol):
    """A language model that answers piece by piece."""

    @property
    def name(self) -> str:
        """What it is and where, for people."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it is made; closing the generator makes the model stop at once.

        Raises:
            EngineError: the model does not answer, refuses, or breaks off; `retryable` if the same
                prompt may succeed later.
            ToolsUnsupported: it takes no native tools.
            Declined: it will not answer this.
        """
