"""The live stream of a satellite process on a real mosquitto, read back by a stream reader."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, StreamReader, place_of, wav
from antiphon_contracts import AUDIO_IN, SITE_STATUS, Message, SiteStatus
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, RawMessage, listen, listen_raw
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.testing.house import Heard
from numpy.typing import NDArray

pytestmark = pytest.mark.integration

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
WAIT_S = 30.0


class Listener:
    """A bus that puts the stream together, and when each frame came."""

    def __init__(self, port: int) -> None:
        self.bus = Bus(PahoTransport(BrokerOptions(port=port)), source="test")
        self.reader = StreamReader()
        self.pieces: list[NDArray[np.int16]] = []
        self.names: list[str] = []
        self.came: list[tuple[float, int]] = []
        self.frames, self.site = Heard(), Heard()
        self.bus.install(
            [
                listen_raw(AUDIO_IN.narrowed(site="hall"), self._on_frame, queue_limit=10_000),
                listen(SITE_STATUS.narrowed(site="hall"), self._on_site),
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
async def satellite(port: int, folder: Path, **settings: str) -> AsyncIterator[Process]:
    environment = {
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
