"""Sound devices, on a fake sounddevice whose callbacks the test calls from a thread."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from antiphon_contracts import EngineError, SiteStatus
from antiphon_satellite import SatelliteSettings
from antiphon_satellite.devices import Devices, choose_devices
from antiphon_satellite.engine import sound
from antiphon_satellite.service import SharedMicrophone, Streaming
from antiphon_satellite.service.playout import Playout
from numpy.typing import NDArray

pytestmark = pytest.mark.unit


class PortAudioError(Exception):
    """As sounddevice's."""


class FakeStream:
    """A stream that calls back when the test says so."""

    def __init__(self, fake: "FakeSounddevice", options: dict[str, Any]) -> None:
        if fake.broken:
            raise PortAudioError("Error opening Stream: Device unavailable [PaErrorCode -9985]")
        self.options = options
        self.active = False
        self.latency = 0.06
        fake.streams.append(self)

    def __enter__(self) -> Self:
        self.active = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.active = False

    def call(
        self,
        data: NDArray[np.int16],
        *,
        dac_s: float = 0.0,
        adc_s: float = 0.0,
        underflow: bool = False,
    ) -> NDArray[np.int16]:
        times = SimpleNamespace(
            outputBufferDacTime=50.0 + dac_s, inputBufferAdcTime=adc_s, currentTime=50.0
        )
        flags = SimpleNamespace(output_underflow=underflow, input_overflow=underflow)
        self.options["callback"](data, len(data), times, flags)
        return data


