"""The satellite as a process on a real mosquitto, with file devices."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, level_dbfs, split, wav
from antiphon_contracts import (
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    CONTROL,
    HEALTH,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    CaptureControl,
    Control,
    Message,
    Payload,
    PlaybackControl,
    Topic,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, RawMessage, listen, listen_raw
from antiphon_runtime.broker import BrokerAddress, embedded_broker
from antiphon_runtime.testing.house import Heard

pytestmark = pytest.mark.integration

RATE_HZ = 22_050
WAIT_S = 20.0


def tone(ms: float) -> Pcm:
    times = np.arange(round(ms * RATE_HZ / 1000)) / RATE_HZ
    return Pcm.from_float32(0.5 * np.sin(2 * np.pi * 440 * times), RATE_HZ)


class Visitor:
    """A bus that talks to the satellite, and all it heard."""

    def __init__(self, address: BrokerAddress) -> None:
        options = BrokerOptions(
            host=address.host,
            port=address.port,
            username=address.username or "",
            password=address.password or "",
        )
        self.bus = Bus(PahoTransport(options), source="test")
        self.playback, self.capture = Heard(), Heard()
        self.health, self.recordings = Heard(), Heard()
        self.bus.install(
            [
                self._into(self.playback, PLAYBACK_STATUS),
                self._into(self.capture, CAPTURE_STATUS),
                self._into(self.health, HEALTH),
                listen_raw(AUDIO_UTTERANCE, self._on_recording),
            ]
        )

    def _into(self, heard: Heard, topic: Topic[Any]) -> Any:
        async def on_message(message: Message[Payload]) -> None:
            heard.add(message.data)

        return listen(topic, on_message)

    async def _on_recording(self, message: RawMessage) -> None:
        self.recordings.add(message)

    async def utter(self, utterance: str, pcm: Pcm) -> None:
        for frame in split(pcm):
            await self._send(utterance, wav.wrap(frame))
        await self._send(utterance, b"")

    async def _send(self, utterance: str, payload: bytes) -> None:
        await self.bus.publish_raw(AUDIO_OUT, payload, site="hall", utterance=utterance)

    async def raw(self, payload: bytes) -> None:
        await self._send("garbage", payload)
        await self.bus.publish_raw(PLAYBACK_CONTROL.narrowed(site="hall"), payload)
        await self.bus.publish_raw(CAPTURE_CONTROL.narrowed(site="hall"), payload)


@asynccontextmanager
async def satellite(tmp_path: Path, **settings: str) -> AsyncIterator[tuple[Visitor, Process]]:
    """A ready satellite for the hall, and who visits it."""
    async with (
        asyncio.timeout(60),
        embedded_broker(tmp_path / "broker", kind="mosquitto") as broker,
    ):
        address = broker.address
        visitor = Visitor(address)
        environment = {
            "ANTIPHON_HOST": address.host,
            "ANTIPHON_PORT": str(address.port),
            "ANTIPHON_USERNAME": address.username or "",
            "ANTIPHON_PASSWORD": address.password or "",
            "ANTIPHON_DATA_DIR": str(tmp_path),
            "ANTIPHON_SATELLITE_SITE": "hall",
            **{f"ANTIPHON_SATELLITE_{name.upper()}": value for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "antiphon_satellite"]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=PIPE)
        try:
            async with visitor.bus.open(), visitor.bus.handling(drain_s=0):
                await visitor.health.until(
                    lambda heard: any(h.state in {"ready", "degraded"} for h in heard), WAIT_S
                )
                yield visitor, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_a_tone_of_two_seconds_becomes_a_file_of_two_seconds(tmp_path: Path) -> None:
    spoken = tone(2_000)
    async with satellite(tmp_path, speaker="file", microphone="null") as (visitor, _):
        await visitor.utter("u", spoken)
        await visitor.playback.until(2, WAIT_S)
        assert [status.state for status in visitor.playback] == ["started", "finished"]
        assert abs(visitor.playback[-1].played_ms - 2_000) <= 1
    played = wav.read(tmp_path / "spoken" / "u.wav")
    assert abs(played.duration_ms - 2_000) <= 80
    assert abs(level_dbfs(played) - level_dbfs(spoken)) < 0.1


async def test_a_stop_is_obeyed_in_the_middle(tmp_path: Path) -> None:
    async with satellite(tmp_path, speaker="file", microphone="null") as (visitor, _):
        await visitor.utter("u", tone(10_000))
        await visitor.playback.until(1, WAIT_S)
        order = PlaybackControl(action="stop", utterance_id="u")
        await visitor.bus.publish(PLAYBACK_CONTROL, order, site_id="hall")
        await visitor.playback.until(2, WAIT_S)
        assert visitor.playback[-1].state == "stopped"
        assert visitor.playback[-1].played_ms < 2_000


async def test_a_recording_arrives_as_an_utterance(tmp_path: Path) -> None:
    spoken = tone(1_500)
    wav.write(tmp_path / "in.wav", spoken)
    settings = {"microphone": "file", "in_file": str(tmp_path / "in.wav"), "stream": "false"}
    async with satellite(tmp_path, speaker="null", **settings) as (visitor, _):
        start = CaptureControl(action="start", utterance_id="r", max_s=1.5)
        await visitor.bus.publish(CAPTURE_CONTROL, start, site_id="hall")
        await visitor.recordings.until(1, WAIT_S)
        await visitor.capture.until(2, WAIT_S)
        assert [status.state for status in visitor.capture] == ["started", "sent"]
        recording = visitor.recordings[0]
        assert recording.slots == {"site": "hall", "utterance": "r"}
        heard = wav.unwrap(recording.payload)
        assert (heard.rate_hz, len(heard)) == (16_000, 24_000)
        assert abs(level_dbfs(heard) - level_dbfs(spoken)) < 0.2


async def test_a_muted_house_records_nothing_and_still_plays(tmp_path: Path) -> None:
    wav.write(tmp_path / "in.wav", tone(500))
    settings = {"microphone": "file", "in_file": str(tmp_path / "in.wav"), "speaker": "file"}

    async def record(visitor: Visitor, utterance_id: str) -> list[str]:
        start = CaptureControl(action="start", utterance_id=utterance_id, max_s=0.4)
        await visitor.bus.publish(CAPTURE_CONTROL, start, site_id="hall")
        heard = await visitor.capture.until(
            lambda heard: any(_is_last(status, utterance_id) for status in heard), WAIT_S
        )
        return [status.state for status in heard if status.utterance_id == utterance_id]

    async with satellite(tmp_path, **settings) as (visitor, _):
        # Control goes before work: these frames fill the queue of another lane.
        for number in range(3_000):
            visitor.bus.publish_raw(
                AUDIO_OUT, wav.wrap(tone(80)), site="hall", utterance=f"flood{number % 9}"
            )
        await visitor.bus.publish(CONTROL, Control(action="mute"), worker="all")
        await visitor.health.until(lambda heard: heard[-1].muted, WAIT_S)
        assert visitor.health[-1].state == "ready"
        assert await record(visitor, "r1") == ["failed"]
        assert "muted" in visitor.capture[-1].detail
    async with satellite(tmp_path, **settings) as (visitor, _):
        await visitor.health.until(lambda heard: heard[-1].muted, WAIT_S)
        assert await record(visitor, "r2") == ["failed"]
        await visitor.utter("u", tone(300))
        await visitor.playback.until(lambda heard: any(map(_is_u, heard)), WAIT_S)
        await visitor.bus.publish(CONTROL, Control(action="unmute"), worker="satellite-1")
        await visitor.health.until(lambda heard: not heard[-1].muted, WAIT_S)
        assert await record(visitor, "r3") == ["started", "sent"]
        await visitor.recordings.until(1, WAIT_S)
        assert [recording.slots["utterance"] for recording in visitor.recordings] == ["r3"]


def _is_last(status: Any, utterance_id: str) -> bool:
    return bool(status.utterance_id == utterance_id and status.state != "started")


async def test_garbage_is_survived_and_the_end_is_orderly(tmp_path: Path) -> None:
    async with satellite(tmp_path, speaker="file", microphone="null") as (visitor, process):
        for garbage in (b"", b"\xff\xfe", b"not json", b'{"id": "x"}', b"[]", b"x" * 1_000_000):
            await visitor.raw(garbage)
        await visitor.utter("u", tone(200))
        await visitor.playback.until(lambda heard: heard[-1:] != [] and _is_u(heard[-1]), WAIT_S)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await process.wait() == 0
        await visitor.health.until(lambda heard: heard[-1].state == "gone", WAIT_S)


def _is_u(status: Any) -> bool:
    return bool(status.utterance_id == "u" and status.state == "finished")
