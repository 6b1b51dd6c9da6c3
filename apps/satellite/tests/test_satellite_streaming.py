"""The live stream over the in-memory bus, with a microphone in the test's hands."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, StreamReader, level_dbfs, place_of, wav
from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    HEALTH,
    SITE_STATUS,
    CaptureControl,
    SiteStatus,
)
from antiphon_runtime import RuntimeSettings, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_satellite import SatelliteSettings, build
from antiphon_satellite.devices import Devices
from antiphon_satellite.engine.file_microphone import FileMicrophone
from antiphon_satellite.service import Microphone, SharedMicrophone, Sink, frames
from antiphon_satellite.testing import ManualMicrophone, ManualSpeaker
from antiphon_satellite.wiring import build_with
from numpy.typing import NDArray

pytestmark = pytest.mark.unit

RATE_HZ = 48_000


def noise(ms: float, rate_hz: int = RATE_HZ, *, seed: int = 1) -> NDArray[np.int16]:
    made = np.random.default_rng(seed).integers(-20_000, 20_000, round(ms * rate_hz / 1000))
    return made.astype(np.int16)


def tone(ms: float, rate_hz: int = RATE_HZ) -> Pcm:
    times = np.arange(round(ms * rate_hz / 1000)) / rate_hz
    return Pcm.from_float32(0.5 * np.sin(2 * np.pi * 440 * times), rate_hz)


async def turn() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


class Hall:
    """A satellite that streams, its microphone in the test's hands, and all that was heard."""

    def __init__(self, house: House, ears: dict[str, Heard]) -> None:
        self.house = house
        self.microphone = ManualMicrophone(16_000)
        self.wiring: Wiring | None = None
        self.frames, self.site = ears["frames"], ears["site"]
        self.capture, self.recordings = ears["capture"], ears["recordings"]

    def sound(self) -> NDArray[np.int16]:
        """Everything streamed, put together as a listener does."""
        reader = StreamReader()
        stretches = [reader.push(message.payload) for message in self.frames]
        return np.concatenate([s.samples for s in stretches if s is not None])

    async def hear(self, samples: NDArray[np.int16], rate_hz: int = 16_000) -> None:
        size = rate_hz // 50
        for start in range(0, len(samples), size):
            self.microphone.hear(samples[start : start + size])
        await turn()

    def status(self) -> SiteStatus:
        status: SiteStatus = self.site[-1].data
        return status

    async def mute(self, muted: bool) -> None:
        """As the worker does when it is told on `control`."""
        assert self.wiring is not None
        assert self.wiring.mute is not None
        await self.wiring.mute(muted)
        await turn()

    async def order(self, action: Any) -> None:
        self.house.say(CAPTURE_CONTROL, CaptureControl(action=action, utterance_id="r"))
        await turn()


@asynccontextmanager
async def hall(
    tmp_path: Path, microphone: Microphone | None = None, **settings: Any
) -> AsyncIterator[Hall]:
    async with asyncio.timeout(20), House() as house:
        here = Hall(
            house,
            {
                "frames": await house.hear_raw(AUDIO_IN),
                "site": await house.hear(SITE_STATUS),
                "capture": await house.hear(CAPTURE_STATUS),
                "recordings": await house.hear_raw(AUDIO_UTTERANCE),
            },
        )
        devices = Devices(ManualSpeaker(), microphone or here.microphone, stream=True)

        def build_hall(worker: Worker[SatelliteSettings]) -> Wiring:
            here.wiring = build_with(worker, devices)
            return here.wiring

        await house.move_in(
            "satellite",
            SatelliteSettings(reopen_s=0.01, **settings),
            build_hall,
            runtime=RuntimeSettings(data_dir=tmp_path),
        )
        await turn()
        yield here


async def test_the_stream_is_the_sound_in_frames_of_80_ms(tmp_path: Path) -> None:
    spoken = noise(1_600, 16_000)
    async with hall(tmp_path) as here:
        await here.hear(spoken)
        assert np.array_equal(here.sound(), spoken)
        places = [place_of(message.payload) for message in here.frames]
        names = {place.stream for place in places if place}
        assert names == {here.status().stream}
        assert [place.offset for place in places if place] == [1_280 * n for n in range(20)]
        assert here.status().streaming


async def test_another_rate_is_resampled_without_a_seam(tmp_path: Path) -> None:
    microphone = ManualMicrophone(48_000)
    async with hall(tmp_path, microphone) as here:
        here.microphone = microphone
        await here.hear(tone(2_000).samples, 48_000)
        heard = Pcm(here.sound(), 16_000)
        assert 1_800 < heard.duration_ms <= 2_000
        # A seam would be a jump.
        assert np.abs(np.diff(heard.samples.astype(int))).max() < 16_384 * 0.2
        assert abs(level_dbfs(heard) - level_dbfs(tone(2_000))) < 0.2