class FakeSounddevice:
    """The module."""

    def __init__(self) -> None:
        self.PortAudioError = PortAudioError
        self.streams: list[FakeStream] = []
        self.rescans = 0
        self.broken = False
        self.asked: list[tuple[int | str | None, str]] = []

    def query_devices(self, device: int | str | None, kind: str) -> dict[str, Any]:
        self.asked.append((device, kind))
        if device == "nobody":
            raise ValueError("No output device matching 'nobody'")
        return {"default_samplerate": 44_100.0}

    def OutputStream(self, **options: Any) -> FakeStream:  # noqa: N802  (sounddevice's name)
        return FakeStream(self, options)

    InputStream = OutputStream

    def _terminate(self) -> None:
        self.rescans += 1

    def _initialize(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    made = FakeSounddevice()
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    monkeypatch.setattr(sound, "LOOK_S", 0.005)
    return made


@pytest.fixture
def counters() -> Counter[str]:
    return Counter()


def devices(counters: Counter[str], **settings: Any) -> Devices:
    return choose_devices(SatelliteSettings(**settings), Path("nowhere"), counters)


@pytest.fixture
def playout() -> Playout:
    made = Playout(lambda: None, lambda: None)
    made.load("u")
    made.push(np.arange(1, 1_001, dtype=np.int16))
    made.flow()
    return made


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        for _ in iter(done, True):
            await asyncio.sleep(0)


class Task:
    """A device's life in the background of a test."""

    def __init__(self, life: Any) -> None:
        self._life = life

    async def __aenter__(self) -> "asyncio.Task[None]":
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self.task: asyncio.Task[None] = self._group.create_task(self._life, name="device")
        return self.task

    async def __aexit__(self, *exc: object) -> None:
        self.task.cancel()
        await self._group.__aexit__(None, None, None)


def empty(frames: int) -> NDArray[np.int16]:
    return np.full((frames, 1), -1, dtype=np.int16)


async def test_the_callback_plays_what_there_is_and_fills_up_with_silence(
    fake: FakeSounddevice, counters: Counter[str], playout: Playout
) -> None:
    speaker = devices(counters).speaker
    async with Task(speaker.play(playout)):
        await until(lambda: bool(playout.rate_hz))
        stream = fake.streams[0]
        assert playout.rate_hz == 44_100
        assert stream.options["blocksize"] == 882
        first = await asyncio.to_thread(stream.call, empty(882), dac_s=0.03)
        assert first[:, 0].tolist() == list(range(1, 883))
        assert playout.heard_ms == 0
        assert playout.taken_ms == 20
        playout.close()
        rest = await asyncio.to_thread(stream.call, empty(882), underflow=True)
        assert rest[:118, 0].tolist() == list(range(883, 1_001))
        assert not rest[118:].any()
        assert playout.settled
        assert counters["speaker_underflows"] == 1
    assert not stream.active


async def test_a_device_that_states_no_times_is_given_its_latency(
    fake: FakeSounddevice, counters: Counter[str], playout: Playout
) -> None:
    async with Task(devices(counters, latency_s=0.5).speaker.play(playout)):
        await until(lambda: bool(playout.rate_hz))
        await asyncio.to_thread(fake.streams[0].call, empty(441))
        assert 0.3 < playout.unheard_s <= 0.51


async def test_a_device_that_ends_is_lost_and_the_list_is_read_again(
    fake: FakeSounddevice, counters: Counter[str], playout: Playout
) -> None:
    speaker = devices(counters).speaker

    async def lose() -> None:
        await until(lambda: bool(playout.rate_hz))
        fake.streams[-1].active = False

    for rescans in (0, 1):
        async with asyncio.TaskGroup() as group:
            group.create_task(lose(), name="lose")
            with pytest.raises(EngineError, match="lost") as caught:
                await speaker.play(playout)
        assert caught.value.retryable
        assert fake.rescans == rescans
        playout.detach()


async def test_a_device_that_falls_silent_is_lost(
    fake: FakeSounddevice,
    counters: Counter[str],
    playout: Playout,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sound, "SILENT_S", 0.02)
    async with asyncio.timeout(5):
        with pytest.raises(EngineError, match="lost"):
            await devices(counters).speaker.play(playout)
    assert not fake.streams[0].active


async def test_foreign_errors_become_ours(
    fake: FakeSounddevice, counters: Counter[str], playout: Playout
) -> None:
    chosen = devices(counters, speaker="sounddevice", microphone="sounddevice")
    fake.broken = True
    with pytest.raises(EngineError, match="Device unavailable"):
        await chosen.speaker.play(playout)
    named = devices(counters, speaker="sounddevice", speaker_device="nobody")
    with pytest.raises(EngineError, match="nobody"):
        await named.speaker.play(playout)


@pytest.mark.parametrize(("named", "asked"), [("", None), ("3", 3), ("USB", "USB")])
def test_a_device_is_known_by_name_or_number(
    fake: FakeSounddevice, counters: Counter[str], named: str, asked: int | str | None
) -> None:
    chosen = devices(counters, speaker_device=named, microphone_device=named)
    assert fake.asked == [(asked, "output"), (asked, "input")]
    assert chosen.missing == ()


def test_auto_does_without_a_device_that_is_not_there(
    fake: FakeSounddevice, counters: Counter[str]
) -> None:
    chosen = devices(counters, speaker_device="nobody", microphone_device="nobody")
    assert (chosen.speaker.name, chosen.microphone.name) == ("null", "none")
    assert len(chosen.missing) == 2


class Ear:
    """A sink."""

    def __init__(self) -> None:
        self.rate_hz = 0
        self.heard: list[NDArray[np.int16]] = []
        self.thread = 0

    def attach(self, rate_hz: int) -> None:
        self.rate_hz, self.thread = rate_hz, threading.get_ident()

    def push(self, samples: NDArray[np.int16]) -> None:
        self.heard.append(samples)


async def test_the_microphone_hands_over_copies(
    fake: FakeSounddevice, counters: Counter[str]
) -> None:
    ear = Ear()
    async with Task(devices(counters).microphone.record(ear)):
        await until(lambda: bool(ear.rate_hz))
        assert ear.thread == threading.get_ident()
        block = np.arange(882, dtype=np.int16).reshape(-1, 1)
        await asyncio.to_thread(fake.streams[0].call, block, underflow=True)
        block[:] = 0
        assert ear.heard[0].tolist() == list(range(882))
        assert counters["microphone_overflows"] == 1
    assert not fake.streams[0].active


async def test_what_the_device_lost_is_silence_of_the_same_length(
    fake: FakeSounddevice, counters: Counter[str]
) -> None:
    ear = Ear()
    async with Task(devices(counters).microphone.record(ear)):
        await until(lambda: bool(ear.rate_hz))
        block = np.full((882, 1), 7, dtype=np.int16)
        stream = fake.streams[0]
        await asyncio.to_thread(stream.call, block, adc_s=10.0)
        # A late clock alone is no loss.
        await asyncio.to_thread(stream.call, block, adc_s=10.021)
        await asyncio.to_thread(stream.call, block, adc_s=10.121, underflow=True)
        assert [len(each) for each in ear.heard] == [882, 882, 3_528, 882]
        assert not ear.heard[2].any()


async def test_a_microphone_that_is_unplugged_and_back_streams_on(
    fake: FakeSounddevice, counters: Counter[str]
) -> None:
    frames: list[bytes] = []
    statuses: list[SiteStatus] = []
    notes = Notebook()
    shared = SharedMicrophone(devices(counters).microphone)

    def send(frame: bytes) -> bool:
        frames.append(frame)
        return True

    streaming = Streaming(
        shared, send=send, report=statuses.append, health=notes, reopen_s=0.01, counters=counters
    )
    block = np.full((4_410, 1), 1_000, dtype=np.int16)
    async with asyncio.timeout(10), shared.open(), streaming.open():
        for _ in range(2):
            await until(lambda: bool(statuses) and statuses[-1].streaming)
            before = len(frames)
            for _ in range(4):
                await asyncio.to_thread(fake.streams[-1].call, block)
            await until(lambda before=before: len(frames) > before)  # type: ignore[misc]
            fake.broken = True
            fake.streams[-1].active = False
            await until(lambda: not statuses[-1].streaming)
            await until(lambda: bool(notes.notes))
            fake.broken = False
        await until(lambda: statuses[-1].streaming)
        assert notes.notes == {}
    names = [status.stream for status in statuses if status.streaming]
    assert len(set(names)) == 3
    assert not statuses[-1].streaming


class Notebook:
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)
