"""What kinds of servers take, refuse and write otherwise."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from antiphon_contracts import ConfigError, ToolSpec
from antiphon_llm.engine.chat_server import ChatServerOptions, open_chat_server
from antiphon_llm.engine.presets import Kind, gemini_schema, llama_schema
from antiphon_llm.engine.providers import providers_of
from antiphon_llm.service import ChatMessage, Delta, Prompt, RequestedCall
from antiphon_llm.settings import LlmSettings, ProviderSettings
from antiphon_runtime.settings import load_settings
from antiphon_runtime.testing.openai_server import Body, OpenAiServer, Reply, Text
from pydantic import SecretStr

pytestmark = pytest.mark.integration

TOOL = ToolSpec(
    name="list.add",
    description="Adds.",
    parameters={
        "type": "object",
        "properties": {
            "list": {"const": "shopping"},
            "items": {"type": "array", "items": {"type": "string", "default": "x"}},
        },
        "additionalProperties": False,
    },
)
PROMPT = Prompt((ChatMessage("user", "Hello"),), 20, tools=(TOOL,), repeat_penalty=1.1)


async def sent(kind: Kind, *script: Reply, prompt: Prompt = PROMPT) -> dict[str, Any]:
    async with asyncio.timeout(20), OpenAiServer(script or [Text(["Hi."])]) as server:
        options = ChatServerOptions(server.base_url, model="m", kind=kind, reasoning_effort="low")
        async with open_chat_server(options) as model, aclosing(model.stream(prompt)) as stream:
            async for _ in stream:
                pass
        return server.requests[0].json


async def answer(chunks: list[dict[str, Any]]) -> Delta:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    body = Body("".join([*lines, "data: [DONE]\n\n"]).encode(), "text/event-stream")
    async with asyncio.timeout(20), OpenAiServer([body]) as server:
        options = ChatServerOptions(server.base_url, model="m")
        async with open_chat_server(options) as model, aclosing(model.stream(PROMPT)) as stream:
            return [delta async for delta in stream][-1]


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}


@pytest.mark.parametrize(
    ("kind", "penalty"),
    [
        ("openai", "repeat_penalty"),
        ("ollama", None),
        ("llamacpp", "repeat_penalty"),
        ("vllm", "repetition_penalty"),
        ("lmstudio", "repeat_penalty"),
        ("gemini", None),
    ],
)
async def test_a_penalty_has_the_name_that_the_server_knows(
    kind: Kind, penalty: str | None
) -> None:
    found = await sent(kind)

    assert {name for name in found if "penalty" in name} == ({penalty} if penalty else set())
    assert found["max_tokens"] == 20
    assert found["reasoning_effort"] == "low"


async def test_gemini_gets_the_part_of_a_schema_that_it_knows() -> None:
    found = await sent("gemini")

    parameters = found["tools"][0]["function"]["parameters"]
    assert parameters == {
        "type": "object",
        "properties": {
            "list": {"enum": ["shopping"], "type": "string"},
            "items": {"type": "array", "items": {"type": "string"}},
        },
    }


def test_choices_of_a_schema_stay() -> None:
    schema = {"oneOf": [{"type": "string", "$comment": "x"}, {"type": "number"}]}

    assert gemini_schema(schema) == {"anyOf": [{"type": "string"}, {"type": "number"}]}


def test_llama_cpp_gets_patterns_that_it_knows() -> None:
    schema = {"properties": {"at": {"type": "string", "pattern": r"^\d{2}:[0-5]\d$"}}}

    found = llama_schema({"type": "object", "anyOf": [schema]})

    assert found["anyOf"][0]["properties"]["at"]["pattern"] == "^[0-9]{2}:[0-5][0-9]$"
    assert schema["properties"]["at"]["pattern"] == r"^\d{2}:[0-5]\d$"


async def test_a_signature_that_comes_with_a_call_goes_back_with_it() -> None:
    signed = {"google": {"thought_signature": "abc"}}
    function = {"name": "list__add", "arguments": "{}"}
    call = {"index": 0, "id": "c1", "function": function, "extra_content": signed}
    found = (await answer([chunk(tool_calls=[call]), chunk("tool_calls")])).calls[0]

    prompt = PROMPT.extended(
        ChatMessage("assistant", "", calls=(found,)), ChatMessage("tool", "ok", call_id="c1")
    )
    told = await sent("gemini", prompt=prompt)

    assert told["messages"][-2]["tool_calls"][0]["extra_content"] == signed


async def test_calls_of_the_same_number_without_ids_are_told_apart() -> None:
    first, second = (
        {"index": 0, "function": {"name": "list__add", "arguments": text}}
        for text in ('{"items": ["a"]}', '{"items": ["b"]}')
    )

    found = await answer([chunk(tool_calls=[first]), chunk(tool_calls=[second]), chunk("stop")])

    assert found.calls == (
        RequestedCall("call-0", "list.add", '{"items": ["a"]}'),
        RequestedCall("call-1", "list.add", '{"items": ["b"]}'),
    )


async def test_llama_cpp_says_itself_what_it_knew() -> None:
    last = {**chunk("stop"), "timings": {"cache_n": 236, "prompt_n": 1}}

    found = await answer([chunk(content="Hi."), last])

    assert found.cached_tokens == 236


async def test_ollama_is_asked_to_keep_its_model() -> None:
    async with asyncio.timeout(20), OpenAiServer([Body(b"{}")]) as server:
        options = ChatServerOptions(server.base_url, model="m", kind="ollama")
        async with open_chat_server(options) as model:
            await model.keep_loaded()
        kept = server.requests[0]

    assert (kept.path, kept.json) == ("/api/generate", {"model": "m", "keep_alive": "10m"})


async def test_simple_settings_are_a_chain_of_one() -> None:
    settings = LlmSettings(base_url="http://127.0.0.1:9/v1", api_key=SecretStr("k"), model="m")

    [one] = await providers_of(settings)

    assert (one.kind, one.base_url, one.model) == ("openai", "http://127.0.0.1:9/v1", "m")
    assert one.api_key.get_secret_value() == "k"
    last = (await providers_of(settings.model_copy(update={"fallback": True})))[-1]
    assert (last.kind, last.model) == ("embedded", settings.embedded_model)


async def test_an_embedded_model_of_the_chain_is_its_own_fallback() -> None:
    own = ProviderSettings(name="own", kind="embedded")
    settings = LlmSettings(providers=(own,), fallback=True)

    assert await providers_of(settings) == (own,)


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")

    found = ProviderSettings(name="a", kind="gemini", api_key=SecretStr("env:MY_KEY"))

    assert found.api_key.get_secret_value() == "secret"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"providers": [{"name": "a", "kind": "gemini", "api_key": "env:NOT_SET"}]}, "NOT_SET"),
        ({"providers": [{"name": "a", "kind": "vllm"}] * 2}, "same name"),
        ({"providers": [{"name": "a", "kind": "vllm"}], "base_url": "http://h/v1"}, "not by both"),
        ({"providers": [{"name": "a", "kind": "cloud"}]}, "kind"),
    ],
)
def test_wrong_providers_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_settings(LlmSettings, **fields)
