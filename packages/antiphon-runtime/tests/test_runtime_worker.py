"""A worker as a real process on a real broker."""

import asyncio
import math
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from antiphon_contracts import (
    ANSWER,
    CONTROL,
    HEALTH,
    MEMORY_QUERY,
    SAY,
    BusError,
    Control,
    Flow,
    Health,
    MemoryQuery,
    Message,
    RawTopic,
)
from antiphon_runtime import (
    BrokerOptions,
    Bus,
    PahoTransport,
    Presence,
    PublishOptions,
    RawMessage,
    listen,
    listen_raw,
)
from antiphon_runtime.broker import BrokerAddress, embedded_broker
from antiphon_runtime.broker.address import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

WAIT_S = 15.0  # a process starts in about a second, on a busy machine in several
PARROT = Path(__file__).with_name("parrot_worker.py")


class Watcher:
    """Watches the health of the parrot and hears what it says."""

    def __init__(self, port: int, base: str) -> None:
        self.health: list[Health] = []
        self.answers: list[bytes] = []
        # The parrot answers for the memory, whose health nobody publishes.
        presence = Presence(settled_after_s=math.inf)
        transport = PahoTransport(BrokerOptions(port=port))
        self.bus = Bus(transport, source="watcher", base=base, presence=presence)
        self._changed = asyncio.Event()
        self.bus.install(
            [listen(HEALTH, self._on_health), listen_raw(ANSWER, self._on_answer)],
            requests=[MEMORY_QUERY],
        )

    async def _on_health(self, message: Message[Health]) -> None:
        self.health.append(message.data)
        self._changed.set()

    async def _on_answer(self, message: RawMessage) -> None:
        self.answers.append(message.payload)
        self._changed.set()

    @property
    def states(self) -> list[str]:
        """The states in the order of their coming, each once in a row."""
        states = [health.state for health in self.health]
        return [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not enough():
                self._changed.clear()
                await self._changed.wait()

    async def until_state(self, state: str) -> None:
        await self.until(lambda: bool(self.states) and self.states[-1] == state)

    async def phrase(self) -> str:
        query = MemoryQuery(text="what do you say")
        reply = await self.bus.request(MEMORY_QUERY, query, timeout_s=5)
        return reply.results[0].text

    async def control(self, worker: str, action: str) -> None:
        order = Control.model_validate({"action": action})
        async with asyncio.timeout(WAIT_S):
            await self.bus.publish(CONTROL, order, worker=worker)


@asynccontextmanager
async def watching(port: int, base: str) -> AsyncIterator[Watcher]:
    watcher = Watcher(port, base)
    async with watcher.bus.open(), watcher.bus.handling(drain_s=0):
        await watcher.bus.wait_connected(WAIT_S)
        yield watcher


class Aviary:
    """Starts parrots; ends those that are left."""

    def __init__(self, port: int, base: str, folder: Path) -> None:
        self.port = port
        self.base = base
        self.folder = folder
        self._parrots: list[Process] = []

    async def start(self, **settings: str) -> Process:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")
        }
        environment |= {
            "ANTIPHON_PORT": str(self.port),
            "ANTIPHON_BASE": self.base,
            "ANTIPHON_LOG_STYLE": "json",
            "XDG_CONFIG_HOME": str(self.folder),
        }
        parrot = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PARROT),
            env=environment | {f"ANTIPHON_{name}": value for name, value in settings.items()},
            cwd=self.folder,
            stderr=PIPE,
        )
        self._parrots.append(parrot)
        return parrot

    async def end_all(self) -> None:
        for parrot in self._parrots:
            if parrot.returncode is None:
                parrot.kill()
            await parrot.communicate()


@pytest.fixture
async def aviary(
    mosquitto: BrokerAddress, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Aviary]:
    aviary = Aviary(mosquitto.port, f"worker-{request.node.name}"[:60], tmp_path)
    try:
        yield aviary
    finally:
        await aviary.end_all()


async def end(parrot: Process, *, within_s: float = 2.0) -> tuple[int | None, str]:
    """Exit code and standard error of a process that is about to end."""
    async with asyncio.timeout(within_s):
        _, errors = await parrot.communicate()
    return parrot.returncode, errors.decode()


async def retained_state(aviary: Aviary) -> str:
    async with watching(aviary.port, aviary.base) as late:
        await late.until(lambda: bool(late.health))
        return late.health[0].state


