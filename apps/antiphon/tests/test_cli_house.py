from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from antiphon.house import House, HouseWatch
from antiphon.supervisor import Part, Supervisor
from antiphon_contracts import ConfigError, Health, Message
from antiphon_runtime import Bus, RuntimeSettings
from antiphon_runtime.testing import MemoryBroker

pytestmark = pytest.mark.unit

NAMES = ("stt-1", "tts-1")


class Rooms:
    """A house whose processes are only noted, never started."""

    def __init__(self, folder: Path) -> None:
        parts = [Part(name.removesuffix("-1"), "unused") for name in NAMES]
        self.supervisor = Supervisor(parts, {}, folder)
        self.now = 100.0
        self.watch = HouseWatch(
            NAMES, lambda name: self.supervisor.children[name].pid, lambda: self.now
        )
        bus = Bus(MemoryBroker().transport(), source="cli")
        self.house = House(RuntimeSettings(), bus, self.watch, self.supervisor)

    def lives(self, name: str, pid: int | None, trouble: str = "", *, wrong: bool = False) -> None:
        child = self.supervisor.children[name]
        child.pid, child.trouble, child.misconfigured = pid, trouble, wrong
        self.watch.touch()

    async def says(self, name: str, state: str, pid: int, *notes: str) -> None:
        health = Health.model_validate(
            {"worker": name, "kind": name[:3], "state": state, "pid": pid, "notes": notes}
        )
        await self.watch.on_health(Message(health, type="health/1"))


@pytest.fixture
async def rooms(tmp_path: Path) -> Rooms:
    return Rooms(tmp_path)


async def test_only_the_process_that_runs_now_counts_as_ready(rooms: Rooms) -> None:
    rooms.lives("stt-1", 20)
    await rooms.says("stt-1", "ready", 10)  # kept by the broker from an earlier life
    assert not rooms.watch.is_ready("stt-1")
    assert rooms.house.states["stt-1"].state == "starting"
    await rooms.says("stt-1", "degraded", 20)
    assert rooms.watch.is_ready("stt-1")
    assert rooms.watch.missing == ["tts-1"]


async def test_a_dead_worker_is_gone_and_says_how_it_ended_until_it_is_ready_again(
    rooms: Rooms,
) -> None:
    assert rooms.house.states["tts-1"].state == "starting"
    rooms.lives("tts-1", 7)
    await rooms.says("tts-1", "ready", 7)
    rooms.lives("tts-1", None, "ended with signal SIGKILL")
    state = rooms.house.states["tts-1"]
    assert (state.state, state.notes) == ("gone", ("ended with signal SIGKILL",))
    rooms.lives("tts-1", 8, "ended with signal SIGKILL")
    assert rooms.house.states["tts-1"].notes == ("ended with signal SIGKILL",)
    await rooms.says("tts-1", "ready", 8)
    state = rooms.house.states["tts-1"]
    assert (state.state, state.notes) == ("ready", ())


async def test_workers_that_run_elsewhere_are_shown_as_they_say(rooms: Rooms) -> None:
    await rooms.says("llm-gpu", "degraded", 99, "no tools")
    state = rooms.house.states["llm-gpu"]
    assert (state.state, state.notes) == ("degraded", ("no tools",))


async def test_all_ready_returns_when_the_last_one_is(rooms: Rooms) -> None:
    for pid, name in enumerate(NAMES, 10):
        rooms.lives(name, pid)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        ready = group.create_task(rooms.house.all_ready(5), name="ready")
        await rooms.says("stt-1", "ready", 10)
        await asyncio.sleep(0)
        assert not ready.done()
        await rooms.says("tts-1", "ready", 11)


async def test_whoever_is_not_ready_in_time_is_named_with_reason_and_log(rooms: Rooms) -> None:
    rooms.lives("stt-1", 10)
    await rooms.says("stt-1", "starting", 10, "loading weights")
    rooms.lives("tts-1", None, "ended with exit code 1: no voice")
    with pytest.raises(ConfigError) as late:
        await rooms.house.all_ready(0.01)
    said = str(late.value)
    for part in ("stt-1 (loading weights; log: ", "tts-1 (ended with exit code 1: no voice; log: "):
        assert part in said
    assert "tts-1.log" in said


async def test_wrong_settings_are_not_waited_for(rooms: Rooms) -> None:
    async with asyncio.timeout(5):
        rooms.lives("tts-1", None, "wrong setting in [tts]: speed", wrong=True)
        with pytest.raises(ConfigError, match=r"wrong setting in \[tts\]: speed"):
            await rooms.house.all_ready(600)


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        (lambda known: known.model_copy(update={"uptime_s": 5.0}), False),
        (lambda known: known.model_copy(update={"state": "degraded"}), True),
        (lambda known: known.model_copy(update={"notes": ("a note",)}), True),
        (lambda known: known.model_copy(update={"pid": 11}), True),
    ],
)
async def test_a_heartbeat_alone_is_no_change(
    rooms: Rooms, change: Callable[[Health], Health], *, is_news: bool
) -> None:
    await rooms.says("stt-1", "ready", 10)
    await rooms.watch.change()
    await rooms.watch.on_health(Message(change(rooms.watch.health["stt-1"]), type="health/1"))
    if not is_news:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await rooms.watch.change()
    else:
        async with asyncio.timeout(5):
            await rooms.watch.change()


async def test_a_ready_worker_that_says_nothing_for_ten_seconds_is_stalled(rooms: Rooms) -> None:
    for pid, name in enumerate(NAMES, 10):
        rooms.lives(name, pid)
    await rooms.says("stt-1", "ready", 10)
    await rooms.says("tts-1", "starting", 11)  # loading may keep it from speaking
    rooms.now += 9
    assert rooms.watch.stalled == []
    rooms.now += 2
    assert rooms.watch.stalled == ["stt-1"]
    await rooms.says("stt-1", "ready", 10)
    assert rooms.watch.stalled == []


async def test_the_broker_s_absence_is_nobody_s_stall(rooms: Rooms) -> None:
    rooms.lives("stt-1", 10)
    await rooms.says("stt-1", "ready", 10)
    rooms.now += 60
    rooms.watch.on_connect()
    assert rooms.watch.stalled == []
    rooms.now += 11
    assert rooms.watch.stalled == ["stt-1"]
