"""Prompts and answers as the OpenAI chat API writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from antiphon_contracts import EngineError, ToolSpec

from antiphon_llm.service.model import (
    ChatMessage,
    Delta,
    FinishReason,
    Prompt,
    RequestedCall,
)

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

MAX_ANSWER_CHARS = 200_000
MAX_CALLS = 64


def wire_name(name: str) -> str:
    """Return a tool's name without dots, which the API does not allow."""
    return name.replace(".", "__")


def wire_tools(tools: Iterable[ToolSpec]) -> list[dict[str, Any]]:
    """Return tools as the API wants them."""
    return [
        {
            "type": "function",
            "function": {
                "name": wire_name(tool.name),
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in tools
    ]


def wire_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Return a prompt's messages as the API wants them."""
    return [_wire_message(message) for message in prompt.messages]


def _wire_message(message: ChatMessage) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.call_id is not None:
        wire["tool_call_id"] = message.call_id
    if message.calls:
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": wire_name(call.name) or "unknown",
                    "arguments": _valid(call.arguments),
                },
            }
            for call in message.calls
        ]
    return wire


def _valid(arguments: str) -> str:
    """Return arguments that a server can read again: some parse them and refuse nonsense."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


class Assembly:
    """Puts an answer together from its chunks.

    Args:
        names: tools' names by their names on the wire.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._calls: list[_Call] = []
        self._finish = ""
        self._chars = 0
        self._tokens = (0, 0)

    @property
    def begun(self) -> bool:
        """Whether anything of the answer has come."""
        return self._chars > 0

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Take a chunk in; returns its text.

        Raises:
            EngineError: the answer does not come to an end.
        """
        if chunk.usage is not None:
            self._tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        text = ""
        for choice in chunk.choices[:1]:
            self._finish = choice.finish_reason or self._finish
            text = choice.delta.content or ""
            for fragment in choice.delta.tool_calls or ():
                self._add_fragment(fragment)
        self._chars += len(text)
        if self._chars > MAX_ANSWER_CHARS:
            msg = "The language model did not come to an end."
            raise EngineError(msg)
        return text

    def _add_fragment(self, fragment: ChoiceDeltaToolCall) -> None:
        call = next((item for item in self._calls if item.index == fragment.index), None)
        # Some servers number every call 0 and tell them apart by id alone.
        is_other = call is not None and fragment.id and call.id and fragment.id != call.id
        if call is None or is_other:
            if len(self._calls) >= MAX_CALLS:
                return
            call = _Call(fragment.index)
            self._calls.insert(0, call)
        call.id = fragment.id or call.id
        if fragment.function is not None:
            call.name += fragment.function.name or ""
            call.arguments += fragment.function.arguments or ""
            self._chars += len(fragment.function.arguments or "")

    def last(self, where: str) -> Delta:
        """Return the last piece.

        Raises:
            EngineError: the answer is not complete, or was refused.
        """
        if not self._finish:
            msg = f"The language model at {where} broke off its answer."
            raise EngineError(msg, retryable=True)
        if self._finish == "content_filter":
            msg = f"The language model at {where} refused to answer that."
            raise EngineError(msg)
        calls = tuple(
            RequestedCall(
                call.id or f"call-{number}", self._names.get(call.name, call.name), call.arguments
            )
            for number, call in enumerate(reversed(self._calls))
        )
        finish: FinishReason = "length" if self._finish == "length" else "stop"
        return Delta("", calls, finish, *self._tokens)


class _Call:
    """A tool call that is coming in."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments = ""