async def test_frames_may_come_from_the_device_thread(tmp_path: Path) -> None:
    spoken = noise(400, 16_000)
    async with hall(tmp_path) as here:
        await asyncio.to_thread(here.microphone.hear, spoken)
        await here.frames.until(5)
        assert np.array_equal(here.sound(), spoken)


async def test_muted_the_microphone_is_closed_and_nothing_is_sent(tmp_path: Path) -> None:
    async with hall(tmp_path) as here:
        await here.hear(noise(160, 16_000))
        before = here.status().stream
        await here.mute(True)
        listening = [here.microphone.listening]
        assert (here.status().streaming, here.status().muted) == (False, True)
        sent = len(here.frames)
        await here.hear(noise(160, 16_000))
        await here.mute(False)
        listening.append(here.microphone.listening)
        assert listening == [False, True]
        assert (here.status().streaming, here.status().muted) == (True, False)
        assert here.status().stream != before
        await here.hear(noise(160, 16_000))
        assert len(here.frames) == sent + 2
        assert place_of(here.frames[sent].payload) == Place(here.status().stream, 0)


async def test_a_lost_microphone_is_opened_again_under_another_name(tmp_path: Path) -> None:
    async with hall(tmp_path) as here:
        health = await here.house.hear(HEALTH)
        await here.hear(noise(160, 16_000))
        before = here.status().stream
        here.microphone.unplug()
        await here.site.until(lambda heard: not heard[-1].data.streaming)
        await here.site.until(lambda heard: heard[-1].data.streaming)
        assert here.status().stream != before
        await here.hear(noise(160, 16_000))
        assert place_of(here.frames[-2].payload) == Place(here.status().stream, 0)
        await health.until(lambda heard: bool(heard) and not heard[-1].data.notes)


async def test_a_microphone_that_is_not_there_is_tried_until_it_is(tmp_path: Path) -> None:
    microphone = ManualMicrophone(16_000)
    microphone.broken = True
    async with hall(tmp_path, microphone) as here:
        health = await here.house.hear(HEALTH)
        await health.until(lambda heard: bool(heard) and bool(heard[-1].data.notes))
        assert not here.status().streaming
        microphone.broken = False
        await here.site.until(lambda heard: heard[-1].data.streaming)


async def test_push_to_talk_taps_the_stream(tmp_path: Path) -> None:
    spoken = noise(960, 16_000)
    async with hall(tmp_path) as here:
        await here.hear(spoken[:5_120])
        await here.order("start")
        await here.hear(spoken[5_120:10_240])
        await here.order("stop")
        await here.recordings.until(1)
        await here.hear(spoken[10_240:])
        recorded = wav.unwrap(here.recordings[0].payload).samples
        assert np.array_equal(recorded, spoken[5_120:10_240])
        assert np.array_equal(here.sound(), spoken)


async def test_what_the_broker_missed_is_not_sent_late_but_keeps_its_place(
    tmp_path: Path,
) -> None:
    spoken = noise(4_000, 16_000)
    async with hall(tmp_path) as here:
        await here.hear(spoken[:16_000])
        here.house.broker.go_offline()
        await here.hear(spoken[16_000:48_000])
        here.house.broker.go_online()
        await here.site.until(2)
        await here.hear(spoken[48_000:])
        heard = here.sound()
        assert len(heard) == len(spoken) - len(spoken) % 1_280
        assert np.array_equal(heard[:15_360], spoken[:15_360])
        assert not heard[16_640:39_000].any()
        assert np.array_equal(heard[48_640:], spoken[48_640 : len(heard)])


async def test_a_short_absence_of_the_broker_loses_nothing(tmp_path: Path) -> None:
    spoken = noise(1_600, 16_000)
    async with hall(tmp_path) as here:
        await here.hear(spoken[:12_800])
        here.house.broker.go_offline()
        await here.hear(spoken[12_800:17_920])
        here.house.broker.go_online()
        await here.site.until(2)
        await here.hear(spoken[17_920:])
        assert np.array_equal(here.sound(), spoken)


async def test_the_status_is_told_again_at_every_connect_and_at_the_end(tmp_path: Path) -> None:
    async with House() as house:
        devices = Devices(ManualSpeaker(), ManualMicrophone(16_000), stream=True)
        site = await house.hear(SITE_STATUS)
        runtime = RuntimeSettings(data_dir=tmp_path)
        async with house.resident(
            "satellite",
            SatelliteSettings(),
            lambda worker: build_with(worker, devices),
            runtime=runtime,
        ):
            await site.until(lambda heard: bool(heard) and heard[-1].data.streaming)
            house.broker.go_offline()
            told = len(site)
            house.broker.go_online()
            await site.until(told + 1)
            assert site[-1].data.streaming
        await site.until(lambda heard: not heard[-1].data.streaming)
        assert site[-1].data.stream == ""


