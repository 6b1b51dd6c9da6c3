from __future__ import annotations

import asyncio
import io
import os
import shlex

import pytest
from antiphon import up
from antiphon.house import HouseWatch, WorkerState
from antiphon.settings import find_broker, from_url
from antiphon.supervisor import PARTS
from antiphon.up import UpOptions, external_broker, parts_without, ways_in
from antiphon_contracts import ConfigError, Health, Message
from antiphon_runtime import RuntimeSettings, load_settings, running, stack_file
from antiphon_runtime.testing import Heard
from pydantic import SecretStr
from rich.console import Console

pytestmark = pytest.mark.unit


def settings(**changes: object) -> RuntimeSettings:
    return load_settings(RuntimeSettings, **{"host": "127.0.0.1", "port": 4711, **changes})


def test_the_printed_lines_are_whole_and_can_be_pasted() -> None:
    known = settings(username="ada", password=SecretStr("it's $HOME"), base="home")
    ask, pub = (shlex.split(line) for line in ways_in(known, found_by_itself=True))
    assert ask == ["antiphon", "ask", "what time is it"]
    assert pub[:5] == ["mosquitto_pub", "-h", "127.0.0.1", "-p", "4711"]
    assert pub[5:9] == ["-u", "ada", "-P", "it's $HOME"]
    assert pub[9:] == ["-t", "home/ask", "-m", "what time is it"]


def test_a_broker_without_password_and_base_has_shorter_lines() -> None:
    known = settings(base="")
    _, pub = (shlex.split(line) for line in ways_in(known, found_by_itself=True))
    assert pub[5:] == ["-t", "ask", "-m", "what time is it"]


def test_a_stack_that_ask_would_not_find_is_named_in_its_line() -> None:
    known = settings(username="ada", password=SecretStr("a/b@c"))
    ask, _ = (shlex.split(line) for line in ways_in(known, found_by_itself=False))
    address = ask[ask.index("--broker") + 1]
    assert from_url(address).password.get_secret_value() == "a/b@c"


def test_workers_that_run_elsewhere_are_left_out() -> None:
    kept = [part.kind for part in parts_without(["llm", "satellite"])]
    assert kept == [part.kind for part in PARTS if part.kind not in {"llm", "satellite"}]
    with pytest.raises(ConfigError, match="no worker 'cook'"):
        parts_without(["cook"])


def test_the_broker_is_the_one_named_else_that_of_the_settings_else_embedded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert external_broker(UpOptions(port=1883)) is None
    monkeypatch.setenv("ANTIPHON_HOST", "set.lan")
    found = external_broker(UpOptions())
    assert found is not None
    assert found.host == "set.lan"
    found = external_broker(UpOptions(broker="mqtt://named.lan"))
    assert found is not None
    assert found.host == "named.lan"
    for options in (UpOptions(port=1883), UpOptions(broker_kind="amqtt")):
        with pytest.raises(ConfigError, match=r"set\.lan.*leave out one side"):
            external_broker(options)


class Broker:
    """An embedded broker that dies whenever it is told to."""

    kind = "mosquitto"

    def __init__(self, refusals: int = 0) -> None:
        self.died = asyncio.Event()
        self.restarted = asyncio.Event()
        self.refusals = refusals
        self.attempts = 0

    async def wait(self) -> int:
        await self.died.wait()
        return -9

    async def restart(self) -> None:
        self.attempts += 1
        if self.attempts <= self.refusals:
            raise ConfigError("its port was taken meanwhile")
        self.died.clear()
        self.restarted.set()


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(up, "BROKER_PAUSES_S", (0.001, 0.002))
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


async def test_a_broker_that_dies_is_started_again(console: Console) -> None:
    broker = Broker(refusals=2)
    async with asyncio.timeout(5), running(broker=up._keep_broker(broker, console)):  # type: ignore[arg-type]
        for _ in range(2):
            broker.restarted.clear()
            broker.died.set()
            await broker.restarted.wait()
    assert broker.attempts == 4
    assert "the broker died; starting it again" in said(console)[0]


async def test_a_broker_that_can_be_started_no_more_ends_the_stack(console: Console) -> None:
    broker = Broker(refusals=1000)
    broker.died.set()
    with pytest.raises(ConfigError, match="port was taken"):
        async with asyncio.timeout(5):
            await up._keep_broker(broker, console)  # type: ignore[arg-type]
    assert broker.attempts == up.BROKER_ATTEMPTS


def test_the_stack_is_found_while_it_runs_and_not_after() -> None:
    known = settings(username="ada", password=SecretStr("s3cret"))
    with up._announced(known, Broker()):  # type: ignore[arg-type]
        assert find_broker(None).password.get_secret_value() == "s3cret"
        stack = stack_file.read(stack_file.default_path())
        assert stack is not None
        assert stack.pid == os.getpid()
    with pytest.raises(ConfigError):
        find_broker(None)


def test_without_a_terminal_each_change_is_one_line(console: Console) -> None:
    log = up._ChangeLog(console)
    log.show({"stt-1": WorkerState("starting")})
    log.show({"stt-1": WorkerState("starting")})
    log.show({"stt-1": WorkerState("gone", None, "ended with [SIGKILL]")})
    assert said(console) == ["stt-1: starting", "stt-1: gone (ended with [SIGKILL])"]


def test_on_a_terminal_the_table_stays_at_its_foot() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with up._LiveTable(console) as screen:
        screen.show({"stt-1": WorkerState("starting")})
    assert any("stt-1" in line for line in said(console))


class Rooms:
    """As much of a house as is watched."""

    def __init__(self) -> None:
        self.watch = HouseWatch(["stt-1"])
        self.looks = Heard()

    @property
    def states(self) -> dict[str, WorkerState]:
        self.looks.add("a look")
        return {"stt-1": WorkerState("starting")}

    def reasons(self, _missing: object) -> str:
        return "stt-1 (loading weights)"


async def test_a_slow_start_is_explained_once_and_then_the_ways_in_are_told(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "SLOW_START_S", 0.0)
    rooms = Rooms()
    async with running(watch=up._watch(rooms, ["ask it"], console)):  # type: ignore[arg-type]
        for looks in (1, 2, 3):
            await rooms.looks.until(looks)
            rooms.watch.touch()
        assert "  ask it" not in said(console)
        ready = Health(worker="stt-1", kind="stt", state="ready")
        await rooms.watch.on_health(Message(ready, type="health/1"))
        await rooms.looks.until(5)
    assert said(console).count("still not ready: stt-1 (loading weights)") == 1
    assert said(console).count("  ask it") == 1
