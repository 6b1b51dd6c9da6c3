"""The port to language models, and what passes through it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from antiphon_contracts import EngineError, ToolSpec

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length"]


class ToolsUnsupported(EngineError):  # noqa: N818  (it is a finding about the model)
    """The model or its server takes no native tool calls."""


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call as the model wrote it.

    Attributes:
        id: the server's id, by which the result refers to it.
        name: the tool's name; may be wrong.
        arguments: meant to be a JSON object; may be none.
    """

    id: str
    name: str
    arguments: str


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
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    tools: tuple[ToolSpec, ...] = ()
    may_call: bool = True
    schema: dict[str, Any] | None = field(default=None, compare=False)
    temperature: float | None = None
    repeat_penalty: float | None = None
    stop: tuple[str, ...] = ()

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
    """

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


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
        """