async def test_a_loop_that_was_away_too_long_begins_a_new_stream() -> None:
    opened: list[str] = []
    got: list[bytes] = []
    made = frames.Frames(lambda: opened.append(made.stream), got.append)
    made.attach(16_000)
    before = made.stream

    def hear() -> None:
        for _ in range(200):
            made.push(np.ones(320, dtype=np.int16))

    # A thread that is joined without a turn of the loop: the loop is blocked meanwhile.
    await asyncio.wrap_future(asyncio.get_running_loop().run_in_executor(None, hear))
    await turn()
    assert len(got) * 1_280 <= 16_000 * 2.1
    assert opened == [before, made.stream] or len(got) == 50
    made.push(np.ones(1_280, dtype=np.int16))
    place = place_of(got[-1])
    assert place is not None
    assert place.stream == made.stream


class Ear:
    """A sink."""

    def __init__(self) -> None:
        self.rates: list[int] = []
        self.heard = 0

    def attach(self, rate_hz: int) -> None:
        self.rates.append(rate_hz)

    def push(self, samples: NDArray[np.int16]) -> None:
        self.heard += len(samples)


class CountedMicrophone(ManualMicrophone):
    """Counts how often it was opened."""

    opened = 0

    async def record(self, sink: Sink) -> None:
        self.opened += 1
        await super().record(sink)


async def test_one_device_serves_all_and_is_closed_after_the_last() -> None:
    device = CountedMicrophone(16_000)
    shared = SharedMicrophone(device)
    first, second = Ear(), Ear()
    async with asyncio.timeout(5), shared.open(), asyncio.TaskGroup() as group:
        one = group.create_task(shared.record(first), name="first")
        await turn()
        device.hear(noise(20, 16_000))
        two = group.create_task(shared.record(second), name="second")
        await turn()
        device.hear(noise(20, 16_000))
        one.cancel()
        await turn()
        device.hear(noise(20, 16_000))
        assert (first.rates, second.rates) == ([16_000], [16_000])
        assert (first.heard, second.heard, device.opened) == (640, 640, 1)
        two.cancel()
        await turn()
        assert not device.listening


# The file microphone


async def listen(microphone: Microphone, ms: float) -> NDArray[np.int16]:
    """Record so much."""
    heard: list[NDArray[np.int16]] = []
    enough = asyncio.Event()

    class Cup:
        def attach(self, rate_hz: int) -> None:
            assert rate_hz == 16_000

        def push(self, samples: NDArray[np.int16]) -> None:
            heard.append(samples)
            if sum(map(len, heard)) >= ms * 16:
                enough.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(microphone.record(Cup()), name="record")
        await enough.wait()
        task.cancel()
    return np.concatenate(heard)[: round(ms * 16)]


async def test_a_recording_may_begin_again(tmp_path: Path) -> None:
    spoken = noise(300, 16_000)
    wav.write(tmp_path / "in.wav", Pcm(spoken, 16_000))
    heard = await listen(FileMicrophone(tmp_path / "in.wav", pace=100, repeat=True), 900)
    assert np.array_equal(heard, np.tile(spoken, 3))
    once = await listen(FileMicrophone(tmp_path / "in.wav", pace=100), 900)
    assert np.array_equal(once[:4_800], spoken)
    assert not once[4_800:].any()


async def test_a_pipe_is_heard_when_something_is_said(tmp_path: Path) -> None:
    pipe = tmp_path / "ear"
    os.mkfifo(pipe)
    microphone = FileMicrophone(pipe, pace=100)
    spoken = noise(500, 16_000)

    async def say() -> None:
        await turn()
        # Two writers, one after the other, the first with half a sample too much.
        first = spoken.tobytes()
        for piece in (first[:5_001], first[5_001:]):
            with pipe.open("wb", buffering=0) as writer:
                writer.write(piece)

    async with asyncio.TaskGroup() as group:
        group.create_task(say(), name="say")
        heard = await listen(microphone, 3_000)
    begin = int(np.argmax(heard != 0))
    kept = heard[begin:]
    assert not heard[:begin].any()
    # Between the writers there may be silence, but nothing is lost or broken.
    assert np.array_equal(kept[kept != 0], spoken[spoken != 0])


@pytest.mark.parametrize(
    ("settings", "streams"),
    [
        ({}, True),
        ({"stream": False}, False),
        ({"microphone": "null"}, False),
        ({"microphone": "null", "stream": True}, True),
        ({"pace": 0}, False),
    ],
)
async def test_which_microphones_stream(
    tmp_path: Path, settings: dict[str, Any], streams: bool
) -> None:
    wav.write(tmp_path / "in.wav", tone(200))
    chosen = {"microphone": "file", "in_file": tmp_path / "in.wav", "pace": 20, **settings}
    async with asyncio.timeout(10), House() as house:
        site = await house.hear(SITE_STATUS)
        heard = await house.hear_raw(AUDIO_IN)
        await house.move_in(
            "satellite",
            SatelliteSettings(speaker="null", **chosen),
            build,
            runtime=RuntimeSettings(data_dir=tmp_path),
        )
        if streams:
            await heard.until(4)
            assert site[-1].data.streaming
        else:
            await site.until(1)
            await turn()
            assert not site[-1].data.streaming
            assert heard == []
