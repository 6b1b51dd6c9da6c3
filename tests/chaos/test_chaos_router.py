"""The router killed in the middle of turns: each is answered or apologised for, once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    ASK_SITE,
    HEALTH,
    HISTORY_APPEND,
    LLM_REQUEST,
    STT_FINAL,
    TTS_SAY,
    Health,
    HistoryAppend,
    HistoryDone,
    LlmRequest,
    LlmResponse,
    Message,
    PlainAnswer,
    SttFinal,
    TtsSay,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, listen, listen_raw, serve
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from chaos import WAIT_S, Scale, WorkerProcess, environment_of, transport_to, worker_process

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SLOWEST_REPLY_S = 0.6


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with embedded_broker(tmp_path / "broker", kind="mosquitto", persistence=False) as broker:
        yield broker


@dataclass
class House:
    """Scripted workers around a real router, and what it said, by site."""

    bus: Bus
    random: random.Random
    answers: dict[str, list[PlainAnswer]] = field(default_factory=lambda: defaultdict(list))
    said: dict[str, list[Message[TtsSay]]] = field(default_factory=lambda: defaultdict(list))

    async def on_llm(self, message: Message[LlmRequest]) -> LlmResponse:
        await asyncio.sleep(self.random.random() * SLOWEST_REPLY_S)
        return LlmResponse(reply=f"You said: {message.data.text}", finish_reason="stop")

    async def on_history(self, _message: Message[HistoryAppend]) -> HistoryDone:
        return HistoryDone()

    async def on_answer(self, message: RawMessage) -> None:
        self.answers[message.site_id].append(PlainAnswer.model_validate_json(message.payload))

    async def on_say(self, message: Message[TtsSay]) -> None:
        self.said[message.site_id].append(message)

    def ask(self, site: str, number: int) -> None:
        """Ask in one of four ways: with an id, without, silently, aloud."""
        text = f"Question {number}?"
        match number % 4:
            case 0:
                payload = orjson.dumps({"text": text, "id": f"q{number}"})
                self.bus.publish_raw(ASK_SITE, payload, site=site)
            case 1:
                self.bus.publish_raw(ASK_SITE, text.encode(), site=site)
            case 2:
                payload = orjson.dumps({"text": text, "id": f"q{number}", "speak": False})
                self.bus.publish_raw(ASK_SITE, payload, site=site)
            case _:
                final = SttFinal(utterance_id=new_id(), text=text)
                self.bus.publish(STT_FINAL, final, site_id=site, turn_id=final.utterance_id)

    async def until(self, sites: int) -> None:
        """Return when so many sites have an answer."""
        async with asyncio.timeout(WAIT_S):
            while len(self.answers) < sites:  # noqa: ASYNC110  (counted here)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def a_house(broker: EmbeddedBroker) -> AsyncIterator[House]:
    bus = Bus(transport_to(broker.address, "others"), source="others")
    house = House(bus, random.Random(7))  # noqa: S311  (no secret)
    bus.install(
        [
            serve(LLM_REQUEST, house.on_llm, concurrency=500, queue_limit=500),
            serve(HISTORY_APPEND, house.on_history),
            listen_raw(ANSWER, house.on_answer, queue_limit=10_000),
            listen(TTS_SAY, house.on_say, queue_limit=10_000),
        ]
    )
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        for kind in ("llm", "memory"):
            # Starting workers may be silent, and these have no heartbeat.
            await bus.publish(HEALTH, Health(worker=kind, kind=kind, state="starting"), worker=kind)
        yield house


@asynccontextmanager
async def a_router(broker: EmbeddedBroker, folder: Path) -> AsyncIterator[WorkerProcess]:
    environment = environment_of(
        broker.address,
        ANTIPHON_DATA_DIR=str(folder / "data"),
        ANTIPHON_ROUTER_USE_RAG="false",
    )
    async with worker_process("antiphon_router", folder / "router.log", environment) as router:
        yield router


async def answered_at_all(house: House) -> None:
    """Return when the router is there."""
    async with asyncio.timeout(WAIT_S):
        while not house.answers:
            house.ask("first", 2)
            await asyncio.sleep(0.2)


async def test_the_router_is_killed_in_the_middle_of_turns(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    total, kills = scale(1_000), scale(20)
    chance = random.Random(11)  # noqa: S311  (no secret)
    async with a_router(broker, tmp_path) as router, a_house(broker) as house:
        await answered_at_all(house)
        for number in range(total):
            house.ask(f"room-{number}", number)
            await asyncio.sleep(0.03)
            if number % (total // kills) == total // kills // 2:
                if chance.random() < 0.7:
                    await house.until(len(house.answers) + 1)  # the others die while they start
                await asyncio.sleep(chance.random() * 0.05)
                await router.kill()
                await router.start()
        await house.until(1 + total)
        await asyncio.sleep(3)  # whoever would answer twice has done so by then
    times = Counter(len(house.answers[f"room-{number}"]) for number in range(total))
    failed = [answers[0].error for answers in house.answers.values() if answers[0].error]
    scale.record(
        f"router killed {kills} times in the middle of {total} turns",
        f"answered {total - len(failed)}, apologised for {len(failed)}, "
        f"unanswered {times[0]}, twice {sum(times.values()) - times[0] - times[1]}",
    )
    assert times == {1: total}
    assert failed, "no turn was open at a crash"
    for number in range(total):
        answer, said = house.answers[f"room-{number}"][0], house.said[f"room-{number}"]
        if number % 2 == 0:
            assert answer.id == f"q{number}"
        if number % 4 == 2:
            assert not said
        elif answer.error:
            clauses = [m.data.text for m in said if m.data.utterance_id == answer.utterance_id]
            assert " ".join(clauses) == answer.answer
