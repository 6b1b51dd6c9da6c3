"""The worker as a process on a real broker, asked as the documentation says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from antiphon_audio import wav
from antiphon_contracts import (
    AUDIO_OUT,
    TIMER_CHANGE,
    TIMER_DONE,
    TIMER_EVENT,
    TIMER_LIST,
    TIMER_QUERY,
    TIMER_SET,
    Message,
    Payload,
    RequestTopic,
    TimerChange,
    TimerQuery,
    TimerSelector,
    TimerSet,
    Topic,
    WorkerGone,
    new_id,
)
from antiphon_runtime import (
    BrokerOptions,
    Bus,
    Handler,
    PahoTransport,
    RawMessage,
    listen,
    listen_raw,
)
from antiphon_runtime.broker import BrokerAddress, EmbeddedBroker, embedded_broker
from antiphon_runtime.testing.house import Heard

pytestmark = pytest.mark.integration

REQUESTS: list[RequestTopic[Any, Any]] = [TIMER_SET, TIMER_CHANGE, TIMER_QUERY]

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "timers.md"
EVERYWHERE = TimerQuery(which=TimerSelector(everywhere=True))


def into(heard: Heard, topic: Topic[P]) -> Handler:
    async def on_message(message: Message[P]) -> None:
        heard.add(message)

    return listen(topic, on_message)


class Home:
    """A broker, a worker that can be killed, and somebody who listens."""

    def __init__(self, broker: EmbeddedBroker, bus: Bus, folder: Path) -> None:
        self.address: BrokerAddress = broker.address
        self.broker = broker
        self.bus = bus
        self.process: asyncio.subprocess.Process | None = None
        self.events, self.answers, self.frames = Heard(), Heard(), Heard()
        self._folder = folder

    async def start(self) -> None:
        variables = {
            "ANTIPHON_HOST": self.address.host,
            "ANTIPHON_PORT": str(self.address.port),
            "ANTIPHON_USERNAME": self.address.username,
            "ANTIPHON_PASSWORD": self.address.password,
            "ANTIPHON_DATA_DIR": str(self._folder),
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "antiphon_timer"), env={**os.environ, **variables}
        )

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def ask(self, topic: RequestTopic[P, R], data: P) -> R:
        """Ask as whoever is told "gone" may: again, with the same id."""
        message_id = new_id()
        async with asyncio.timeout(60):
            while True:
                try:
                    return await self.bus.request(
                        topic, data, timeout_s=30, site_id="kitchen", message_id=message_id
                    )
                except WorkerGone:
                    await asyncio.sleep(0.05)

    async def count(self) -> int:
        return len((await self.ask(TIMER_QUERY, EVERYWHERE)).timers)


@asynccontextmanager
async def a_home(folder: Path) -> AsyncIterator[Home]:
    async with embedded_broker(folder / "broker", kind="mosquitto") as broker:
        at = broker.address
        options = BrokerOptions(
            host=at.host, port=at.port, username=at.username, password=at.password, client_id="t"
        )
        bus = Bus(PahoTransport(options), source="t")
        home = Home(broker, bus, folder / "data")

        async def on_frame(message: RawMessage) -> None:
            home.frames.add(message)

        bus.install(
            [
                into(home.events, TIMER_EVENT),
                into(home.answers, TIMER_DONE),
                into(home.answers, TIMER_LIST),
                listen_raw(AUDIO_OUT, on_frame),
            ],
            REQUESTS,
        )
        await home.start()
        try:
            async with bus.open(), bus.handling(drain_s=0):
                yield home
        finally:
            await home.kill()


async def test_it_rings_survives_a_kill_and_a_lost_broker_and_ends(tmp_path: Path) -> None:
    async with a_home(tmp_path) as home:
        asked = TimerSet(after_s=3, name="tea")
        done = await home.ask(TIMER_SET, asked)
        [timer] = done.timers
        await home.kill()
        await home.start()
        await home.events.until(lambda heard: bool(heard) and heard[-1].data.event == "ringing", 60)
        await home.frames.until(lambda heard: bool(heard) and not heard[-1].payload, 20)
        assert {frame.slots["site"] for frame in home.frames} == {"kitchen"}
        assert max(abs(wav.unwrap(home.frames[0].payload).samples)) > 1_000
        await home.kill()
        heard = len(home.frames)
        await home.start()
        await home.frames.until(heard + 1, 30)  # it rings on
        await home.broker.kill()
        await home.broker.restart()
        order = TimerChange(action="stop")
        stopped = await home.ask(TIMER_CHANGE, order)
        assert [(one.id, one.state) for one in stopped.timers] == [(timer.id, "over")]
        await home.events.until(lambda heard: heard[-1].data.event == "stopped", 20)
        told = {message.id: message.data.event for message in home.events}
        assert list(told.values()) == ["set", "ringing", "stopped"]
        assert home.process is not None
        home.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await home.process.wait() == 0


def is_answered(asked: str, answers: Heard) -> bool:
    return any(answer.correlation_id == asked for answer in answers)


def published_lines() -> list[list[str]]:
    lines = re.findall(r"^mosquitto_pub .*$", DOCUMENT.read_text(), flags=re.MULTILINE)
    return [shlex.split(line) for line in lines]


async def test_the_documents_examples_work(tmp_path: Path) -> None:
    async with a_home(tmp_path) as home:
        assert await home.count() == 0
        at = home.address
        options = ("-h", at.host, "-p", str(at.port), "-u", at.username, "-P", at.password)
        errors: dict[str, object] = {}
        for line in published_lines():
            asked = json.loads(line[-1])["id"]
            process = await asyncio.create_subprocess_exec(line[0], *options, *line[1:])
            assert await process.wait() == 0
            await home.answers.until(partial(is_answered, asked), 20)
            [answer] = (one for one in home.answers if one.correlation_id == asked)
            errors[asked] = getattr(answer.data, "error_code", None)
        assert errors == {**dict.fromkeys(("a1", "a2", "a3", "b1", "c1")), "b2": "not_found"}
        assert await home.count() == 3
