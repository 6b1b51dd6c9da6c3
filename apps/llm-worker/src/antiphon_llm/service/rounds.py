"""One reply: a stream of the model, or several with tool calls between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from antiphon_contracts import EngineError, ToolSpec

from antiphon_llm.service import deciding
from antiphon_llm.service.calling import Calling, Exchange
from antiphon_llm.service.draft import Draft
from antiphon_llm.service.filters import Pipeline, TextFilter
from antiphon_llm.service.model import (
    ChatMessage,
    ChatModel,
    FinishReason,
    Prompt,
    RequestedCall,
)
from antiphon_llm.service.selection import ranked
from antiphon_llm.service.window import within

ToolMode = Literal["native", "schema", "none"]
End = Literal["stop", "length", "needs_tools"]


@dataclass(slots=True)
class Outcome:
    """How one stream ended."""

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason = "stop"
    needs_tools: bool = False


class Rounds:
    """Makes one reply with `model`, writing it into `draft`.

    What another model called before it failed is gone on from, and not called again.

    Args:
        model: who answers.
        calling: who carries out calls.
        draft: takes the text.
        filters: makes fresh text filters for each stream.
        thinking_s: how long the model may think before its first word.
        speaks_results: whether a tool's own sentence is the answer; for models that would only
            spoil it.
    """

    def __init__(
        self,
        model: ChatModel,
        calling: Calling,
        draft: Draft,
        filters: Callable[[], Sequence[TextFilter]],
        *,
        thinking_s: float = 50.0,
        speaks_results: bool = False,
    ) -> None:
        self._model = model
        self._calling = calling
        self._draft = draft
        self._filters = filters
        self._thinking_s = thinking_s
        self._speaks_results = speaks_results
        self._begun_at = 0

    @property
    def has_spoken(self) -> bool:
        """Whether something of the last stream was said already."""
        return len(self._draft.text) > self._begun_at

    async def run(self, prompt: Prompt, specs: tuple[ToolSpec, ...], mode: ToolMode) -> End:
        """Make the reply; returns whether it is whole, cut by its token limit, or needs a tool.

        A tentative request ends where a tool would have to be called; nothing is called for it.

        Raises:
            EngineError: the model failed or came to no answer; the draft holds what was made.
        """
        self._begun_at = len(self._draft.text)
        if not specs or mode == "none":
            outcome = await self._spoken(deciding.retold(prompt, self._calling.exchanges))
        elif mode == "native":
            outcome = await self._native(replace(prompt, tools=specs))
        else:
            outcome = await self._by_schema(prompt, specs)
        if outcome.needs_tools:
            return "needs_tools"
        if not self._draft.text.strip():
            raise EngineError(_nothing_said(outcome))
        return "length" if outcome.finish_reason == "length" else "stop"

    @property
    def _is_tentative(self) -> bool:
        return self._draft.request.data.tentative

    async def _native(self, prompt: Prompt) -> Outcome:
        while True:
            last = self._calling.must_end
            asked = prompt.extended(*as_messages(self._calling.exchanges))
            outcome = await self._spoken(replace(asked, may_call=not last))
            outcome.needs_tools = bool(outcome.calls) and self._is_tentative and not last
            if last or not outcome.calls or outcome.needs_tools:
                return outcome
            await self._calling.carry_out(outcome.text, outcome.calls)

    async def _by_schema(self, prompt: Prompt, specs: tuple[ToolSpec, ...]) -> Outcome:
        """Ask for one call at a time as constrained JSON, then for the answer as plain text."""
        specs = tuple(ranked(specs, self._draft.request.data.text))
        while not self._calling.must_end:
            asked = deciding.retold(prompt, self._calling.exchanges)
            name = deciding.chosen(await self._written(deciding.choosing(asked, specs)))
            if name == deciding.NO_TOOL:
                break
            if self._is_tentative:
                return Outcome(needs_tools=True)
            call = await self._filled(asked, specs, name)
            exchange = await self._calling.carry_out("", (call,))
            if self._speaks_results and (sentence := exchange.told[0].sentence):
                self._draft.add(sentence)
                return Outcome(sentence)
        return await self._spoken(deciding.retold(prompt, self._calling.exchanges))

    async def _filled(self, asked: Prompt, specs: Sequence[ToolSpec], name: str) -> RequestedCall:
        tool = next((spec for spec in specs if spec.name == name), None)
        schema = deciding.arguments_schema(tool) if tool is not None else None
        arguments = "{}"
        if tool is not None and schema is not None:
            arguments = await self._written(deciding.filling(asked, specs, tool, schema))
        return RequestedCall(f"call-{len(self._calling.exchanges)}", name, arguments)

    async def _written(self, prompt: Prompt) -> str:
        parts: list[str] = []
        await self._stream(prompt, parts.append)
        return "".join(parts)

    async def _spoken(self, prompt: Prompt) -> Outcome:
        pipeline = Pipeline(self._filters())
        before = self._draft.text
        self._begun_at = len(before)

        def show(text: str) -> None:
            # A reply that goes on after a tool call does not stick to what was said before it.
            fresh = self._draft.text == before
            gap = " " if fresh and before and not before[-1].isspace() and text else ""
            self._draft.add(gap + text)

        outcome = await self._stream(prompt, lambda text: show(pipeline.push(text)))
        show(pipeline.finish(cut=outcome.finish_reason == "length"))
        outcome.text = self._draft.text[len(before) :].strip()
        return outcome

    async def _stream(self, prompt: Prompt, take: Callable[[str], None]) -> Outcome:
        outcome = Outcome()
        writes = prompt.schema is not None
        limit = asyncio.timeout(None)
        due = None
        try:
            async with (
                limit,
                aclosing(self._model.stream(_in_window(prompt))) as stream,
            ):
                async for delta in stream:
                    if due is None:
                        # From its first sign of life; how long that may take is its pace.
                        due = asyncio.get_running_loop().time() + self._thinking_s
                        limit.reschedule(due)
                    self._draft.count(delta)
                    outcome.calls += delta.calls
                    outcome.finish_reason = delta.finish_reason or outcome.finish_reason
                    if delta.text:
                        take(delta.text)
                    if writes or self.has_spoken:
                        limit.reschedule(None)
        except TimeoutError:
            if not limit.expired():
                raise
            msg = f"The language model {self._model.name} thought for too long."
            raise EngineError(msg, retryable=True) from None
        return outcome


def _in_window(prompt: Prompt) -> Prompt:
    if not prompt.budget_tokens:
        return prompt
    kept = within(prompt.messages, prompt.budget_tokens, kept_first=prompt.kept_first)
    return replace(prompt, messages=kept)


def as_messages(exchanges: Sequence[Exchange]) -> tuple[ChatMessage, ...]:
    """Return calls and their results as native calls are told."""
    messages: list[ChatMessage] = []
    for exchange in exchanges:
        messages.append(ChatMessage("assistant", exchange.text, calls=exchange.calls))
        messages += [
            ChatMessage("tool", told.text, call_id=call.id)
            for call, told in zip(exchange.calls, exchange.told, strict=True)
        ]
    return tuple(messages)


def _nothing_said(outcome: Outcome) -> str:
    if outcome.calls:
        return "The language model kept calling tools and came to no answer."
    if outcome.finish_reason == "length":
        return "The language model came to no answer within its token limit; raise max_tokens."
    return "The language model gave an empty answer."
