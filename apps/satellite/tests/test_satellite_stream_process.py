"""The live stream of a satellite process on a real mosquitto, read back by a stream reader."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, StreamReader, place_of, wav
from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_OUT,
    HEALTH,
    PLAYBACK_STATUS,
    SITE_STATUS,
    Health,
    Message,
    PlaybackStatus,
    SiteStatus,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, RawMessage, listen, listen_raw
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.testing.house import Heard
from numpy.typing import NDArray

pytestmark = pytest.mark.integration

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
WAIT_S = 30.0
ANSWER_MS = 3_000


class Listener:
    """A bus that puts the stream together, and when each frame came."""

    def __init__(self, port: int) -> None:
        self.bus = Bus(PahoTransport(BrokerOptions(port=port)), source="test")
        self.reader = StreamReader()
        self.pieces: list[NDArray[np.int16]] = []
        self.names: list[str] = []
        self.came: list[tuple[float, int]] = []
        self.frames, self.site = Heard(), Heard()
        self.health, self.playback = Heard(), Heard()
        self.bus.install(
            [
                listen_raw(AUDIO_IN.narrowed(site="hall"), self._on_frame, queue_limit=10_000),
                listen(SITE_STATUS.narrowed(site="hall"), self._on_site),
                listen(HEALTH, self._on_health),
                listen(PLAYBACK_STATUS, self._on_playback),
            ]
        )

    async def _on_frame(self, message: RawMessage) -> None:
        stretch = self.reader.push(message.payload)
        place = place_of(message.payload)
        assert place is not None
        if stretch is not None:
            self.pieces.append(stretch.samples)
        if place.stream not in self.names:
            self.names.append(place.stream)
        self.came.append((asyncio.get_running_loop().time(), place.offset))
        self.frames.add(place)

    async def _on_site(self, message: Message[SiteStatus]) -> None:
        self.site.add(message.data)

    async def _on_health(self, message: Message[Health]) -> None:
        self.health.add(message.data)

    async def _on_playback(self, message: Message[PlaybackStatus]) -> None:
        self.playback.add(message.data)

    def send_answer(self, name: str) -> None:
        """Have three seconds of sound played."""
        answer = Pcm(np.full(22_050 * ANSWER_MS // 1000, 5_000, dtype=np.int16), 22_050)
        for payload in (wav.wrap(answer), b""):
            self.bus.publish_raw(AUDIO_OUT, payload, site="hall", utterance=name)

    @property
    def sound(self) -> NDArray[np.int16]:
        return np.concatenate(self.pieces)


@asynccontextmanager
async def mosquitto(port: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        MOSQUITTO, "-p", str(port), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def satellite(
    port: int, folder: Path, variables: Mapping[str, str] | None = None, /, **settings: str
) -> AsyncIterator[Process]:
    environment = {
        **(variables or {}),
        "ANTIPHON_PORT": str(port),
        "ANTIPHON_DATA_DIR": str(folder),
        "ANTIPHON_SATELLITE_SITE": "hall",
        "ANTIPHON_SATELLITE_SPEAKER": "null",
        "ANTIPHON_SATELLITE_MICROPHONE": "file",
        **{f"ANTIPHON_SATELLITE_{name.upper()}": value for name, value in settings.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "antiphon_satellite", env=environment, stderr=DEVNULL, stdout=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def noise(seconds: float) -> NDArray[np.int16]:
    made = np.random.default_rng(7).integers(-20_000, 20_000, round(seconds * 16_000))
    return made.astype(np.int16)


async def test_a_minute_at_four_times_the_speed_has_no_gap(tmp_path: Path) -> None:
    spoken = noise(60)
    wav.write(tmp_path / "in.wav", Pcm(spoken, 16_000))
    port = free_port()
    async with asyncio.timeout(60), mosquitto(port):
        listener = Listener(port)
        async with listener.bus.open(), listener.bus.handling(drain_s=0):
            await listener.bus.wait_connected(WAIT_S)
            settings = {"in_file": str(tmp_path / "in.wav"), "pace": "4"}
            async with satellite(port, tmp_path, **settings):
                await listener.frames.until(1, WAIT_S)
                begun_s = asyncio.get_running_loop().time()
                await listener.frames.until(750, WAIT_S)
                took_s = asyncio.get_running_loop().time() - begun_s
        assert (listener.reader.lost, listener.reader.passed_over) == (0, 0)
        assert len(listener.names) == 1
        assert np.array_equal(listener.sound[: len(spoken)], spoken)
        assert 13 < took_s < 20


async def test_a_broker_that_dies_and_comes_back_gets_the_stream_of_now(tmp_path: Path) -> None:
    pipe = tmp_path / "ear"
    os.mkfifo(pipe)
    port = free_port()
    listener = Listener(port)
    async with (
        asyncio.timeout(60),
        listener.bus.open(),
        listener.bus.handling(drain_s=0),
        satellite(port, tmp_path, in_file=str(pipe)),
    ):
        async with mosquitto(port):
            await listener.frames.until(10, WAIT_S)
        # Longer than a frame may wait.
        await asyncio.sleep(1.5)
        count = len(listener.frames)
        async with mosquitto(port):
            await listener.frames.until(count + 20, WAIT_S)
            before_s, before = listener.came[count - 1]
            first_s, first = listener.came[count]
            last_s, last = listener.came[-1]
            passed_s, heard_s = first_s - before_s, (first - before) / 16_000
            # What comes first is at most half a second old, and the clock was kept.
            assert passed_s > 1.0
            assert passed_s - 0.7 < heard_s < passed_s + 0.3
            assert abs((last_s - before_s) - (last - before) / 16_000) < 0.3
            assert len(listener.names) == 1
            assert listener.site[-1].streaming


async def test_the_end_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "ear"
    os.mkfifo(pipe)
    port = free_port()
    async with asyncio.timeout(60), mosquitto(port):
        listener = Listener(port)
        async with (
            listener.bus.open(),
            listener.bus.handling(drain_s=0),
            satellite(port, tmp_path, in_file=str(pipe)) as process,
        ):
            await listener.site.until(lambda heard: bool(heard) and heard[-1].streaming, WAIT_S)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            await listener.site.until(lambda heard: not heard[-1].streaming, WAIT_S)


class Plug:
    """Plugs the devices of `pluggable_sound` in, and pulls them out."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "plugged"
        self._times = 0
        shim = "import sys, pluggable_sound\nsys.modules[__name__] = pluggable_sound\n"
        (folder / "sounddevice.py").write_text(shim)
        self.variables = {
            "PYTHONPATH": f"{folder}:{Path(__file__).parent}",
            "PLUGGED": str(self._file),
        }

    def put_in(self) -> None:
        self._times += 1
        draft = self._file.with_name("draft")
        draft.write_text(str(self._times))
        draft.replace(self._file)

    def pull_out(self) -> None:
        self._file.unlink()


