"""The watched loop."""

import asyncio
import threading
import time

import pytest
from antiphon_runtime import LoopMonitor
from structlog.testing import capture_logs

PING_S = 0.02

pytestmark = [pytest.mark.integration, pytest.mark.timeout(20)]


def think_hard_on_the_loop() -> None:
    time.sleep(0.08)


async def until_measured(monitor: LoopMonitor, count: int) -> None:
    for _ in range(250):
        if len(monitor._lags_s) >= count:
            return
        await asyncio.sleep(PING_S)
    raise TimeoutError


async def test_a_block_of_80_ms_is_logged_with_what_blocked() -> None:
    monitor = LoopMonitor(ping_s=PING_S)
    with capture_logs() as lines:
        async with monitor.watch():
            await until_measured(monitor, 3)
            # A busy machine may wake the watchdog too late to see one block.
            for _ in range(20):
                think_hard_on_the_loop()
                await asyncio.sleep(0.03)
                if monitor.stalls:
                    break
    blocked = [line for line in lines if line["event"] == "loop.blocked"]
    assert blocked
    assert "think_hard_on_the_loop" in blocked[0]["stack"]
    assert 50 <= blocked[0]["late_ms"] < 500
    assert monitor.lag().max_ms >= 50


async def test_an_idle_loop_is_not_reported_and_its_lag_is_measured() -> None:
    monitor = LoopMonitor(stall_s=0.5, ping_s=PING_S)
    assert monitor.lag().max_ms == 0
    with capture_logs() as lines:
        async with monitor.watch():
            await until_measured(monitor, 10)
    lag = monitor.lag()
    assert lines == []
    assert 0 < lag.p50_ms <= lag.p99_ms <= lag.max_ms


async def test_a_loop_that_waits_its_turn_is_not_said_to_be_blocked() -> None:
    monitor = LoopMonitor(stall_s=0.0, ping_s=PING_S)  # every answer is late
    async with monitor.watch():
        await until_measured(monitor, 20)
    assert monitor.stalls < len(monitor._lags_s)


async def test_the_watchdog_ends_with_the_block() -> None:
    async with LoopMonitor().watch():
        (watchdog,) = (t for t in threading.enumerate() if t.name == "loop-watchdog")
    await asyncio.to_thread(watchdog.join, 2)
    assert not watchdog.is_alive()
