"""Running summaries: when they are made, of what, and that no reply waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from antiphon_contracts import (
    HISTORY_QUERY,
    HISTORY_SUMMARISE,
    LLM_REQUEST,
    EngineError,
    HistoryDone,
    HistoryMessage,
    HistoryQuery,
    HistoryResults,
    HistorySummarise,
    LlmRequest,
    LlmResponse,
    Message,
)
from antiphon_llm.settings import LlmSettings
from antiphon_llm.testing import ScriptedModel, brain_of, end
from antiphon_runtime.handlers import serve
from antiphon_runtime.testing import Heard, House

pytestmark = pytest.mark.unit

BUDGET = 100


def words(number: int) -> str:
    return f"{number:02} word word word"  # 5 tokens


class Memory:
    """Keeps one session, as the memory worker does."""

    def __init__(self, count: int) -> None:
        self.messages = [
            HistoryMessage(
                role="assistant" if number % 2 else "user",
                text=words(number),
                interrupted=number == 3,
            )
            for number in range(count)
        ]
        self.summary = ""
        self.covered = 0
        self.queries: list[HistoryQuery] = []
        self.stored = Heard()
        self.error: str | None = None

    async def on_query(self, message: Message[HistoryQuery]) -> HistoryResults:
        self.queries.append(message.data)
        kept = min(message.data.max_tokens // 5, len(self.messages) - self.covered)
        return HistoryResults(
            session="s1",
            messages=tuple(self.messages[len(self.messages) - kept :]),
            first=len(self.messages) - kept,
            summary=self.summary,
            covered=self.covered,
        )

    async def on_summarise(self, message: Message[HistorySummarise]) -> HistoryDone:
        if self.error is None:
            self.summary, self.covered = message.data.summary, message.data.covered
        self.stored.add(message.data)
        return HistoryDone(error=self.error)


@asynccontextmanager
async def house_of(
    model: ScriptedModel, memory: Memory, *, small: bool = False, **changes: Any
) -> AsyncIterator[House]:
    settings = LlmSettings(history_summary_idle_s=0.0, retry_delay_s=0.0, **changes)
    async with asyncio.timeout(10), House(requests=[LLM_REQUEST]) as house:
        await house.serve(
            serve(HISTORY_QUERY, memory.on_query), serve(HISTORY_SUMMARISE, memory.on_summarise)
        )
        build = brain_of(model, small=small, history_tokens=BUDGET)
        await house.move_in("llm", settings, build)
        yield house


async def ask(house: House, name: str = "r1") -> LlmResponse:
    request = LlmRequest(text="Who?", use_rag=False)
    return await house.bus.request(
        LLM_REQUEST, request, timeout_s=5, message_id=name, site_id="kitchen"
    )


async def test_what_outgrows_the_budget_is_summed_up_and_the_newest_stay() -> None:
    model = ScriptedModel(["Yes.", end()], ["They ", "counted.", end()], ["No.", end()])
    memory = Memory(16)  # 80 tokens
    async with house_of(model, memory) as house:
        await ask(house)
        await memory.stored.until(1)
        await ask(house, "r2")

    # 30 tokens stay: six messages, the first of them a question.
    assert memory.stored[0] == HistorySummarise(session="s1", summary="They counted.", covered=10)
    assert memory.queries[1].max_tokens == 4 * BUDGET
    assert memory.queries[1].session_id == "kitchen"
    system, asked = model.prompts[1].messages
    assert "at most 16 words" in system.content
    lines = asked.content.splitlines()
    assert lines[:4] == [
        f"Person: {words(0)}",
        f"Assistant: {words(1)}",
        f"Person: {words(2)}",
        f"Assistant: {words(3)} (interrupted)",
    ]
    assert lines[9] == f"Assistant: {words(9)}"
    later = model.prompts[2].messages
    assert later[1].content == f"(Earlier in this conversation: They counted.)\n{words(10)}"
    assert len(model.prompts) == 3


async def test_the_summary_before_goes_into_the_next() -> None:
    model = ScriptedModel(["Yes.", end()], ["All.", end()])
    memory = Memory(20)
    memory.summary, memory.covered = "They met.", 4
    async with house_of(model, memory) as house:
        await ask(house)
        await memory.stored.until(1)

    assert memory.stored[0].covered == 14
    text = model.prompts[1].messages[1].content
    assert text.startswith(f"Notes so far:\nThey met.\n\nAfter that:\nPerson: {words(4)}\n")


async def test_nothing_is_summed_up_that_fits() -> None:
    model = ScriptedModel(["Yes.", end()], ["No.", end()])
    memory = Memory(12)  # 60 tokens: not more than 0.6 of the budget
    async with house_of(model, memory) as house:
        await ask(house)
        await ask(house, "r2")
        await settle()

    assert len(model.prompts) == 2
    assert len(memory.queries) == 2


async def prompted(model: ScriptedModel, times: int) -> None:
    """Return when the model was asked so often."""
    for _ in range(10_000):
        if len(model.prompts) >= times:
            return
        await asyncio.sleep(0)
    pytest.fail("the model was not asked")


async def settle() -> None:
    """Let everything run that does not wait for anybody."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_a_request_ends_a_summary_at_once_and_it_is_made_later() -> None:
    forever = asyncio.Event()
    model = ScriptedModel(
        ["Yes.", end()], ["They", forever], ["No.", end()], ["They counted.", end()]
    )
    memory = Memory(16)
    async with house_of(model, memory) as house:
        await ask(house)
        await prompted(model, 2)
        assert (await ask(house, "r2")).reply == "No."
        assert model.closed == 1
        await memory.stored.until(1)

    assert memory.summary == "They counted."


