"""The worker as a process on a real broker, with the real weights."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, wrap_frame
from antiphon_audio.microphone import FRAME_SAMPLES, RATE_HZ
from antiphon_contracts import (
    AUDIO_IN,
    HEALTH,
    WAKE_CONTROL,
    WAKE_EVENT,
    Health,
    Message,
    WakeControl,
    WakeEvent,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, listen
from antiphon_runtime.broker import embedded_broker
from antiphon_runtime.testing.house import Heard
from spoken_words import say

pytestmark = pytest.mark.e2e

GARBAGE = (b"", b"RIFF", bytes(3_000), b'{"id": "x"}')


def send(bus: Bus, site: str, stream: str) -> None:
    """A second of silence, the phrase, a second of silence."""
    pause = np.zeros(RATE_HZ, dtype=np.int16)
    sound = np.concatenate((pause, say("Okay nabu."), pause))
    for at in range(0, len(sound), FRAME_SAMPLES):
        pcm = Pcm(sound[at : at + FRAME_SAMPLES], RATE_HZ)
        bus.publish_raw(AUDIO_IN, wrap_frame(pcm, Place(stream, at)), site=site)


async def test_a_worker_hears_survives_garbage_and_a_lost_broker_and_ends(tmp_path: Path) -> None:
    heard, healths = Heard(), Heard()

    async def on_event(message: Message[WakeEvent]) -> None:
        heard.add((message.site_id, message.data.stream))

    async def on_health(message: Message[Health]) -> None:
        healths.add(message.data)

    async with embedded_broker(tmp_path) as broker:
        at = broker.address
        options = BrokerOptions(
            host=at.host, port=at.port, username=at.username, password=at.password, client_id="t"
        )
        bus = Bus(PahoTransport(options), source="t")
        bus.install([listen(WAKE_EVENT, on_event), listen(HEALTH, on_health)])
        variables = {
            "ANTIPHON_HOST": at.host,
            "ANTIPHON_PORT": str(at.port),
            "ANTIPHON_USERNAME": at.username,
            "ANTIPHON_PASSWORD": at.password,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "antiphon_wake"), env={**os.environ, **variables}
        )
        try:
            async with bus.open(), bus.handling(drain_s=0):
                await healths.until(
                    lambda found: any(health.state == "ready" for health in found), 30
                )
                for garbage in GARBAGE:
                    bus.publish_raw(AUDIO_IN, garbage, site="kitchen")
                for site in ("kitchen", "hall"):
                    send(bus, site, "first")
                await heard.until(2, 10)
                assert sorted(heard) == [("hall", "first"), ("kitchen", "first")]
                await broker.kill()
                known = len(healths)
                await broker.restart()
                await healths.until(lambda found: len(found) > known + 2, 20)
                bus.publish(WAKE_CONTROL, WakeControl(enabled=False), site_id="hall")
                send(bus, "kitchen", "second")
                await heard.until(3, 10)
                for site in ("hall", "kitchen"):
                    send(bus, site, "third")
                await heard.until(4, 10)
                assert heard[2:] == [("kitchen", "second"), ("kitchen", "third")]
                assert healths[-1].engine == "pymicro-wakeword"
                assert healths[-1].counters["frames_malformed"] == len(GARBAGE)
                begun = time.monotonic()
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(8):
                    assert await process.wait() == 0
                assert time.monotonic() - begun < 5
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
