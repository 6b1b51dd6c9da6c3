"""The embedded SmolLM2, for real, behind the worker's wiring on the in-memory bus."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from antiphon_contracts import (
    LLM_CANCEL,
    LLM_NOTICE,
    LLM_REQUEST,
    LLM_STREAM,
    MEMORY_QUERY,
    ConfigError,
    LlmCancel,
    LlmRequest,
    LlmResponse,
    MemoryQuery,
    MemoryResult,
    MemoryResults,
    Message,
)
from antiphon_llm.engine import open_brains
from antiphon_llm.engine.choice import gguf_file
from antiphon_llm.engine.embedded import EmbeddedOptions
from antiphon_llm.engine.late import open_embedded_model
from antiphon_llm.service import ChatMessage, Prompt
from antiphon_llm.settings import LlmSettings
from antiphon_llm.wiring import build
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.handlers import serve
from antiphon_runtime.testing import House

pytestmark = pytest.mark.e2e

SETTINGS = LlmSettings(provider="embedded")

FACTS = [
    ("What is the capital of France?", "Paris"),
    ("Who wrote Hamlet?", "Shakespeare"),
    ("Who wrote Romeo and Juliet?", "Shakespeare"),
    ("What is the capital of Japan?", "Tokyo"),
    ("Who invented the telephone?", "Bell"),
    ("What is the opposite of hot?", "cold"),
]


@asynccontextmanager
async def house_of(*notes: str) -> AsyncIterator[House]:
    async def on_query(_message: Message[MemoryQuery]) -> MemoryResults:
        found = (MemoryResult(id=f"m{n}", text=text, score=0.7) for n, text in enumerate(notes))
        return MemoryResults(results=tuple(found))

    async with asyncio.timeout(60), House(requests=[LLM_REQUEST]) as house:
        await house.serve(serve(MEMORY_QUERY, on_query))
        await house.move_in("llm", SETTINGS, build)
        yield house


async def ask(house: House, text: str, *, name: str | None = None) -> LlmResponse:
    return await house.bus.request(
        LLM_REQUEST, LlmRequest(text=text), timeout_s=30, message_id=name
    )


async def test_facts_without_notes() -> None:
    async with house_of() as house:
        for question, word in FACTS:
            response = await ask(house, question)
            assert word in response.reply
            assert response.finish_reason == "stop"
            assert response.usage.prompt_tokens > 100


async def test_a_note_is_used_and_addressed_to_the_person() -> None:
    async with house_of("My bicycle is red.") as house:
        for question in ("What colour is my bicycle?", "what color is my bicycle"):
            response = await ask(house, question)
            assert response.reply == "Your bicycle is red."
            assert response.sources == ("m0",)
        assert "Shakespeare" in (await ask(house, "Who wrote Hamlet?")).reply


async def test_cancel_stops_within_half_a_second_and_frees_the_model() -> None:
    async with house_of() as house:
        heard = await house.hear(LLM_STREAM)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(
                ask(house, "Tell me a long story about a dragon.", name="story"), name="ask"
            )
            await heard.until(3)
            begun = time.monotonic()
            house.say(LLM_CANCEL, LlmCancel(request_id="story"))
        took_s = time.monotonic() - begun

        assert asking.result().finish_reason == "cancelled"
        assert asking.result().reply
        assert took_s < 0.5
        assert "Paris" in (await ask(house, "What is the capital of France?")).reply


async def test_the_server_says_nothing_on_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with house_of() as house:
        await ask(house, "Who wrote Hamlet?")

    assert capfd.readouterr().err == ""


async def test_broken_weights_are_refused_with_a_sentence(tmp_path: Path) -> None:
    weights = tmp_path / "broken.gguf"
    weights.write_bytes(b"nonsense" * 100)
    settings = LlmSettings(provider="embedded", embedded_model=str(weights))

    with pytest.raises(ConfigError, match=r"cannot load broken\.gguf"):
        async with open_brains(settings, ModelStore(tmp_path)):
            pass


async def test_it_falls_in_for_a_server_that_is_away_and_is_loaded_only_then() -> None:
    settings = LlmSettings(
        base_url="http://127.0.0.1:9/v1",
        model="big",
        fallback=True,
        retry_delay_s=0.01,
        context_timeout_s=0.02,
        history_tokens=0,
    )
    async with asyncio.timeout(120), House(requests=[LLM_REQUEST]) as house:
        notices = await house.hear(LLM_NOTICE)
        await house.move_in("llm", settings, build)
        loaded_before = _loaded()
        response = await ask(house, "What is the capital of France?")

    assert not loaded_before
    assert "Paris" in response.reply
    assert "embedded" in response.model
    assert [notice.data.kind for notice in notices] == ["fallback"]


async def test_it_gives_its_memory_back_when_it_is_not_needed() -> None:
    models = ModelStore(default_root(RuntimeSettings().models_dir))
    weights = gguf_file(models, "smollm2-135m-instruct-q4_1")
    async with (
        asyncio.timeout(120),
        open_embedded_model(EmbeddedOptions(weights), stall_timeout_s=60) as model,
    ):
        await asyncio.gather(model.load(), model.load())
        loaded = [model.is_loaded]
        for idle_s in (3600, -1):
            await model.release_idle(idle_s)
            loaded.append(model.is_loaded)
        assert loaded == [True, True, False]
        prompt = Prompt((ChatMessage("user", "Hello"),), max_tokens=2)
        async with aclosing(model.stream(prompt)) as deltas:
            assert [delta async for delta in deltas]


def _loaded() -> bool:
    return any(thread.name.startswith("llama.cpp") for thread in threading.enumerate())