async def test_sigterm_finishes_what_has_begun_and_health_tells_the_whole_life(
    aviary: Aviary,
) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start(PARROT_LOAD_S="0.3")
        await watcher.until_state("ready")
        assert await watcher.phrase() == "hello"
        watcher.bus.publish_raw(SAY, b"0.3")
        await asyncio.sleep(0.1)
        parrot.send_signal(signal.SIGTERM)
        exit_code, errors = await end(parrot)
        await watcher.until_state("gone")
    assert watcher.answers == [b"said"]
    assert watcher.states == ["starting", "ready", "stopping", "gone"]
    ready = next(health for health in watcher.health if health.state == "ready")
    assert (ready.worker, ready.kind, ready.engine) == ("parrot-1", "parrot", "parrot")
    assert ready.pid == parrot.pid
    assert exit_code == 0
    assert "Traceback" not in errors
    assert await retained_state(aviary) == "gone"


async def test_sigkill_leaves_the_will(aviary: Aviary) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start(WORKER_ID="polly")
        await watcher.until_state("ready")
        parrot.kill()
        await watcher.until_state("gone")
        assert watcher.health[-1].worker == "polly"
        assert watcher.bus.presence.is_gone("parrot")
    assert await retained_state(aviary) == "gone"


async def test_a_request_outlives_the_worker_that_was_killed_over_it(aviary: Aviary) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        first = await aviary.start(PARROT_THINK_S="60", PARROT_PHRASE="first")
        await watcher.until_state("ready")
        asking = asyncio.ensure_future(watcher.phrase())
        await watcher.until(lambda: watcher.bus.pending_requests == 1)
        await asyncio.sleep(0.1)
        first.kill()
        await aviary.start(PARROT_PHRASE="second")
        assert await asking == "second"


async def test_a_drain_ends_the_worker_it_names_and_no_other(aviary: Aviary) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start()
        await watcher.until_state("ready")
        await watcher.control("parrot-2", "drain")
        for _ in range(3):
            assert await watcher.phrase() == "hello"
        await watcher.control("all", "drain")
        exit_code, errors = await end(parrot)
    assert exit_code == 0
    assert '"worker.control"' in errors
    assert errors.count('"worker.control"') == 1


async def test_a_reload_reads_the_settings_again_and_refuses_wrong_ones(aviary: Aviary) -> None:
    config = aviary.folder / "antiphon.toml"
    config.write_text('[parrot]\nphrase = "good morning"\n')
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start()
        await watcher.until_state("ready")
        assert await watcher.phrase() == "good morning"
        config.write_text('[parrot]\nphrase = "good night"\n')
        await watcher.control("all", "reload")
        await watcher.until(lambda: watcher.states.count("ready") == 2)
        assert await watcher.phrase() == "good night"
        config.write_text("[parrot]\nphrsae = 1\n")
        await watcher.control("parrot-1", "reload")
        await watcher.until_state("degraded")
        assert "phrsae" in watcher.health[-1].notes[0]
        assert await watcher.phrase() == "good night"
        config.write_text("")
        parrot.send_signal(signal.SIGHUP)
        await watcher.until_state("ready")
        assert await watcher.phrase() == "hello"


async def test_wrong_settings_and_missing_models_end_it_with_one_sentence(aviary: Aviary) -> None:
    wrong = await aviary.start(PARROT_LOAD_S="soon")
    missing = await aviary.start(PARROT_MODEL="missing")
    exit_code, errors = await end(wrong, within_s=WAIT_S)
    assert exit_code == 78
    assert errors.count("\n") == 1
    assert errors.startswith("antiphon parrot: wrong setting in [parrot]")
    assert "load_s" in errors
    exit_code, errors = await end(missing, within_s=WAIT_S)
    assert exit_code == 78
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == (
        "antiphon parrot: the parrot is missing; fetch it with `antiphon models fetch parrot`"
    )


async def test_sigterm_breaks_off_a_start_that_takes_long(aviary: Aviary) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start(PARROT_LOAD_S="60")
        await watcher.until_state("starting")
        parrot.send_signal(signal.SIGTERM)
        exit_code, _ = await end(parrot)
        await watcher.until_state("gone")
    assert exit_code == 0


