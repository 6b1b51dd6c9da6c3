"""Prompts and answers as the OpenAI chat API writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from antiphon_contracts import EngineError, ToolSpec

from antiphon_llm.engine.presets import Preset
from antiphon_llm.service.model import (
    ChatMessage,
    Declined,
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


def wire_tools(tools: Iterable[ToolSpec], preset: Preset) -> list[dict[str, Any]]:
    """Return tools as the API wants them."""
    return [
        {
            "type": "function",
            "function": {
                "name": wire_name(tool.name),
                "description": tool.description,
                "parameters": preset.schema(tool.parameters),
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
        wire["tool_calls"] = [_wire_call(call) for call in message.calls]
    return wire


def _wire_call(call: RequestedCall) -> dict[str, Any]:
    name = wire_name(call.name) or "unknown"
    function = {"name": name, "arguments": _valid(call.arguments)}
    wire = {"id": call.id, "type": "function", "function": function}
    return wire if call.extra is None else {**wire, "extra_content": call.extra}


def _valid(arguments: str) -> str:
    """Return arguments that a server can read again: some parse them and refuse nonsense."""
    return arguments if _is_object(arguments) else "{}"


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
        self._tokens = (0, 0, 0)

    @property
    def begun(self) -> bool:
        """Whether anything of the answer has come."""
        return self._chars > 0

    def add(self, chunk: ChatCompletionChunk) -> Delta | None:
        """Take a chunk in; returns what of it is to be handed on.

        Thoughts in fields of their own (`reasoning_content`, `reasoning`) are a sign of life.

        Raises:
            EngineError: the answer does not come to an end.
        """
        self._count(chunk)
        text, thoughts = "", ""
        for choice in chunk.choices[:1]:
            self._finish = choice.finish_reason or self._finish
            text = choice.delta.content or ""
            thoughts = _thoughts(choice.delta.model_extra)
            for fragment in choice.delta.tool_calls or ():
                self._add_fragment(fragment)
                thoughts = thoughts or "a call"
        self._chars += len(text) + len(thoughts)
        if self._chars > MAX_ANSWER_CHARS:
            msg = "The language model did not come to an end."
            raise EngineError(msg)
        return Delta(text, thinking=not text) if text or thoughts else None

    def _count(self, chunk: ChatCompletionChunk) -> None:
        usage = chunk.usage
        cached = self._tokens[2]
        if usage is not None:
            details = usage.prompt_tokens_details
            cached = (details and details.cached_tokens) or cached
            self._tokens = (usage.prompt_tokens, usage.completion_tokens, cached)
        timings = (chunk.model_extra or {}).get("timings")
        if isinstance(timings, dict) and isinstance(timings.get("cache_n"), int):
            self._tokens = (*self._tokens[:2], timings["cache_n"])  # llama.cpp's own count

    def _add_fragment(self, fragment: ChoiceDeltaToolCall) -> None:
        call = next((item for item in self._calls if item.index == fragment.index), None)
        function = fragment.function
        if call is None or call.is_before(fragment):
            if len(self._calls) >= MAX_CALLS:
                return
            call = _Call(fragment.index)
            self._calls.insert(0, call)
        call.id = fragment.id or call.id
        call.extra = (fragment.model_extra or {}).get("extra_content") or call.extra
        if function is not None:
            call.name += function.name or ""
            call.arguments += function.arguments or ""
            self._chars += len(function.arguments or "")

    def last(self, where: str) -> Delta:
        """Return the last piece.

        Raises:
            EngineError: the answer is not complete.
            Declined: it was refused.
        """
        if not self._finish:
            msg = f"The language model at {where} broke off its answer."
            raise EngineError(msg, retryable=True)
        if self._finish == "content_filter":
            msg = f"The language model at {where} refused to answer that."
            raise Declined(msg)
        calls = tuple(self._requested(call) for call in reversed(self._calls))
        finish: FinishReason = "length" if self._finish == "length" else "stop"
        return Delta("", _with_own_ids(calls), finish, *self._tokens)

    def _requested(self, call: _Call) -> RequestedCall:
        name = self._names.get(call.name, call.name)
        return RequestedCall(call.id, name, call.arguments, call.extra)


def _with_own_ids(calls: Sequence[RequestedCall]) -> tuple[RequestedCall, ...]:
    """Return calls of which no two have one id: a result belongs to its call by that alone."""
    found: list[RequestedCall] = []
    for number, call in enumerate(calls):
        is_taken = any(other.id == call.id for other in found)
        if is_taken or not call.id:
            found.append(replace(call, id=f"{call.id or 'call'}-{number}"))
        else:
            found.append(call)
    return tuple(found)


def _thoughts(fields: Mapping[str, Any] | None) -> str:
    found = ((fields or {}).get(name) for name in ("reasoning_content", "reasoning"))
    return next((text for text in found if isinstance(text, str) and text), "")


@dataclass
class _Call:
    """A tool call that is coming in."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Any] | None = None

    def is_before(self, fragment: ChoiceDeltaToolCall) -> bool:
        """Whether a fragment of this index begins another call.

        Some servers number every call 0 and tell them apart by id alone; some have no ids, or one
        for all, and each call comes whole.
        """
        if fragment.id and self.id and fragment.id != self.id:
            return True
        named = fragment.function is not None and bool(fragment.function.name)
        return named and bool(self.name) and _is_object(self.arguments)


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
