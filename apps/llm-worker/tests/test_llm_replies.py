"""Requests, streaming, cancelling and context, with a scripted model on the in-memory bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from antiphon_contracts import (
    HEALTH,
    HISTORY_QUERY,
    LLM_CANCEL,
    LLM_REQUEST,
    LLM_STREAM,
    MEMORY_QUERY,
    EngineError,
    Health,
    HistoryMessage,
    HistoryQuery,
    HistoryResults,
    LlmCancel,
    LlmRequest,
    LlmResponse,
    MemoryQuery,
    MemoryResult,
    MemoryResults,
    Message,
)
from antiphon_llm.service.orders import NOT_UNDERSTOOD
from antiphon_llm.settings import LlmSettings
from antiphon_llm.testing import ScriptedModel, brain_of, end
from antiphon_runtime.handlers import serve
from antiphon_runtime.testing import House
from antiphon_runtime.worker import Wiring, Worker

pytestmark = pytest.mark.unit

SETTINGS = {"context_timeout_s": 0.01, "retry_delay_s": 0.0}


def settings(**changes: Any) -> LlmSettings:
    return LlmSettings(**{**SETTINGS, **changes})


@asynccontextmanager
async def house_of(
    model: ScriptedModel, *, small: bool = False, **changes: Any
) -> AsyncIterator[House]:
    async with asyncio.timeout(10), House(requests=[LLM_REQUEST]) as house:
        await house.move_in("llm", settings(**changes), brain_of(model, small=small))
        yield house


async def ask(house: House, text: str = "Who?", *, name: str = "r1", **fields: Any) -> LlmResponse:
    request = LlmRequest(text=text, **{"use_rag": False, **fields})
    return await house.bus.request(
        LLM_REQUEST, request, timeout_s=5, message_id=name, turn_id="t1", site_id="kitchen"
    )


async def memory(house: House, *texts: str) -> list[MemoryQuery]:
    asked: list[MemoryQuery] = []

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        asked.append(message.data)
        found = (MemoryResult(id=f"m{n}", text=t, score=0.9) for n, t in enumerate(texts))
        return MemoryResults(results=tuple(found))

    await house.serve(serve(MEMORY_QUERY, on_query))
    return asked


async def history(
    house: House, *messages: HistoryMessage, **more: Any
) -> list[Message[HistoryQuery]]:
    asked: list[Message[HistoryQuery]] = []

    async def on_query(message: Message[HistoryQuery]) -> HistoryResults:
        asked.append(message)
        return HistoryResults(messages=messages, **more)

    await house.serve(serve(HISTORY_QUERY, on_query))
    return asked


async def gone(house: House, worker: str, kind: str) -> None:
    heard = await house.hear(HEALTH)
    house.say(HEALTH, Health(worker=worker, kind=kind, state="gone"), worker=worker)
    await heard.until(lambda seen: any(item.data.kind == kind for item in seen))


async def test_deltas_are_streamed_in_order_and_make_up_the_reply() -> None:
    async with house_of(ScriptedModel(["It ", "is ", "red.", end()])) as house:
        heard = await house.hear(LLM_STREAM)

        response = await ask(house)

        await heard.until(3)
        assert response.reply == "It is red."
        assert response.finish_reason == "stop"
        assert [(m.data.seq, m.data.delta) for m in heard] == [(0, "It "), (1, "is "), (2, "red.")]
        assert {(m.correlation_id, m.turn_id, m.site_id) for m in heard} == {
            ("r1", "t1", "kitchen")
        }
        assert response.usage.prompt_tokens == 7
        assert response.usage.completion_tokens == 3
        assert 0 < response.usage.first_token_ms <= response.usage.total_ms


async def test_cancel_stops_at_once_and_keeps_what_was_made() -> None:
    model = ScriptedModel(["Once ", "upon ", asyncio.Event(), "a time"])
    async with house_of(model) as house:
        heard = await house.hear(LLM_STREAM)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(ask(house), name="ask")
            await heard.until(2)
            house.say(LLM_CANCEL, LlmCancel(request_id="r1"))
        response = asking.result()

        assert response.reply == "Once upon "
        assert response.finish_reason == "cancelled"
        assert model.closed == 1


async def test_cancel_is_not_queued_behind_work() -> None:
    forever = asyncio.Event()
    model = ScriptedModel(["a", forever], ["b", forever], ["c", end()])
    async with house_of(model, concurrency=2) as house:
        heard = await house.hear(LLM_STREAM)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(ask(house, name=name), name=name) for name in ("r1", "r2", "r3")
            ]
            await heard.until(2)
            house.say(LLM_CANCEL, LlmCancel(request_id="r1"))
            await tasks[2]
            house.say(LLM_CANCEL, LlmCancel(request_id="r2"))

        assert [task.result().finish_reason for task in tasks] == ["cancelled", "cancelled", "stop"]


async def test_a_cancel_that_comes_first_waits_for_its_request() -> None:
    model = ScriptedModel(["never", end()], ["yes", end()])
    async with house_of(model) as house:
        house.say(LLM_CANCEL, LlmCancel(request_id="r1"))

        early, other = await ask(house), await ask(house, name="r2")

        assert (early.finish_reason, early.reply) == ("cancelled", "")
        assert other.finish_reason == "stop"
        assert len(model.prompts) == 1


async def test_early_cancels_are_forgotten_after_a_while() -> None:
    async with house_of(ScriptedModel(["yes", end()])) as house:
        house.say(LLM_CANCEL, LlmCancel(request_id="r1"))
        for number in range(256):
            house.say(LLM_CANCEL, LlmCancel(request_id=f"other-{number}"))
            await asyncio.sleep(0)

        assert (await ask(house)).finish_reason == "stop"


async def test_notes_and_history_are_in_the_prompt() -> None:
    model = ScriptedModel(["Red.", end()])
    async with house_of(model, context_timeout_s=5.0) as house:
        notes = await memory(house, "my bicycle is red", "I like tea")
        asked = await history(
            house,
            HistoryMessage(role="user", text="Hello"),
            HistoryMessage(role="assistant", text="Good day", interrupted=True),
            HistoryMessage(role="user", text="What colour?"),
        )

        response = await ask(house, "What colour?", use_rag=True)

        assert response.sources == ("m0", "m1")
        system, *rest = model.prompts[0].messages
        assert system.role == "system"
        assert [m.content for m in rest[:2]] == ["Hello", "Good day (interrupted)"]
        assert len(rest) == 3
        assert rest[2].content.startswith("Notes:\n- my bicycle is red\n- I like tea\n\nWhat ")
        assert notes[0].top_k == 5
        assert asked[0].data.session_id == "kitchen"
        assert asked[0].turn_id == "t1"


async def test_the_summary_of_what_was_said_earlier_is_in_the_prompt() -> None:
    model = ScriptedModel(["Red.", end()])
    async with house_of(model, context_timeout_s=5.0) as house:
        await history(
            house,
            HistoryMessage(role="user", text="Hello"),
            HistoryMessage(role="assistant", text="Good day"),
            summary="They spoke about paint.",
            covered=4,
            first=4,
        )

        await ask(house)

        assert model.prompts[0].messages[1].content == (
            "(Earlier in this conversation: They spoke about paint.)\nHello"
        )


async def test_small_takes_the_best_note_and_no_history() -> None:
    model = ScriptedModel(["My bicycle is red.", end()])
    async with house_of(model, small=True) as house:
        await memory(house, "my bicycle is red", "I like tea")
        asked = await history(house, HistoryMessage(role="user", text="Hello"))

        response = await ask(house, "What colour is my bicycle?", use_rag=True)

        assert response.sources == ("m0",)
        assert response.reply == "Your bicycle is red."
        assert asked == []


async def test_a_model_without_tools_claims_to_have_done_nothing() -> None:
    model = ScriptedModel(["I set a timer.", end()])
    async with house_of(model, small=True) as house:
        response = await ask(house, "Set a timer for seconds.")

        assert response.reply == NOT_UNDERSTOOD
        assert not model.prompts


async def test_context_that_is_late_gone_or_broken_is_left_out() -> None:
    model = ScriptedModel(["A", end()], ["B", end()], ["C", end()])
    async with house_of(model) as house:
        # Nobody listens: both time out.
        assert (await ask(house, use_rag=True, name="r1")).reply == "A"

        async def on_query(_message: Message[MemoryQuery]) -> MemoryResults:
            raise EngineError("the database is locked")

        await house.serve(serve(MEMORY_QUERY, on_query))
        await history(house, HistoryMessage(role="user", text="Hello"))
        # One branch fails, the other is there.
        assert (await ask(house, use_rag=True, name="r2")).reply == "B"
        assert model.prompts[1].messages[1].content.startswith("Hello")

        await gone(house, "memory-1", "memory")
        response = await ask(house, use_rag=True, name="r3")
        assert response.reply == "C"
        assert response.sources == ()


async def test_an_error_is_a_reply_with_a_sentence_and_what_was_made() -> None:
    model = ScriptedModel(["It is ", EngineError("The model broke off.", retryable=True)])
    async with house_of(model) as house:
        response = await ask(house)

        assert response.finish_reason == "error"
        assert response.error == "The model broke off."
        assert response.reply == "It is "
        assert len(model.prompts) == 1


async def test_a_passing_failure_is_tried_once_more() -> None:
    away = EngineError("The model does not answer.", retryable=True)
    model = ScriptedModel([away], ["Here.", end()], [away], [away])
    async with house_of(model) as house:
        assert (await ask(house, name="r1")).reply == "Here."
        assert (await ask(house, name="r2")).error == "The model does not answer."
        assert len(model.prompts) == 4


async def test_health_says_so_while_the_model_is_away() -> None:
    away = EngineError("The model does not answer.", retryable=True)
    model = ScriptedModel([away], [away], [away])
    workers: list[Worker[LlmSettings]] = []

    def build(worker: Worker[LlmSettings]) -> Wiring:
        workers.append(worker)
        return brain_of(model)(worker)

    sentence = "The language model scripted does not answer; it is tried again every 30 s."
    async with asyncio.timeout(10), House(requests=[LLM_REQUEST]) as house:
        await house.move_in("llm", settings(), build)
        health = workers[0].health
        assert health.snapshot().engine == "scripted, standard prompt"
        for name in ("r1", "r2"):
            await ask(house, name=name)
        assert health.snapshot().notes == (sentence,)
        assert health.snapshot().breakers == {"model": "open"}
        assert health.state == "degraded"
        asked = await memory(house, "my bicycle is red")
        assert (await ask(house, name="r3", use_rag=True)).error == sentence
        assert len(model.prompts) == 3
        assert asked == []  # it failed before anything else was begun


async def test_a_final_failure_is_not_tried_again() -> None:
    model = ScriptedModel([EngineError("The key was refused.")])
    async with house_of(model) as house:
        assert (await ask(house)).error == "The key was refused."


async def test_an_answer_without_words_is_an_error() -> None:
    model = ScriptedModel(["<think>hm", end(cut=True)], [" ", end()])
    async with house_of(model) as house:
        assert "token limit" in ((await ask(house, name="r1")).error or "")
        assert "empty" in ((await ask(house, name="r2")).error or "")


async def test_a_reply_that_takes_too_long_is_ended() -> None:
    model = ScriptedModel(["Well ", asyncio.Event()])
    async with house_of(model, reply_timeout_s=0.05) as house:
        response = await ask(house)

        assert (response.finish_reason, response.reply) == ("error", "Well ")
        assert model.closed == 1


async def test_small_ends_with_a_sentence_when_cut() -> None:
    model = ScriptedModel(["It is big. ", "It is very", end(cut=True)])
    async with house_of(model, small=True) as house:
        heard = await house.hear(LLM_STREAM)
        response = await ask(house)

        assert (response.finish_reason, response.reply) == ("length", "It is big.")
        await heard.until(lambda seen: "".join(m.data.delta for m in seen) == response.reply)
