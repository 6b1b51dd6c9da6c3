"""Whole turns with real router and LLM worker processes on mosquitto, while things break."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    ASK_SITE,
    HEALTH,
    TTS_SAY,
    Health,
    Message,
    PlainAnswer,
    TtsSay,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, RawMessage, listen, listen_raw
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.testing import Heard
from antiphon_runtime.testing.openai_server import Hang, OpenAiServer, Recorded, Reply, Text

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

START_S = 20.0
WAIT_S = 25.0


class Rooms:
    """Workers on a broker, and a person who asks and listens.

    Attributes:
        broker: a mosquitto of its own.
        bus: the person's.
        answers: all that came on `answer/…`.
        said: all that was to be spoken.
    """

    def __init__(self, broker: EmbeddedBroker, bus: Bus, folder: Path) -> None:
        self.broker = broker
        self.bus = bus
        self.answers = Heard()
        self.said = Heard()
        self._folder = folder
        self._health = Heard()
        self._processes: dict[str, Process] = {}

    async def on_answer(self, message: RawMessage) -> None:
        self.answers.add(PlainAnswer.model_validate_json(message.payload))

    async def on_say(self, message: Message[TtsSay]) -> None:
        self.said.add(message.data)

    async def on_health(self, message: Message[Health]) -> None:
        self._health.add(message.data)

    async def start(self, kind: str, **settings: str) -> None:
        """Start a worker and return when it is ready; a worker of that kind must not run."""
        kept = {name: value for name, value in os.environ.items() if "ANTIPHON" not in name}
        self._health.clear()
        self._processes[kind] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"antiphon_{kind}"),
            env={
                **kept,
                "XDG_CONFIG_HOME": str(self._folder),
                "ANTIPHON_PORT": str(self.broker.address.port),
                "ANTIPHON_DATA_DIR": str(self._folder / "data"),
                **settings,
            },
            cwd=self._folder,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        await self._health.until(
            lambda all_: any(h.kind == kind and h.state in {"ready", "degraded"} for h in all_),
            timeout_s=START_S,
        )

    async def kill(self, kind: str) -> None:
        """End a worker as a crash would."""
        process = self._processes.pop(kind)
        process.kill()
        await process.wait()

    async def end(self) -> None:
        for kind in list(self._processes):
            await self.kill(kind)

    def ask(self, text: str, ask_id: str, site: str = "kitchen", *, speak: bool = True) -> None:
        question = orjson.dumps({"text": text, "id": ask_id, "speak": speak})
        self.bus.publish_raw(ASK_SITE, question, site=site)

    async def answer_to(self, ask_id: str, timeout_s: float = WAIT_S) -> PlainAnswer:
        def found(answers: Heard) -> list[PlainAnswer]:
            return [answer for answer in answers if answer.id == ask_id]

        await self.answers.until(lambda answers: bool(found(answers)), timeout_s)
        return found(self.answers)[0]


@asynccontextmanager
async def rooms(folder: Path, server: OpenAiServer, **router: str) -> AsyncIterator[Rooms]:
    async with embedded_broker(folder / "broker", kind="mosquitto", anonymous=True) as broker:
        options = BrokerOptions(port=broker.address.port, backoff_s=(0.02, 0.2))
        bus = Bus(PahoTransport(options), source="person")
        house = Rooms(broker, bus, folder)
        bus.install(
            [
                listen_raw(ANSWER, house.on_answer, queue_limit=1000),
                listen(TTS_SAY, house.on_say, queue_limit=1000),
                listen(HEALTH, house.on_health),
            ]
        )
        async with bus.open(), bus.handling(drain_s=0):
            await bus.wait_connected(START_S)
            try:
                await house.start("router", **router)
                await house.start("llm", **llm_settings(server))
                yield house
            finally:
                await house.end()


def llm_settings(server: OpenAiServer) -> dict[str, str]:
    return {
        "ANTIPHON_LLM_PROVIDER": "openai",
        "ANTIPHON_LLM_BASE_URL": server.base_url,
        "ANTIPHON_LLM_MODEL": "scripted-model",
        "ANTIPHON_LLM_CONCURRENCY": "8",
    }


def spoken(house: Rooms, answer: PlainAnswer) -> str:
    said = [say.text for say in house.said if say.utterance_id == answer.utterance_id]
    return " ".join(text for text in said if text)


async def nothing_more(house: Rooms, answers: int) -> None:
    """The next turn works, and no other answer came in between."""
    house.ask("what time is it", "next")
    assert (await house.answer_to("next")).route == "fast"
    assert len({(a.id, a.turn_id, a.answer) for a in house.answers}) == answers + 1


async def test_without_a_memory_a_question_is_answered_within_six_seconds(tmp_path: Path) -> None:
    async with OpenAiServer([Text(["It is ", "red."])] * 2) as server, rooms(tmp_path, server) as h:
        for number in range(2):
            began = time.monotonic()
            h.ask("What colour is my bicycle?", f"q{number}")
            answer = await h.answer_to(f"q{number}")
            assert time.monotonic() - began < 6.0
            assert (answer.answer, answer.error) == ("It is red.", None)
            await h.said.until(lambda all_: bool(all_) and all_[-1].last)
            assert spoken(h, answer) == "It is red."
        await nothing_more(h, 2)


async def test_a_broker_that_dies_in_mid_turn_costs_no_answer(tmp_path: Path) -> None:
    hold = asyncio.Event()
    text = Text(["It is red. ", "And it is ", "new."], hold=hold)
    async with OpenAiServer([text] * 3) as server, rooms(tmp_path, server) as h:
        h.ask("What colour is my bicycle?", "q1")
        await h.said.until(1, timeout_s=WAIT_S)
        await h.broker.kill()
        hold.set()
        await h.broker.restart()
        await h.bus.wait_connected(WAIT_S)
        h.ask("What colour is my bicycle?", "q1")  # what a lost connection obliges one to
        answer = await h.answer_to("q1")
        assert answer.answer.startswith("It is red. ")
        await h.said.until(lambda all_: all_[-1].last, timeout_s=WAIT_S)
        assert spoken(h, answer) in {"It is red. And it is new.", answer.answer}
        await nothing_more(h, 1)


async def test_a_language_model_killed_in_mid_stream_ends_in_one_apology(tmp_path: Path) -> None:
    script: Sequence[Reply] = [Hang(["It is red. ", "And it i"])]
    async with OpenAiServer(script) as server, rooms(tmp_path, server) as h:
        h.ask("What colour is my bicycle?", "q1")
        await h.said.until(1, timeout_s=WAIT_S)
        await h.kill("llm")
        answer = await h.answer_to("q1")
        assert answer.error is not None
        await h.said.until(lambda all_: all_[-1].last)
        assert spoken(h, answer) == "It is red. My language model is offline right now."
        await nothing_more(h, 1)


async def test_a_language_model_that_is_started_again_answers_after_all(tmp_path: Path) -> None:
    script: Sequence[Reply] = [Hang(["It is red. ", "And it i"]), Text(["It is red. ", "Yes."])]
    async with OpenAiServer(script) as server, rooms(tmp_path, server) as h:
        h.ask("What colour is my bicycle?", "q1")
        await h.said.until(1, timeout_s=WAIT_S)
        await h.kill("llm")
        await h.start("llm", **llm_settings(server))
        answer = await h.answer_to("q1")
        assert (answer.answer, answer.error) == ("It is red. Yes.", None)
        await h.said.until(lambda all_: all_[-1].last)
        assert spoken(h, answer) == "It is red. Yes."
        await nothing_more(h, 1)


async def test_a_hundred_sites_that_ask_at_once_are_all_answered(tmp_path: Path) -> None:
    def script(_request: Recorded) -> Reply:
        return Text(["It is ", "red."])

    async with OpenAiServer(script) as server, rooms(tmp_path, server) as h:
        for number in range(100):
            h.ask("What colour is my bicycle?", f"q{number}", f"site-{number}", speak=False)
        await h.answers.until(100, timeout_s=80)
        assert len({answer.id for answer in h.answers}) == 100
        for answer in h.answers:
            assert answer.answer in {
                "It is red.",
                "Sorry, I have too much to do right now. Please ask again in a moment.",
            }
        assert any(answer.error is None for answer in h.answers)
        assert not h.said
        await nothing_more(h, 100)
