"""A worker that is stuck, as a real process on a real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from antiphon.house import broker_settings, keep_house
from antiphon.supervisor import Part

pytestmark = pytest.mark.integration


async def test_a_stuck_worker_is_ended_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.house.STALLED_AFTER_S", 2.5)
    monkeypatch.setattr("antiphon.house.STALL_CHECK_S", 0.1)
    async with broker_settings(tmp_path / "broker", "mosquitto") as (broker, _):
        settings = broker.model_copy(update={"data_dir": tmp_path})
        parts = [Part("tools", "antiphon_tools")]
        async with keep_house(settings, parts=parts) as house:
            await house.all_ready(30)
            child = house.supervisor.children["tools-1"]
            assert child.pid is not None
            stuck = psutil.Process(child.pid)
            stuck.suspend()
            async with asyncio.timeout(20):
                while child.pid == stuck.pid:
                    await house.watch.change()
            assert "said nothing for 2.5 s" in child.trouble
            await house.all_ready(30)
            assert not stuck.is_running()