async def test_devices_that_are_unplugged_and_back_go_on(tmp_path: Path) -> None:
    plug = Plug(tmp_path)
    plug.put_in()
    port = free_port()
    devices = {"microphone": "sounddevice", "speaker": "sounddevice", "reopen_s": "0.2"}
    async with asyncio.timeout(90), mosquitto(port):
        listener = Listener(port)
        async with (
            listener.bus.open(),
            listener.bus.handling(drain_s=0),
            satellite(port, tmp_path, plug.variables, **devices),
        ):
            await listener.frames.until(5, WAIT_S)
            listener.send_answer("before")
            await listener.playback.until(1, WAIT_S)
            await asyncio.sleep(0.5)
            plug.pull_out()
            await listener.site.until(lambda said: not said[-1].streaming, WAIT_S)
            await listener.health.until(lambda said: bool(said[-1].notes), WAIT_S)
            assert listener.health[-1].state == "degraded"
            frames = len(listener.frames)
            await asyncio.sleep(0.3)
            assert len(listener.frames) == frames
            plug.put_in()
            await listener.site.until(lambda said: said[-1].streaming, WAIT_S)
            await listener.frames.until(frames + 10, WAIT_S)
            await listener.health.until(lambda said: said[-1].state == "ready", WAIT_S)
            assert listener.health[-1].notes == ()
            listener.send_answer("after")
            await listener.playback.until(4, WAIT_S)
    assert len(listener.names) == 2
    told = [(status.utterance_id, status.state) for status in listener.playback]
    assert told == [
        ("before", "started"),
        ("before", "failed"),
        ("after", "started"),
        ("after", "finished"),
    ]
    _, cut, _, whole = listener.playback
    assert 200 < cut.played_ms < 1_500
    assert "lost" in cut.detail
    assert whole.played_ms == pytest.approx(ANSWER_MS, abs=60)
    assert all(np.abs(piece).mean() > 5_000 for piece in listener.pieces[5:])
