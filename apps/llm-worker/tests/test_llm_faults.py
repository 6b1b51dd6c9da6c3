"""Every fault of a provider: a sentence or another model's answer in time, and the next works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from antiphon_contracts import HEALTH, LLM_NOTICE, LLM_REQUEST, LlmRequest, LlmResponse
from antiphon_llm.settings import LlmSettings, ProviderSettings
from antiphon_llm.wiring import build
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.testing import House
from antiphon_runtime.testing.openai_server import (
    Body,
    Drop,
    Failure,
    Hang,
    OpenAiServer,
    Ponder,
    Recorded,
    Reply,
    Text,
)

pytestmark = pytest.mark.integration

DEADLINE_S = 10.0
HALF_AN_EVENT = b'data: {"id": "x", "choices": [{"index": 0, "del'
GARBAGE = b"data: {nonsense\n\n"
LATER = Failure(429, headers={"Retry-After": "30"})

SILENT: dict[str, Sequence[Reply]] = {
    "401": [Failure(401)],
    "404 model": [Failure(404)],
    "429 with Retry-After": [LATER],
    "500": [Failure(500)] * 2,
    "stall before the first token": [Hang()] * 2,
    "garbage": [Body(GARBAGE, "text/event-stream")],
    "half an event": [Body(HALF_AN_EVENT, "text/event-stream")] * 2,
    "no event stream": [Body(b"<html>", "text/html")] * 2,
    "disconnect before the first token": [Drop()] * 2,
    "empty reply": [Text([])],
    "endless reasoning": [Ponder()],
}
MIDWAY: dict[str, Sequence[Reply]] = {
    "stall mid-stream": [Hang(["It ", "is "])],
    "disconnect mid-stream": [Drop(["It ", "is "])],
}


def provider(name: str, url: str) -> ProviderSettings:
    return ProviderSettings(name=name, kind="openai", base_url=url, model=f"{name}-model")


@asynccontextmanager
async def house_of(*urls: str) -> AsyncIterator[House]:
    names = ("big", "small")
    settings = LlmSettings(
        providers=tuple(provider(name, url) for name, url in zip(names, urls, strict=False)),
        retry_delay_s=0.01,
        context_timeout_s=0.02,
        history_tokens=0,
        first_token_timeout_s=1.5,
        stall_timeout_s=1.5,
        thinking_timeout_s=1.0,
    )
    runtime = RuntimeSettings(server_retry_s=0.2)
    async with asyncio.timeout(60), House(requests=[LLM_REQUEST]) as house:
        await house.move_in("llm", settings, build, runtime=runtime)
        yield house


async def ask(house: House) -> LlmResponse:
    """Ask as the router does: what does not come in time is an error here."""
    request = LlmRequest(text="What colour is it?", use_rag=False)
    return await house.bus.request(LLM_REQUEST, request, timeout_s=DEADLINE_S)


@pytest.mark.parametrize("fault", SILENT)
async def test_without_another_a_sentence_comes_in_time_and_the_next_works(fault: str) -> None:
    script = [*SILENT[fault], Text(["It is red."])]
    async with OpenAiServer(script) as server, house_of(server.base_url) as house:
        broken = await ask(house)
        mended = await ask(house)

    assert (broken.finish_reason, broken.reply) == ("error", "")
    assert (broken.error or "").endswith(".")
    assert (mended.finish_reason, mended.reply) == ("stop", "It is red.")


@pytest.mark.parametrize("fault", SILENT)
async def test_with_another_its_answer_comes_in_time_and_is_announced_once(fault: str) -> None:
    is_mended = asyncio.Event()

    def script(_request: Recorded) -> Reply:
        return Text(["It is red."]) if is_mended.is_set() else SILENT[fault][0]

    async with (
        OpenAiServer(script) as big,
        OpenAiServer(lambda _request: Text(["Red, I think."])) as small,
        house_of(big.base_url, small.base_url) as house,
    ):
        names = [f"small-model at {small.base_url}", f"big-model at {big.base_url}"]
        notices = await house.hear(LLM_NOTICE)
        first, second = await ask(house), await ask(house)
        is_mended.set()
        heard = await house.hear(HEALTH)
        third = await ask(house)
        while third.model != names[1]:
            # Its breaker may be open; it is probed meanwhile, and health tells.
            await heard.until(len(heard) + 1)
            third = await ask(house)

    assert (first.reply, first.model) == ("Red, I think.", names[0])
    assert second.reply == "Red, I think."
    assert third.reply == "It is red."
    assert [notice.data.kind for notice in notices] == ["fallback"]


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("fault", MIDWAY)
async def test_what_was_said_before_a_fault_is_not_said_again(fault: str, others: int) -> None:
    script = [*MIDWAY[fault], Text(["It is red."])]
    async with (
        OpenAiServer(script) as big,
        OpenAiServer([Text(["Red."])]) as small,
        house_of(*[big.base_url, small.base_url][: 1 + others]) as house,
    ):
        broken = await ask(house)
        mended = await ask(house)

    assert (broken.finish_reason, broken.reply.strip()) == ("error", "It is")
    assert (broken.error or "").endswith(".")
    assert mended.reply == "It is red."
    assert small.requests == []


@pytest.mark.parametrize("others", [0, 1])
async def test_a_server_that_refuses_connections(others: int) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/v1"
    async with (
        OpenAiServer([Text(["Red."])]) as small,
        house_of(*[address, small.base_url][: 1 + others]) as house,
    ):
        broken = await ask(house)
        async with OpenAiServer([Text(["It is red."])], port=port):
            mended = await ask(house)

    assert broken.reply == ("Red." if others else "")
    assert (broken.error is None) == bool(others)
    assert mended.reply == "It is red."


async def test_when_all_are_away_the_sentence_is_the_usual_ones() -> None:
    async with (
        OpenAiServer([Failure(401)]) as big,
        OpenAiServer([Failure(404)]) as small,
        house_of(big.base_url, small.base_url) as house,
    ):
        notices = await house.hear(LLM_NOTICE)
        answer = await ask(house)

    assert "refused the key" in (answer.error or "")
    assert notices == []


async def test_a_refusal_is_an_answer_and_no_other_is_asked() -> None:
    refused = Text([], finish_reason="content_filter")
    async with (
        OpenAiServer([refused]) as big,
        OpenAiServer([Text(["Well, first you take."])]) as small,
        house_of(big.base_url, small.base_url) as house,
    ):
        answer = await ask(house)

    assert "refused to answer" in (answer.error or "")
    assert small.requests == []


async def test_a_server_that_asks_for_a_short_pause_gets_it() -> None:
    script: list[Reply] = [Failure(429, headers={"Retry-After": "0.1"}), Text(["It is red."])]
    async with OpenAiServer(script) as server, house_of(server.base_url) as house:
        assert (await ask(house)).reply == "It is red."


@pytest.mark.parametrize("name", ["temperature", "max_tokens", "stream_options"])
async def test_a_parameter_that_is_refused_is_left_out_from_then_on(name: str) -> None:
    refusal = Failure(400, f"Unsupported parameter: '{name}' is not supported with this model.")
    script: list[Reply] = [refusal, Text(["Red."]), Text(["Blue."])]
    async with OpenAiServer(script) as server, House(requests=[LLM_REQUEST]) as house:
        settings = LlmSettings(
            base_url=server.base_url, temperature=0.3, history_tokens=0, context_timeout_s=0.02
        )
        await house.move_in("llm", settings, build)
        answers = [(await ask(house)).reply for _ in range(2)]
        sent = [set(request.json) for request in server.requests]

    assert answers == ["Red.", "Blue."]
    assert [name in names for names in sent] == [True, False, False]
    assert ("max_completion_tokens" in sent[1]) == (name == "max_tokens")


async def test_tokens_are_counted_and_thoughts_are_not_spoken() -> None:
    reply = Text(
        ["It is ", "red."], prompt_tokens=50, cached_tokens=32, thoughts=["The bicycle", " is red."]
    )
    async with OpenAiServer([reply]) as server, house_of(server.base_url) as house:
        heard = await house.hear(HEALTH)
        answer = await ask(house)
        counted = {"llm_prompt_tokens": 50, "llm_cached_tokens": 32, "llm_completion_tokens": 2}
        await heard.until(
            lambda seen: bool(seen) and counted.items() <= seen[-1].data.counters.items()
        )

    assert answer.reply == "It is red."
    assert (answer.usage.prompt_tokens, answer.usage.cached_tokens) == (50, 32)
    assert answer.model.startswith("big-model at http://127.0.0.1:")