async def test_no_summary_is_begun_while_a_reply_is_under_way() -> None:
    going_on = asyncio.Event()
    model = ScriptedModel(["Yes ", going_on, "indeed.", end()], ["They counted.", end()])
    memory = Memory(16)
    async with house_of(model, memory) as house, asyncio.TaskGroup() as group:
        asking = group.create_task(ask(house), name="ask")
        await prompted(model, 1)
        await settle()
        assert len(model.prompts) == 1
        going_on.set()
        assert (await asking).reply == "Yes indeed."
        await memory.stored.until(1)


@pytest.mark.parametrize(
    "turn",
    [
        [EngineError("The model is ill.")],
        [end()],
        ["<think>what was it", end()],
    ],
    ids=["fails", "says nothing", "only thinks"],
)
async def test_a_summary_that_comes_to_nothing_is_tried_after_the_next_turn(
    turn: list[Any],
) -> None:
    model = ScriptedModel(["Yes.", end()], turn, ["No.", end()], ["They counted.", end()])
    memory = Memory(16)
    async with house_of(model, memory) as house:
        await ask(house)
        await prompted(model, 2)
        await settle()
        assert memory.stored == []
        assert (await ask(house, "r2")).reply == "No."
        await memory.stored.until(1)

    assert memory.summary == "They counted."


async def test_a_long_summary_is_cut_after_a_sentence() -> None:
    model = ScriptedModel(["Yes.", end()], ["A fact. " * 100, end()])
    memory = Memory(16)
    async with house_of(model, memory) as house:
        await ask(house)
        await memory.stored.until(1)

    # A third of the budget of 100 tokens of four bytes.
    assert memory.summary == ("A fact. " * 16).strip()


async def test_a_session_that_is_gone_meanwhile_harms_nobody() -> None:
    model = ScriptedModel(["Yes.", end()], ["They counted.", end()], ["No.", end()])
    memory = Memory(16)
    memory.error = "That session is gone, or has a newer summary."
    async with house_of(model, memory) as house:
        await ask(house)
        await memory.stored.until(1)
        memory.messages = memory.messages[:2]
        assert (await ask(house, "r2")).reply == "No."


async def test_a_small_model_sums_up_nothing() -> None:
    model = ScriptedModel(["Yes.", end()])
    memory = Memory(30)
    async with house_of(model, memory, small=True) as house:
        await ask(house)
        await settle()

    assert len(model.prompts) == 1
    assert memory.queries == []
