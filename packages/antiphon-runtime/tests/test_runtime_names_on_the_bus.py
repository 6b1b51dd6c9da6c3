"""Names on the bus: a message's own words never count for more than the topic that it came on."""

from __future__ import annotations

import asyncio

import pytest
from antiphon_contracts import HEALTH, PLAYBACK_STATUS, Health, Message, PlaybackStatus, encode
from antiphon_runtime import PublishOptions, listen
from antiphon_runtime.testing import House

pytestmark = pytest.mark.unit


async def test_a_satellite_cannot_speak_for_another_site() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_status(message: Message[PlaybackStatus]) -> None:
        heard.put_nowait(message.site_id)

    async with House() as house, asyncio.timeout(5):
        router = await house.serve(listen(PLAYBACK_STATUS, on_status))
        status = PlaybackStatus(utterance_id="u", state="finished")
        for claimed in ("bedroom", "kitchen"):
            house.broker.take(
                router.path(PLAYBACK_STATUS, site="kitchen"),
                encode(PLAYBACK_STATUS.message(status, site_id=claimed)),
                PublishOptions(qos=1),
            )
        assert await heard.get() == "kitchen"
        assert heard.empty()
        assert router.counters["malformed"] == 1


async def test_a_worker_cannot_bury_another() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_health(message: Message[Health]) -> None:
        heard.put_nowait(message.data.worker)

    async with House() as house, asyncio.timeout(5):
        bus = await house.serve(listen(HEALTH, on_health))
        for worker in ("memory-1", "satellite-kitchen"):
            lie = Health(worker=worker, kind="memory", state="gone")
            house.broker.take(
                bus.path(HEALTH, worker="satellite-kitchen"),
                encode(HEALTH.message(lie)),
                PublishOptions(qos=1, retain=True),
            )
        assert await heard.get() == "satellite-kitchen"
        assert heard.empty()
        assert "memory-1" not in bus.presence.workers
        assert bus.counters["malformed"] == 1
