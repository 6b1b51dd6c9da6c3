"""The null and file devices, and which devices the settings choose."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, level_dbfs, split, wav
from antiphon_contracts import (
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    CaptureControl,
    ConfigError,
    PlaybackControl,
)
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_satellite import SatelliteSettings, build
from antiphon_satellite.devices import choose_devices
from antiphon_satellite.engine.file import MARKER, file_name

pytestmark = pytest.mark.unit

RATE_HZ = 22_050


def tone(ms: float, rate_hz: int = RATE_HZ) -> Pcm:
    times = np.arange(round(ms * rate_hz / 1000)) / rate_hz
    return Pcm.from_float32(0.5 * np.sin(2 * np.pi * 440 * times), rate_hz)


class Studio:
    """A satellite with the devices of its settings."""

    def __init__(self, house: House, playback: Heard, capture: Heard, recordings: Heard) -> None:
        self.house = house
        self.playback = playback
        self.capture = capture
        self.recordings = recordings

    def frames(self, utterance: str, pcm: Pcm, *, end: bool = True) -> None:
        payloads = [wav.wrap(frame) for frame in split(pcm)] + ([b""] if end else [])
        for payload in payloads:
            self.house.bus.publish_raw(AUDIO_OUT, payload, site="default", utterance=utterance)

    async def play(self, utterance: str, pcm: Pcm) -> int:
        """Play it to its end; returns the ms played."""
        before = len(self.playback)
        self.frames(utterance, pcm)
        await self.playback.until(before + 2)
        assert self.playback[-1].data.state == "finished"
        return int(self.playback[-1].data.played_ms)

    def record(self, action: Any) -> None:
        self.house.say(CAPTURE_CONTROL, CaptureControl(action=action, utterance_id="r"))


@asynccontextmanager
async def studio(folder: Path, **settings: Any) -> AsyncIterator[Studio]:
    async with asyncio.timeout(20), House() as house:
        here = Studio(
            house,
            await house.hear(PLAYBACK_STATUS),
            await house.hear(CAPTURE_STATUS),
            await house.hear_raw(AUDIO_UTTERANCE),
        )
        chosen = SatelliteSettings(**{"speaker": "null", "microphone": "null", **settings})
        runtime = RuntimeSettings(data_dir=folder)
        await house.move_in("satellite", chosen, build, runtime=runtime)
        yield here


@pytest.mark.parametrize("pace", [0, 50])
async def test_the_null_speaker_plays_to_the_end(tmp_path: Path, pace: float) -> None:
    async with studio(tmp_path, pace=pace) as here:
        assert await here.play("u", tone(1_000)) == 1_000


async def test_the_null_speaker_takes_its_time(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with studio(tmp_path, pace=10) as here:
        begun_s = loop.time()
        await here.play("u", tone(1_000))
        assert 0.09 < loop.time() - begun_s < 5


async def test_a_stop_in_real_time_is_obeyed_soon(tmp_path: Path) -> None:
    async with studio(tmp_path) as here:
        here.frames("u", tone(5_000))
        await here.playback.until(1)
        here.house.say(PLAYBACK_CONTROL, PlaybackControl(action="stop"))
        await here.playback.until(2)
        assert here.playback[-1].data.state == "stopped"
        # A chunk would be 80; the rest is for a busy machine.
        assert 20 <= here.playback[-1].data.played_ms < 500


async def test_the_file_is_there_and_complete_when_the_end_is_said(tmp_path: Path) -> None:
    pcm = tone(1_000)
    async with studio(tmp_path, speaker="file", out_dir=tmp_path / "out", pace=0) as here:
        for name in ("a", "b"):
            assert await here.play(name, pcm) == 1_000
            assert wav.read(tmp_path / "out" / f"{name}.wav") == pcm
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MARKER, "a.wav", "b.wav"]


async def test_the_file_speaker_writes_below_the_data_folder_by_itself(tmp_path: Path) -> None:
    async with studio(tmp_path, speaker="file", pace=0) as here:
        await here.play("u", tone(100))
    assert (tmp_path / "spoken" / "u.wav").is_file()


async def test_other_rates_are_brought_to_the_file_s(tmp_path: Path) -> None:
    async with studio(tmp_path, speaker="file", pace=0, rate_hz=48_000) as here:
        await here.play("u", tone(1_000, 16_000))
    pcm = wav.read(tmp_path / "spoken" / "u.wav")
    assert (pcm.rate_hz, len(pcm)) == (48_000, 48_000)
    assert abs(level_dbfs(pcm) - level_dbfs(tone(1_000))) < 0.2


async def test_the_file_of_a_stopped_utterance_holds_what_was_played(tmp_path: Path) -> None:
    async with studio(tmp_path, speaker="file") as here:
        here.frames("u", tone(5_000))
        await here.playback.until(1)
        here.house.say(PLAYBACK_CONTROL, PlaybackControl(action="stop"))
        await here.playback.until(2)
        here.frames("v", tone(40))
        await here.playback.until(4)
    played_ms = [m.data.played_ms for m in here.playback if m.data.state == "stopped"]
    assert [round(wav.read(tmp_path / "spoken" / "u.wav").duration_ms)] == played_ms


async def test_only_the_newest_files_are_kept(tmp_path: Path) -> None:
    async with studio(tmp_path, speaker="file", pace=0, keep=2) as here:
        for name in "abcd":
            await here.play(name, tone(40))
    async with studio(tmp_path, speaker="file", pace=0, keep=2) as here:
        await here.play("e", tone(40))
    assert sorted(path.name for path in (tmp_path / "spoken").glob("*.wav")) == ["d.wav", "e.wav"]


async def test_files_of_other_people_are_never_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "song.wav").write_bytes(b"a song")
    async with studio(tmp_path, speaker="file", out_dir=folder, pace=0, keep=1) as here:
        for name in "ab":
            await here.play(name, tone(40))
    assert sorted(path.name for path in folder.iterdir()) == ["b.wav", "song.wav"]


async def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "x"
    async with studio(tmp_path, speaker="file", out_dir=folder, device_wait_s=0.05) as here:
        here.frames("u", tone(40))
        await here.playback.until(1)
        assert here.playback[0].data.state == "failed"
        assert "cannot write" in here.playback[0].data.detail


@pytest.mark.parametrize(
    "utterance", ["../../etc/passwd", "..", ".hidden", "a b", "é", "x" * 300, "$(reboot)"]
)
def test_names_of_files_are_harmless(utterance: str) -> None:
    name = file_name(utterance)
    assert name.isascii()
    assert len(name) < 130
    assert not set(name) & set("/\\ $()")
    assert not name.startswith(".")
    assert name != file_name(utterance + "!")


async def test_the_file_microphone_plays_its_recording(tmp_path: Path) -> None:
    spoken = tone(600, 44_100)
    wav.write(tmp_path / "in.wav", spoken)
    settings: dict[str, Any] = {"microphone": "file", "in_file": tmp_path / "in.wav", "pace": 0}
    async with studio(tmp_path, **settings) as here:
        here.record("start")
        await here.capture.until(1)
        for _ in range(100):
            await asyncio.sleep(0)
        here.record("stop")
        await here.recordings.until(1)
        heard = wav.unwrap(here.recordings[0].payload)
        assert abs(heard.duration_ms - 600) <= 1
        assert abs(level_dbfs(heard) - level_dbfs(spoken)) < 0.2


@pytest.mark.parametrize("content", [None, b"", b"not a recording"])
async def test_a_useless_recording_fails_the_capture(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "in.wav").write_bytes(content)
    async with studio(tmp_path, microphone="file", in_file=tmp_path / "in.wav") as here:
        here.record("start")
        await here.capture.until(1)
        assert here.capture[0].data.state == "failed"
        assert "in.wav" in here.capture[0].data.detail


async def test_the_null_microphone_hears_silence(tmp_path: Path) -> None:
    async with studio(tmp_path, pace=50) as here:
        here.house.say(CAPTURE_CONTROL, CaptureControl(action="start", utterance_id="r", max_s=0.5))
        await here.recordings.until(1)
        heard = wav.unwrap(here.recordings[0].payload)
        assert (len(heard), int(np.abs(heard.samples).max())) == (8_000, 0)


def chosen(tmp_path: Path, **settings: Any) -> tuple[str, str, tuple[str, ...]]:
    devices = choose_devices(SatelliteSettings(**settings), tmp_path, Counter())
    return devices.speaker.name, devices.microphone.name, devices.missing


def test_a_file_microphone_without_a_file_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in_file"):
        chosen(tmp_path, speaker="null", microphone="file")


class NoPortAudio:
    """An import of sounddevice on a machine without its C library."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return None


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio(), *sys.meta_path])


@pytest.mark.usefixtures("no_portaudio")
def test_a_missing_library_names_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sudo apt install libportaudio2"):
        chosen(tmp_path, speaker="sounddevice", microphone="null")


def test_a_missing_package_names_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[audio\]"):
        chosen(tmp_path, speaker="null", microphone="sounddevice")


@pytest.mark.usefixtures("no_portaudio")
def test_auto_does_without_and_says_so(tmp_path: Path) -> None:
    speaker, microphone, missing = chosen(tmp_path)
    assert (speaker, microphone) == ("null", "none")
    assert "answers are not audible here; " in missing[0]
    assert "libportaudio2" in missing[0]
    assert "no microphone: nobody is heard here, with or without a wake word; " in missing[1]
