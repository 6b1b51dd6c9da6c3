"""The tool loop, with a scripted model on the in-memory bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from antiphon_contracts import (
    LLM_REQUEST,
    TOOLS_CALL,
    TOOLS_REGISTRY,
    EngineError,
    LlmRequest,
    LlmResponse,
    Message,
    ToolCall,
    ToolRegistry,
    ToolResult,
    ToolSpec,
)
from antiphon_llm.service import ToolsUnsupported
from antiphon_llm.service.deciding import choice_schema
from antiphon_llm.settings import LlmSettings
from antiphon_llm.testing import ScriptedModel, Turn, brain_of, calls, end
from antiphon_runtime.handlers import serve
from antiphon_runtime.testing import House
from antiphon_runtime.worker import Wiring, Worker

pytestmark = pytest.mark.unit

OPEN = {"type": "object", "properties": {}}
TOOLS = (
    ToolSpec(name="get_time", description="The time.", parameters=OPEN, idempotent=True),
    ToolSpec(name="lamp.on", description="Turns the lamp on.", parameters=OPEN),
)

Run = Callable[[Message[ToolCall]], Awaitable[ToolResult]]


async def ten_past(message: Message[ToolCall]) -> ToolResult:
    return ToolResult(name=message.data.name, result={"time": "16:10"})


@asynccontextmanager
async def house_of(
    model: ScriptedModel, run: Run | None = ten_past, *, small: bool = False, **changes: Any
) -> AsyncIterator[House]:
    settings = LlmSettings(context_timeout_s=0.01, retry_delay_s=0.0, **changes)
    async with asyncio.timeout(10), House(requests=[LLM_REQUEST]) as house:
        tools = await house.serve(*([serve(TOOLS_CALL, run, concurrency=4)] if run else []))
        tools.publish(TOOLS_REGISTRY, ToolRegistry(tools=TOOLS))
        await house.move_in("llm", settings, brain_of(model, small=small))
        yield house


async def ask(house: House, **fields: Any) -> LlmResponse:
    request = LlmRequest(text="What time is it?", use_rag=False, **fields)
    return await house.bus.request(LLM_REQUEST, request, timeout_s=5)


def told(model: ScriptedModel, prompt: int = 1) -> list[str]:
    return [m.content for m in model.prompts[prompt].messages if m.role == "tool"]


async def test_a_call_is_carried_out_and_its_result_told() -> None:
    model = ScriptedModel(["Let me see.", calls(("get_time", "{}"))], ["It is ten past.", end()])
    async with house_of(model) as house:
        response = await ask(house)

    assert response.reply == "Let me see. It is ten past."
    assert response.tools_used == ("get_time",)
    assert [tool.name for tool in model.prompts[0].tools] == ["get_time", "lamp.on"]
    assert told(model) == ['{"time": "16:10"}']
    asked = model.prompts[1].messages[-2]
    assert (asked.role, asked.content, asked.calls[0].id) == ("assistant", "Let me see.", "c0")


async def test_two_calls_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    async def run(message: Message[ToolCall]) -> ToolResult:
        await both.wait()
        return ToolResult(name=message.data.name, result=message.data.name)

    model = ScriptedModel(
        [calls(("get_time", "{}"), ("lamp.on", '{"room": "hall"}'))], ["k", end()]
    )
    async with house_of(model, run) as house:
        await ask(house)

    assert told(model) == ["get_time", "lamp.on"]


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("fly", "{}", "no such tool"),
        ("get_time", '{"a":', "not a JSON object"),
        ("get_time", "[1]", "not a JSON object"),
        ("get_time", "[" * 5000, "not a JSON object"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model(name: str, arguments: str, sentence: str) -> None:
    async def run(_message: Message[ToolCall]) -> ToolResult:
        raise AssertionError

    model = ScriptedModel([calls((name, arguments))], ["Sorry.", end()])
    async with house_of(model, run) as house:
        response = await ask(house)

    assert response.reply == "Sorry."
    assert sentence in told(model)[0]


async def test_calling_without_end_is_stopped() -> None:
    again = [calls(("get_time", "{}"))]
    model = ScriptedModel(again, again, ["Enough.", end()])
    async with house_of(model, tool_rounds=2) as house:
        response = await ask(house)

    assert response.reply == "Enough."
    assert [prompt.may_call for prompt in model.prompts] == [True, True, False]


async def test_a_model_that_still_calls_is_an_error() -> None:
    model = ScriptedModel(*[[calls(("get_time", "{}"))]] * 2)
    async with house_of(model, tool_rounds=1) as house:
        response = await ask(house)

    assert "kept calling tools" in (response.error or "")


@pytest.mark.parametrize(
    ("name", "sentence"), [("get_time", "not answered"), ("lamp.on", "unknown outcome")]
)
async def test_a_call_without_answer(name: str, sentence: str) -> None:
    model = ScriptedModel([calls((name, "{}"))], ["Hm.", end()])
    async with house_of(model, None, tool_timeout_s=0.02) as house:
        await ask(house)

    assert sentence in told(model)[0]


async def test_errors_of_tools_are_told_and_long_results_cut() -> None:
    async def run(message: Message[ToolCall]) -> ToolResult:
        if message.data.name == "get_time":
            return ToolResult(name="get_time", error="The clock stands still.")
        return ToolResult(name="lamp.on", result="x" * 10_000)

    model = ScriptedModel([calls(("get_time", "{}"), ("lamp.on", "{}"))], ["k", end()])
    async with house_of(model, run, tool_result_chars=100) as house:
        await ask(house)

    first, second = told(model)
    assert first == "Error: The clock stands still."
    assert len(second) == 100
    assert "10000 characters in all, cut" in second


async def test_one_crashing_tool_does_not_cancel_its_sibling() -> None:
    async def run(message: Message[ToolCall]) -> ToolResult:
        if message.data.name == "lamp.on":
            raise EngineError("fuse")
        await asyncio.sleep(0)
        return ToolResult(name="get_time", result="16:10")

    model = ScriptedModel([calls(("lamp.on", "{}"), ("get_time", "{}"))], ["k", end()])
    async with house_of(model, run) as house:
        await ask(house)

    assert "unknown outcome" in told(model)[0]
    assert told(model)[1] == "16:10"


async def test_tools_are_offered_only_where_they_are_wanted() -> None:
    model = ScriptedModel(["a", end()])
    async with house_of(model) as house:
        await ask(house, tools=False)
    assert model.prompts[0].tools == ()

    model = ScriptedModel(["a", end()])
    async with house_of(model, small=True) as house:
        await ask(house)
    assert model.prompts[0].tools == ()


def choice(tool: str) -> Turn:
    return [json.dumps({"tool": tool}), end()]


async def test_schema_mode_decides_then_answers() -> None:
    model = ScriptedModel(choice("get_time"), choice("none"), ["Ten past.", end()])
    async with house_of(model, tool_mode="schema") as house:
        response = await ask(house)

    assert response.reply == "Ten past."
    assert response.tools_used == ("get_time",)
    first, second, last = model.prompts
    assert first.schema == choice_schema(TOOLS)
    assert first.tools == ()
    assert "16:10" in second.messages[-1].content
    assert last.schema is None


async def test_schema_mode_survives_nonsense() -> None:
    model = ScriptedModel(["[]", end()], choice("none"), ["Hm.", end()])
    async with house_of(model, tool_mode="schema") as house:
        response = await ask(house)

    assert response.reply == "Hm."
    assert "no such tool" in model.prompts[1].messages[-1].content


async def test_auto_changes_to_schema_when_the_server_takes_no_tools() -> None:
    none = choice("none")
    model = ScriptedModel(
        [ToolsUnsupported("no tools")], none, ["One.", end()], none, ["Two.", end()]
    )
    async with house_of(model) as house:
        assert (await ask(house)).reply == "One."
        assert (await ask(house)).reply == "Two."

    assert [bool(prompt.tools) for prompt in model.prompts] == [True, *[False] * 4]


async def test_tools_are_known_after_a_reload() -> None:
    first, second = ScriptedModel(["One.", end()]), ScriptedModel(["Two.", end()])
    workers: list[Worker[LlmSettings]] = []

    def build(worker: Worker[LlmSettings]) -> Wiring:
        workers.append(worker)
        return brain_of(first)(worker)

    async with asyncio.timeout(10), House(requests=[LLM_REQUEST]) as house:
        tools = await house.serve()
        tools.publish(TOOLS_REGISTRY, ToolRegistry(tools=TOOLS))
        bus = await house.move_in("llm", LlmSettings(context_timeout_s=0.01), build)
        await ask(house)
        wiring = brain_of(second)(workers[0])
        bus.install(wiring.handlers, wiring.requests)
        async with wiring.lifespan():
            assert (await ask(house)).reply == "Two."

    assert len(second.prompts[0].tools) == 2


async def nobody(message: Message[ToolCall]) -> ToolResult:
    pytest.fail("a tentative request called a tool")


async def test_a_tentative_request_ends_where_a_tool_is_needed() -> None:
    model = ScriptedModel(["Let me see.", calls(("lamp.on", "{}"))])
    async with house_of(model, nobody) as house:
        response = await ask(house, tentative=True)

    assert response.finish_reason == "needs_tools"
    assert response.error is None
    assert response.reply == "Let me see."
    assert response.tools_used == ()
    assert [tool.name for tool in model.prompts[0].tools] == ["get_time", "lamp.on"]


async def test_a_tentative_request_that_needs_no_tool_is_as_any_other() -> None:
    model = ScriptedModel(["It is ", "red.", end()], ["It is ", "red.", end()])
    async with house_of(model, nobody) as house:
        tentative = await ask(house, tentative=True)
        certain = await ask(house)

    assert (tentative.reply, tentative.finish_reason) == ("It is red.", "stop")
    assert tentative.reply == certain.reply
    # Only the clock may differ: the server's cache of the prompt serves both.
    assert model.prompts[0].tools == model.prompts[1].tools
    assert model.prompts[0].messages[0].role == model.prompts[1].messages[0].role
    assert model.prompts[0].messages[-1] == model.prompts[1].messages[-1]


async def test_a_tentative_request_by_schema_ends_where_a_tool_is_needed() -> None:
    model = ScriptedModel(choice("lamp.on"))
    async with house_of(model, nobody, tool_mode="schema") as house:
        response = await ask(house, tentative=True)

    assert (response.finish_reason, response.reply, response.error) == ("needs_tools", "", None)
