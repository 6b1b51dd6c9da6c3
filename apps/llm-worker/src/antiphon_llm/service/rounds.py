"""One reply: a stream of the model, or several with tool calls between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

from antiphon_contracts import EngineError, ToolSpec

from antiphon_llm.service.draft import Draft
from antiphon_llm.service.filters import Pipeline, TextFilter
from antiphon_llm.service.model import (
    ChatMessage,
    ChatModel,
    FinishReason,
    Prompt,
    RequestedCall,
)
from antiphon_llm.service.tools import ToolBelt

ToolMode = Literal["native", "schema", "none"]
End = Literal["stop", "length", "needs_tools"]

NO_TOOL = "none"
DECIDE = "\n\n(Which tool is needed now? Answer in JSON.)"


@dataclass(frozen=True, slots=True)
class RoundRules:
    """Limits of a reply.

    Attributes:
        tool_rounds: how often tools may be called.
    """

    tool_rounds: int = 5


@dataclass(slots=True)
class Outcome:
    """How one stream ended."""

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    finish_reason: FinishReason = "stop"
    needs_tools: bool = False


class Rounds:
    """Makes one reply with `model`, writing it into `draft`.

    Args:
        model: who answers.
        tools: who carries out calls.
        draft: takes the text.
        rules: limits.
        filters: makes fresh text filters for each stream.
    """

    def __init__(
        self,
        model: ChatModel,
        tools: ToolBelt,
        draft: Draft,
        rules: RoundRules,
        filters: Callable[[], Sequence[TextFilter]],
    ) -> None:
        self._model = model
        self._tools = tools
        self._draft = draft
        self._rules = rules
        self._filters = filters

    async def run(self, prompt: Prompt, specs: tuple[ToolSpec, ...], mode: ToolMode) -> End:
        """Make the reply; returns whether it is whole, cut by its token limit, or needs a tool.

        A tentative request ends where a tool would have to be called; nothing is called for it.

        Raises:
            EngineError: the model failed or came to no answer; the draft holds what was made.
        """
        if not specs or mode == "none":
            outcome = await self._spoken(prompt)
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
        outcome = Outcome()
        for number in range(self._rules.tool_rounds + 1):
            last = number == self._rules.tool_rounds
            outcome = await self._spoken(replace(prompt, may_call=False) if last else prompt)
            outcome.needs_tools = bool(outcome.calls) and self._is_tentative and not last
            if last or not outcome.calls or outcome.needs_tools:
                break
            results = await self._call(outcome.calls)
            prompt = prompt.extended(
                ChatMessage("assistant", outcome.text, calls=outcome.calls),
                *(
                    ChatMessage("tool", result, call_id=call.id)
                    for call, result in zip(outcome.calls, results, strict=True)
                ),
            )
        return outcome

    async def _by_schema(self, prompt: Prompt, specs: tuple[ToolSpec, ...]) -> Outcome:
        """Ask for one call at a time as constrained JSON, then for the answer as plain text."""
        prompt = _with_tool_list(prompt, specs)
        schema = call_schema(specs)
        for number in range(self._rules.tool_rounds):
            decision = await self._decision(prompt, schema)
            call = _call_in(decision, number)
            if call is None:
                break
            if self._is_tentative:
                return Outcome(needs_tools=True)
            (result,) = await self._call((call,))
            prompt = prompt.extended(
                ChatMessage("assistant", decision),
                ChatMessage("user", f"The tool returned: {result}\nNow answer what was asked."),
            )
        return await self._spoken(prompt)

    async def _call(self, calls: Sequence[RequestedCall]) -> list[str]:
        known = {tool.name for tool in self._tools.specs()}
        self._draft.tools_used += [call.name for call in calls if call.name in known]
        request = self._draft.request
        return await self._tools.call_all(calls, turn_id=request.turn_id, site_id=request.site_id)

    async def _decision(self, prompt: Prompt, schema: dict[str, Any]) -> str:
        *before, last = prompt.messages
        asking = replace(
            prompt,
            messages=(*before, replace(last, content=last.content + DECIDE)),
            schema=schema,
            temperature=0.0,
            stop=(),
        )
        parts: list[str] = []
        await self._stream(asking, parts.append)
        return "".join(parts)

    async def _spoken(self, prompt: Prompt) -> Outcome:
        pipeline = Pipeline(self._filters())
        before = self._draft.text

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
        async with aclosing(self._model.stream(prompt)) as stream:
            async for delta in stream:
                self._draft.prompt_tokens += delta.prompt_tokens
                self._draft.completion_tokens += delta.completion_tokens
                outcome.calls += delta.calls
                outcome.finish_reason = delta.finish_reason or outcome.finish_reason
                if delta.text:
                    take(delta.text)
        return outcome


def call_schema(specs: Sequence[ToolSpec]) -> dict[str, Any]:
    """Return the JSON Schema of "call this tool with these arguments", or of no call at all."""
    choices: list[dict[str, Any]] = [_object(tool={"const": NO_TOOL})]
    choices += [_object(tool={"const": tool.name}, arguments=tool.parameters) for tool in specs]
    return _object(action={"anyOf": choices})


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _call_in(decision: str, number: int) -> RequestedCall | None:
    """Return the call that a decision names, None for no call; nonsense is a call of no tool."""
    try:
        action = json.loads(decision)["action"]
        name, arguments = str(action["tool"]), action.get("arguments", {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        name, arguments = "", {}
    if name == NO_TOOL:
        return None
    return RequestedCall(f"call-{number}", name, json.dumps(arguments))


def _with_tool_list(prompt: Prompt, specs: Sequence[ToolSpec]) -> Prompt:
    tools = "\n".join(
        f"- {tool.name}: {tool.description} Arguments: {json.dumps(tool.parameters)}"
        for tool in specs
    )
    text = (
        f"\n\nTools that can be called:\n{tools}\n"
        'Asked for JSON, name the one that is needed as {"action": {"tool": name, "arguments": '
        f'{{...}}}}}}, or "{NO_TOOL}" if none is. Otherwise answer in plain words.'
    )
    system, *rest = prompt.messages
    return replace(prompt, messages=(replace(system, content=system.content + text), *rest))


def _nothing_said(outcome: Outcome) -> str:
    if outcome.calls:
        return "The language model kept calling tools and came to no answer."
    if outcome.finish_reason == "length":
        return "The language model came to no answer within its token limit; raise max_tokens."
    return "The language model gave an empty answer."