async def test_the_ready_file_is_touched_only_while_it_serves(aviary: Aviary) -> None:
    file = aviary.folder / "ready"
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start(PARROT_LOAD_S="1.2", READY_FILE=str(file))
        await watcher.until(lambda: watcher.states == ["starting"] and len(watcher.health) > 1)
        assert not file.exists()
        await watcher.until_state("ready")
        beats = len(watcher.health)
        await watcher.until(lambda: len(watcher.health) >= beats + 2)
        first = file.stat().st_mtime
        await watcher.until(lambda: len(watcher.health) >= beats + 4)
        assert file.stat().st_mtime > first
        parrot.send_signal(signal.SIGTERM)
        assert (await end(parrot))[0] == 0


async def test_a_ready_file_that_cannot_be_written_is_a_note_and_no_end(aviary: Aviary) -> None:
    file = aviary.folder / "no-such-folder" / "ready"
    async with watching(aviary.port, aviary.base) as watcher:
        await aviary.start(READY_FILE=str(file))
        await watcher.until_state("degraded")
        assert watcher.health[-1].notes == (f"{file} cannot be written: No such file or directory",)
        assert await watcher.phrase() == "hello"


async def test_sigusr1_tells_where_each_task_waits(aviary: Aviary) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        parrot = await aviary.start()
        await watcher.until_state("ready")
        parrot.send_signal(signal.SIGUSR1)
        parrot.send_signal(signal.SIGTERM)
        _, errors = await end(parrot)
    told = [line for line in errors.splitlines() if '"event": "task"' in line]
    assert any('"name": "health"' in line and "health.py" in line for line in told)
    assert any('"name": "mqtt_connection"' in line for line in told)
    assert any("handle:" in line for line in told)


async def test_garbage_does_not_keep_it_from_the_next_good_message(aviary: Aviary) -> None:
    async with watching(aviary.port, aviary.base) as watcher:
        await aviary.start()
        await watcher.until_state("ready")
        garbage = RawTopic(MEMORY_QUERY.pattern, 1, Flow(), "")
        for payload in (b"", b"\xff\x00", b'{"id": "x", "type": "memory.query/1"}', b"[]"):
            watcher.bus.publish_raw(garbage, payload)
        watcher.bus.publish_raw(SAY, b"no number")
        assert await watcher.phrase() == "hello"
        counted = {"malformed": 4, "handler_errors": 1}
        await watcher.until(lambda: counted.items() <= watcher.health[-1].counters.items())


async def test_a_broker_may_come_late_and_come_back(tmp_path: Path) -> None:
    port = free_port()
    aviary = Aviary(port, "late", tmp_path)
    try:
        parrot = await aviary.start()
        assert parrot.stderr is not None
        async with asyncio.timeout(WAIT_S):
            line = await parrot.stderr.readuntil(b"broker.unreachable")
        assert f"127.0.0.1:{port}".encode() in line
        async with (
            embedded_broker(
                tmp_path / "broker", kind="mosquitto", port=port, anonymous=True, persistence=False
            ) as broker,
            watching(port, "late") as watcher,
        ):
            await watcher.until_state("ready")
            assert await watcher.phrase() == "hello"
            await broker.kill()
            await broker.restart()
            assert await watcher.phrase() == "hello"
            await broker.stop()
            parrot.send_signal(signal.SIGTERM)
            exit_code, errors = await end(parrot)
    finally:
        await aviary.end_all()
    assert exit_code == 0
    assert "Traceback" not in errors


async def test_two_workers_of_one_id_do_not_make_a_storm(aviary: Aviary) -> None:
    client_id = f"{aviary.base}-twin"
    options = BrokerOptions(port=aviary.port, client_id=client_id, backoff_s=(0.02, 5.0))
    connects = [0, 0]

    def count(number: int) -> Callable[[bool], None]:
        def on_state(connected: bool) -> None:
            connects[number] += connected

        return on_state

    twins = [PahoTransport(options) for _ in range(2)]
    async with (
        twins[0].open(lambda _delivery: None, count(0)),
        twins[1].open(lambda _delivery: None, count(1)),
    ):
        await asyncio.sleep(1.0)
        refused = twins[0].publish("a", b"", PublishOptions())
    assert 2 <= sum(connects) < 20
    assert refused.exception() is None or isinstance(refused.exception(), BusError)
