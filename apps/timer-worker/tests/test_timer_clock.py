"""The machine's own clocks."""

import asyncio
import time
from pathlib import Path

import pytest
from antiphon_timer import SystemClock, clock

pytestmark = pytest.mark.unit


async def test_an_event_ends_the_waiting() -> None:
    event = asyncio.Event()
    event.set()
    async with asyncio.timeout(5):
        await SystemClock().wait(event, 1_000)
        await SystemClock().wait(event, None)


async def test_a_time_that_is_over_ends_the_waiting() -> None:
    own = SystemClock()
    begun = own.boot()
    async with asyncio.timeout(5):
        await own.wait(asyncio.Event(), 0.02)
    assert own.boot() - begun >= 0.02


@pytest.mark.parametrize("by_s", [-3_600.0, 3_600.0])
async def test_a_wall_clock_that_is_set_ends_the_waiting(
    monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    monkeypatch.setattr(clock, "LOOK_S", 0.01)
    own, ahead = SystemClock(), [0.0]
    monkeypatch.setattr(own, "wall", lambda: time.time() + ahead[0])
    asyncio.get_running_loop().call_soon(ahead.__setitem__, 0, by_s)
    async with asyncio.timeout(5):
        await own.wait(asyncio.Event(), 1_000, by_wall=True)


def test_a_boot_has_one_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if clock.BOOT_ID.exists():
        assert SystemClock().boot_id == SystemClock().boot_id != ""
    monkeypatch.setattr(clock, "BOOT_ID", tmp_path / "not there")
    assert SystemClock().boot_id != SystemClock().boot_id
