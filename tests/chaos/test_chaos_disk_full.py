"""A disk without a free byte under the whole house: who serves on, who refuses, and how clearly."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    ASK,
    CONTROL,
    MEMORY_REMEMBER,
    TOOLS_CALL,
    Control,
    MemoryRemember,
    PlainAnswer,
    RemoteError,
    RequestTopic,
    ToolCall,
)
from antiphon_runtime import Bus, RawMessage, listen_raw
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.testing.openai_server import OpenAiServer, Text
from chaos import (
    SUPPORT,
    WAIT_S,
    Scale,
    WorkerProcess,
    environment_of,
    transport_to,
    worker_process,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WORKERS = (
    "antiphon_llm",
    "antiphon_memory",
    "antiphon_router",
    "antiphon_satellite",
    "antiphon_timer",
    "antiphon_tts",
    str(SUPPORT / "counting_tools.py"),
)
KINDS = {"llm", "memory", "router", "satellite", "timer", "tools", "tts"}
DISK = "size=2m,nr_inodes=200,mode=0700"
START_S = 60.0
MAX_ACCEPTED = 500
"""What fits into pages that files have already is still kept: a few, never so many."""


@dataclass(frozen=True)
class SmallDisk:
    """A disk of two megabytes, which can be filled and freed."""

    folder: Path

    def fill(self) -> None:
        """Leave no byte, and no room for a new file."""
        ballast = os.open(self.folder / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            for size in (65_536, 4_096, 1):
                _until_full(partial(os.write, ballast, b"x" * size))
        finally:
            os.close(ballast)
        names = (self.folder / f"ballast-{number}" for number in count())
        _until_full(lambda: next(names).touch())

    def free(self) -> None:
        """Delete what filled it."""
        for path in self.folder.glob("ballast*"):
            path.unlink()


def _until_full(step: Callable[[], object]) -> None:
    for _ in range(5_000):
        try:
            step()
        except OSError:
            return
    pytest.fail("the disk does not become full")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if sys.platform != "linux":
        pytest.skip("a small disk is a tmpfs here, which is Linux's")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "antiphon-test", str(folder)]
    if (done := subprocess.run(mount, check=False, capture_output=True, text=True)).returncode:
        pytest.skip(f"may not mount a small disk, which takes root: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass
class Person:
    """Somebody who asks, tells and orders, and the answers that came."""

    bus: Bus
    answers: dict[str, PlainAnswer] = field(default_factory=dict)

    async def on_answer(self, message: RawMessage) -> None:
        answer = PlainAnswer.model_validate_json(message.payload)
        self.answers[answer.id or ""] = answer

    async def ask(self, text: str, *, speak: bool = False) -> PlainAnswer:
        """Ask as anybody may, and wait for the answer."""
        ask_id = f"q{len(self.answers)}"
        question = {"text": text, "id": ask_id, "speak": speak}
        self.bus.publish_raw(ASK, orjson.dumps(question))
        await until(lambda: ask_id in self.answers)
        return self.answers[ask_id]

    async def remember(self, number: int) -> str:
        """Return the refusal; empty if it is kept."""
        text = f"Box {number} holds {number * 7} screws."
        try:
            await self.bus.request(MEMORY_REMEMBER, MemoryRemember(text=text), timeout_s=WAIT_S)
        except RemoteError as error:
            return str(error)
        return ""

    async def ring(self, number: int) -> str:
        """Call the tool with an effect; returns the refusal, empty if it was done."""
        call = ToolCall(name="ring", arguments={"number": number})
        try:
            result = await self.bus.request(TOOLS_CALL, call, timeout_s=WAIT_S)
        except RemoteError as error:
            return str(error)
        return result.error or ""

    def notes(self, kind: str) -> str:
        """What a worker says is amiss."""
        return " ".join(
            note
            for one in self.bus.presence.workers.values()
            if one.kind == kind
            for note in one.notes
        )

    def states(self) -> dict[str, str]:
        """How each worker says that it is."""
        return {one.kind: one.state for one in self.bus.presence.workers.values()}


async def until(true: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def a_person(broker: EmbeddedBroker) -> AsyncIterator[Person]:
    bus = Bus(transport_to(broker.address, "person"), source="person")
    person = Person(bus)
    requests: list[RequestTopic[Any, Any]] = [MEMORY_REMEMBER, TOOLS_CALL]
    bus.install([listen_raw(ANSWER, person.on_answer)], requests=requests)
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        yield person


@asynccontextmanager
async def all_workers(
    broker: EmbeddedBroker, disk: SmallDisk, ledger: Path
) -> AsyncIterator[list[WorkerProcess]]:
    """Run every worker that needs no model, with its data and its log on the small disk."""
    data = disk.folder / "data"
    data.mkdir()
    (data / "ledger").symlink_to(ledger)  # the effect happens elsewhere
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(OpenAiServer(lambda _request: of_foxes()))
        environment = environment_of(
            broker.address,
            ANTIPHON_DATA_DIR=str(data),
            ANTIPHON_MODELS_DIR=str(disk.folder / "no models"),
            ANTIPHON_ROUTER_USE_RAG="false",
            ANTIPHON_LLM_BASE_URL=server.base_url,
            ANTIPHON_TTS_ENGINE="espeak-ng",
            ANTIPHON_SATELLITE_SPEAKER="file",
            ANTIPHON_SATELLITE_MICROPHONE="null",
            ANTIPHON_SATELLITE_PACE="0",
            ANTIPHON_SATELLITE_KEEP="2",
        )
        yield [
            await stack.enter_async_context(
                worker_process(name, disk.folder / f"{Path(name).stem}.log", environment)
            )
            for name in WORKERS
        ]


@pytest.mark.parametrize("which", ["the workers'", "the workers' and the broker's"])
async def test_the_disk_is_full(tmp_path: Path, disk: SmallDisk, scale: Scale, which: str) -> None:
    total = scale(200)
    folder = disk.folder if which.endswith("broker's") else tmp_path
    ledger = tmp_path / "ledger"
    async with (
        embedded_broker(folder / "broker", kind="mosquitto") as broker,
        all_workers(broker, disk, ledger) as workers,
        a_person(broker) as person,
    ):
        await until(lambda: served(person) == KINDS, START_S)
        before = person.states()
        assert [await person.remember(0), await person.ring(0)] == ["", ""]
        disk.fill()

        kept = await until_refused(person.remember)
        rung = await until_refused(person.ring)
        refused = [await person.remember(kept + number) for number in range(total)]
        unrung = [await person.ring(rung + number) for number in range(total)]
        assert all("disk is full" in words for words in refused), refused
        assert all("No space left" in words and "did not do it" in words for words in unrung)
        assert sorted(map(int, ledger.read_text().split())) == list(range(rung))

        told = await person.ask("remember that the bicycle is red", speak=True)
        assert "disk is full" in told.answer

        questions = {"what time is it": "It is", "tell me about foxes": "Foxes are clever."}
        asked = [one for _ in range(total // 2) for one in questions.items()]
        right = [(await person.ask(question)).answer.startswith(start) for question, start in asked]
        assert right == [True] * total
        assert (await person.ask("tell me about foxes", speak=True)).answer == "Foxes are clever."
        await until(lambda: "disk is full" in person.notes("router"))

        await person.bus.publish(CONTROL, Control(action="mute"), worker="all")
        await until(lambda: "muted" in person.notes("satellite"))
        assert muted(person)
        save(broker)
        assert (await person.ask("what time is it")).error is None

        disk.free()

        await until_kept(person.remember, kept)
        await until_kept(person.ring, rung)
        await person.bus.publish(CONTROL, Control(action="mute"), worker="all")
        assert not (await person.ask("remember that the bicycle is red")).error
        await person.ask("tell me about foxes", speak=True)
        await until(lambda: person.states() == before)
        assert muted(person)
        save(broker)
        await until((folder / "broker" / "mosquitto.db").exists)
        pids = [worker.pid for worker in workers]
        codes = [await worker.stop() for worker in workers]
    assert codes == [0] * len(WORKERS)
    assert pids == [worker.pid for worker in workers]
    with closing(sqlite3.connect(disk.folder / "data" / "memory.sqlite")) as connection:
        rows = [text for (text,) in connection.execute("SELECT text FROM memories")]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert sum(row.startswith("Box") for row in rows) == kept + 1
    scale.record(
        f"the disk ({which}) is full",
        f"{len(refused)} of {total} things to remember and {len(unrung)} of {total} calls refused "
        f"with the reason, {len(right)} of {total} questions answered; freed, all was as before",
    )


def of_foxes() -> Text:
    """An answer that takes long enough for its turn to be journalled."""
    hold = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, hold.set)
    return Text(("Foxes are ", "clever."), hold=hold)


async def until_refused(act: Callable[[int], Any]) -> int:
    """Act until refused; returns how often it was done, the one before the disk was full too."""
    for number in range(1, MAX_ACCEPTED):
        if await act(number):
            return number
    pytest.fail("a full disk took everything")


async def until_kept(act: Callable[[int], Any], number: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while await act(number):  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.1)


def served(person: Person) -> set[str]:
    return {kind for kind, state in person.states().items() if state in {"ready", "degraded"}}


def muted(person: Person) -> bool:
    return any(one.muted for one in person.bus.presence.workers.values())


def save(broker: EmbeddedBroker) -> None:
    """Have mosquitto write down what it would lose; it does so by itself now and then."""
    os.kill(broker.pid, signal.SIGUSR1)
