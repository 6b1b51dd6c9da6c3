"""The OpenAI-compatible adapter: the real client against a scripted server, real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partialmethod
from pathlib import Path
from typing import Literal

import pytest
from antiphon_contracts import (
    HEALTH,
    LLM_CANCEL,
    LLM_REQUEST,
    LLM_STREAM,
    ConfigError,
    EngineError,
    LlmCancel,
    LlmRequest,
    LlmResponse,
    ToolSpec,
)
from antiphon_llm.engine import open_brains
from antiphon_llm.engine.chat_server import ChatServer, ChatServerOptions, open_chat_server
from antiphon_llm.engine.wire import Assembly
from antiphon_llm.service import ChatMessage, Delta, Prompt, RequestedCall, ToolsUnsupported
from antiphon_llm.settings import LlmSettings
from antiphon_llm.wiring import build
from antiphon_models import ModelStore
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.breaker import BreakerRules
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.testing import House
from antiphon_runtime.testing.openai_server import (
    Body,
    Calls,
    Drop,
    Failure,
    Hang,
    OpenAiServer,
    Reply,
    Text,
)
from openai.types.chat import ChatCompletionChunk
from pydantic import SecretStr

pytestmark = pytest.mark.integration

NO_MODELS = ModelStore(Path("/nonexistent"))
HELLO = Prompt((ChatMessage("system", "Be short."), ChatMessage("user", "Hello")), max_tokens=20)
TOOL = ToolSpec(name="lamp.on", description="On.", parameters={"type": "object"})


@asynccontextmanager
async def served(
    *script: Reply, stall_timeout_s: float = 5.0
) -> AsyncIterator[tuple[OpenAiServer, ChatServer]]:
    async with asyncio.timeout(20), OpenAiServer(script) as server:
        options = ChatServerOptions(server.base_url, stall_timeout_s=stall_timeout_s)
        async with open_chat_server(options) as model:
            yield server, model


async def answer(model: ChatServer, prompt: Prompt = HELLO) -> list[Delta]:
    async with aclosing(model.stream(prompt)) as stream:
        return [delta async for delta in stream]


async def test_an_answer_comes_in_pieces_with_usage() -> None:
    async with served(Text(["It ", "is ", "red."])) as (server, model):
        *pieces, last = await answer(model)

    assert [piece.text for piece in pieces] == ["It ", "is ", "red."]
    assert last == Delta(finish_reason="stop", prompt_tokens=10, completion_tokens=3)
    sent = server.requests[0].json
    assert sent["model"] == "scripted-model"
    assert sent["max_tokens"] == 20
    assert sent["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hello"},
    ]
    assert not {"tools", "temperature", "stop", "response_format"} & set(sent)


async def test_tool_calls_are_put_together_and_names_translated() -> None:
    reply = Calls([("lamp__on", '{"room": "hall"}'), ("lamp__on", "{}")], text="Well.")
    prompt = Prompt(HELLO.messages, 20, tools=(TOOL,))
    async with served(reply, Text(["Done."])) as (server, model):
        *_, last = await answer(model, prompt)
        await answer(
            model,
            prompt.extended(
                ChatMessage("assistant", "Well.", calls=last.calls),
                ChatMessage("tool", "ok", call_id="call_0"),
            ),
        )

    assert last.calls == (
        RequestedCall("call_0", "lamp.on", '{"room": "hall"}'),
        RequestedCall("call_1", "lamp.on", "{}"),
    )
    first, second = (request.json for request in server.requests)
    assert first["tools"][0]["function"]["name"] == "lamp__on"
    assert first["tool_choice"] == "auto"
    asked, result = second["messages"][-2:]
    assert asked["tool_calls"][0]["function"] == {
        "name": "lamp__on",
        "arguments": '{"room": "hall"}',
    }
    assert result == {"role": "tool", "content": "ok", "tool_call_id": "call_0"}


@pytest.mark.parametrize("indices", [(0, 1), (0, 0)])
def test_two_calls_of_one_id_stay_two(indices: tuple[int, int]) -> None:
    """Their results could not be told apart, and one of them would be lost."""
    answer = Assembly({})
    for index in indices:
        function = {"name": "lamp", "arguments": json.dumps({"n": index})}
        call = {"index": index, "id": "call_x", "type": "function", "function": function}
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
        chunk = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}
        answer.add(ChatCompletionChunk.model_validate({**chunk, "choices": [choice]}))
    first, second = answer.last("here").calls
    assert (first.name, second.name) == ("lamp", "lamp")
    assert (first.id, second.id) == ("call_x", "call_x-1")


async def test_a_schema_is_sent_as_response_format() -> None:
    prompt = Prompt(HELLO.messages, 20, schema={"type": "object"}, temperature=0.0, stop=("\n",))
    async with served(Text(["{}"])) as (server, model):
        await answer(model, prompt)

    sent = server.requests[0].json
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert (sent["temperature"], sent["stop"]) == (0.0, ["\n"])


@pytest.mark.parametrize(
    ("reply", "sentence", "retryable"),
    [
        (Failure(500), "could not answer (HTTP 500)", True),
        (Failure(429), "too much to do", True),
        (Failure(429, code="insufficient_quota"), "no credit", False),
        (Failure(401), "refused the key", False),
        (Failure(404), "no model 'scripted-model'", False),
        (Failure(400, "exceeds the available context size"), "too long", False),
        (Failure(400, "bad thing"), "HTTP 400", False),
        (Drop(), "does not answer", True),
        (Drop(["It ", "is"]), "broke off", True),
        (Hang(), "does not answer", True),
        (Hang(["It "]), "broke off", True),
        (Body(b"<html>hello</html>", "text/html"), "broke off", True),
        (Body(b"data: {nonsense\n\n", "text/event-stream"), "does not speak", False),
        (
            Body(b'data: {"error": {"message": "boom"}}\n\n', "text/event-stream"),
            "failed while",
            True,
        ),
        (Text(["I can"], finish_reason="content_filter"), "refused to answer", False),
    ],
)
async def test_every_failure_is_one_of_ours(
    reply: Reply, sentence: str, *, retryable: bool
) -> None:
    async with served(reply, stall_timeout_s=0.3) as (_, model):
        with pytest.raises(EngineError) as raised:
            await answer(model)

    assert sentence in str(raised.value)
    assert raised.value.retryable is retryable
    assert "scripted failure" not in str(raised.value)


async def test_a_server_that_takes_no_tools_says_so() -> None:
    prompt = Prompt(HELLO.messages, 20, tools=(TOOL,))
    async with served(Failure(400, "m does not support tools")) as (_, model):
        with pytest.raises(ToolsUnsupported):
            await answer(model, prompt)


async def test_no_server_at_all() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ChatServerOptions(f"http://127.0.0.1:{port}/v1", model="m")
    async with asyncio.timeout(10), open_chat_server(options) as model:
        with pytest.raises(EngineError, match=f"127.0.0.1:{port}/v1 does not answer") as raised:
            await answer(model)
    assert raised.value.retryable


async def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError, match="base_url"):
        async with open_chat_server(ChatServerOptions("http://[::bad/v1")):
            pass


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(ChatServerOptions("http://h/v1", "secret"))


async def test_closing_the_stream_closes_the_connection() -> None:
    async with served(Hang(["It "])) as (server, model):
        async with aclosing(model.stream(HELLO)) as stream:
            assert (await anext(stream)).text == "It "
        await server.until(lambda s: s.dropped_by_client == 1)


# The whole worker in front of a server


@asynccontextmanager
async def house_of(
    *script: Reply, stall_timeout_s: float = 5.0
) -> AsyncIterator[tuple[House, OpenAiServer]]:
    async with (
        asyncio.timeout(20),
        OpenAiServer(script) as server,
        House(requests=[LLM_REQUEST]) as house,
    ):
        settings = LlmSettings(
            base_url=server.base_url,
            api_key=SecretStr("k"),
            retry_delay_s=0.01,
            context_timeout_s=0.02,
            stall_timeout_s=stall_timeout_s,
        )
        await house.move_in("llm", settings, build)
        yield house, server


async def ask(house: House, name: str | None = None) -> LlmResponse:
    request = LlmRequest(text="Hello", use_rag=False)
    return await house.bus.request(LLM_REQUEST, request, timeout_s=15, message_id=name)


async def test_too_many_requests_are_tried_once_more() -> None:
    async with house_of(Failure(429), Text(["Hi."])) as (house, server):
        response = await ask(house)

    assert response.reply == "Hi."
    assert len(server.requests) == 2
    assert server.requests[0].headers["authorization"] == "Bearer k"


async def test_a_server_that_dies_is_left_alone_and_found_when_it_is_back() -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/v1"
    away = f"The language model server at {address} does not answer; it is tried again every 0.5 s."
    async with asyncio.timeout(30), House(requests=[LLM_REQUEST]) as house:
        heard = await house.hear(HEALTH)
        async with OpenAiServer([Text(["One."])], port=port):
            chosen = LlmSettings(base_url=address, retry_delay_s=0.01, context_timeout_s=0.02)
            runtime = RuntimeSettings(server_retry_s=0.5)
            await house.move_in("llm", chosen, build, runtime=runtime)
            assert (await ask(house)).reply == "One."
        errors = [(await ask(house)).error for _ in range(5)]
        assert errors[:2] == [f"The language model at {address} does not answer."] * 2
        assert errors[2:] == [away] * 3
        [*_, dead] = await heard.until(lambda seen: bool(seen) and seen[-1].data.notes != ())
        assert (dead.data.state, dead.data.notes) == ("degraded", (away,))
        assert dead.data.breakers == {"model": "open"}
        async with OpenAiServer([Text(["Two."])], port=port) as server:
            await heard.until(lambda seen: seen[-1].data.state == "ready")
            assert heard[-1].data.breakers == {"model": "closed"}
            assert (await ask(house)).reply == "Two."
            assert len(server.requests) == 1


async def test_only_the_first_waits_for_a_server_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BreakerRules, "__init__", partialmethod(BreakerRules.__init__, slow_s=0.1))
    async with house_of(Hang(), Text(["Never."]), stall_timeout_s=0.2) as (house, server):
        responses = [await ask(house) for _ in range(3)]
        assert "tried again" in (responses[1].error or "")
        assert len(server.requests) == 1


async def test_a_drop_in_the_middle_keeps_what_was_said() -> None:
    async with house_of(Drop(["It ", "is"])) as (house, server):
        response = await ask(house)

    assert (response.finish_reason, response.reply) == ("error", "It is")
    assert "broke off" in (response.error or "")
    assert len(server.requests) == 1


async def test_a_cancel_closes_the_stream_at_the_server() -> None:
    async with house_of(Hang(["It ", "is "])) as (house, server):
        heard = await house.hear(LLM_STREAM)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(ask(house, "r1"), name="ask")
            await heard.until(2)
            house.say(LLM_CANCEL, LlmCancel(request_id="r1"))
        await server.until(lambda s: s.dropped_by_client == 1)

    assert (asking.result().finish_reason, asking.result().reply) == ("cancelled", "It is ")


async def test_a_configured_server_wins_over_ollama() -> None:
    async with OpenAiServer(models=["llama"]) as ollama, OpenAiServer() as other:
        settings = LlmSettings(base_url=other.base_url, model="m", ollama_url=ollama.root_url)
        async with open_brains(settings, NO_MODELS) as [brain]:
            assert brain.model.name == f"m at {other.base_url}"
            assert brain.profile.name == "standard"


@pytest.mark.parametrize(("asked", "does"), [("auto", True), ("on", True), ("off", False)])
async def test_a_server_sums_up_long_conversations_unless_told_not_to(
    asked: Literal["auto", "on", "off"], *, does: bool
) -> None:
    async with OpenAiServer() as server:
        settings = LlmSettings(base_url=server.base_url, model="m", history_summary=asked)
        async with open_brains(settings, NO_MODELS) as [brain]:
            assert brain.summarises is does


@pytest.mark.parametrize(("wanted", "taken"), [("", "qwen"), ("llama", "llama")])
async def test_an_ollama_that_runs_is_found(wanted: str, taken: str) -> None:
    async with OpenAiServer([Text(["Hi."])], models=["qwen", "llama"]) as ollama:
        settings = LlmSettings(model=wanted, ollama_url=ollama.root_url)
        async with open_brains(settings, NO_MODELS) as [brain]:
            assert brain.model.name == f"{taken} at {ollama.base_url}"
            async with aclosing(brain.model.stream(HELLO)) as stream:
                assert "".join([delta.text async for delta in stream]) == "Hi."
        assert ollama.requests[0].json["model"] == taken


async def test_an_ollama_without_models_is_passed_over() -> None:
    async with OpenAiServer(models=[]) as ollama:
        # The embedded model is next, and its weights are not there.
        with pytest.raises(ConfigError, match="antiphon models fetch smollm2"):
            async with open_brains(LlmSettings(ollama_url=ollama.root_url), NO_MODELS):
                pass


async def test_openai_without_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="base_url is empty"):
        async with open_brains(LlmSettings(provider="openai"), NO_MODELS):
            pass
