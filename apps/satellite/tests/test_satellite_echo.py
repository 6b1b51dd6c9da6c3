"""Echo: the line of time, the real canceller on speech-like sound, and the level meter."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import StreamReader, wav
from antiphon_audio.pcm import Pcm
from antiphon_contracts import AUDIO_IN, AUDIO_LEVEL, AUDIO_OUT, SITE_STATUS, ConfigError
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.testing import House
from antiphon_satellite import SatelliteSettings
from antiphon_satellite.devices import Devices
from antiphon_satellite.engine.webrtc import DELAY_SAMPLES, WebRtcEchoCanceller
from antiphon_satellite.service import EchoPath
from antiphon_satellite.service.levels import level_of
from antiphon_satellite.testing import ManualMicrophone, ManualSpeaker
from antiphon_satellite.wiring import build_with
from numpy.typing import NDArray

pytestmark = pytest.mark.unit

FRAME = 1_280


def babble(seconds: float, seed: int) -> NDArray[np.int16]:
    """Noise with the rhythm and the spectrum of speech, roughly."""
    random = np.random.default_rng(seed)
    count = round(seconds * 16_000)
    spectrum = np.fft.rfft(random.standard_normal(count))
    spectrum /= 1 + (np.fft.rfftfreq(count, 1 / 16_000) / 700) ** 2
    times = np.arange(count) / 16_000
    rhythm = np.clip(np.sin(2 * np.pi * 2.5 * times + seed) + 0.4, 0, None)
    made = np.fft.irfft(spectrum, count) * rhythm
    return np.asarray(made / np.abs(made).max() * 12_000).astype(np.int16)


def level(samples: NDArray[Any]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples.astype(np.float64))) + 1e-9))


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Recorder:
    """A canceller that keeps what it was given, and gives back the microphone's sound."""

    delay = 0

    def __init__(self) -> None:
        self.references: list[NDArray[np.int16]] = []

    def process(
        self, microphone: NDArray[np.int16], reference: NDArray[np.int16]
    ) -> NDArray[np.int16]:
        assert len(microphone) == len(reference) == 160
        self.references.append(reference)
        return microphone


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 48_000])
def test_the_reference_is_what_is_heard_at_that_time(rate_hz: int) -> None:
    clock, recorder = Clock(), Recorder()
    path = EchoPath(recorder, clock=clock)
    times = np.arange(2 * rate_hz) / rate_hz
    played = (np.sin(2 * np.pi * 300 * times**2) * 12_000).astype(np.int16)
    step = rate_hz // 50
    for block in range(100):
        # Taken 60 ms before it is heard, a bit early or late.
        jitter_s = 0.004 * (-1) ** block
        samples = played[block * step : (block + 1) * step]
        path.play(samples, rate_hz, clock.now_s + 0.06 + jitter_s)
        clock.now_s += 0.02
        if block % 4 == 3:
            path.frame(np.zeros(FRAME, dtype=np.int16))
    reference = np.concatenate(recorder.references)
    # Frames begin at 100 s, the sound 60 ms (and the first jitter) later.
    begin = round(0.064 * 16_000)
    want = (np.sin(2 * np.pi * 300 * (np.arange(16_000) / 16_000) ** 2) * 12_000).astype(np.int16)
    got = reference[begin : begin + 16_000]
    assert level(got - want.astype(float)) < level(want) - 30
    assert not reference[: begin - 160].any()


def test_it_rests_while_the_speaker_is_silent_and_makes_no_seam() -> None:
    clock, recorder = Clock(), Recorder()
    recorder.delay = 128
    path = EchoPath(recorder, clock=clock)
    heard = babble(1, 3)
    out = [path.frame(heard[at : at + FRAME]) for at in range(0, 12 * FRAME, FRAME)]
    assert recorder.references == []
    whole = np.concatenate(out)
    assert np.array_equal(whole[128:], heard[: len(whole) - 128])


def test_what_is_played_after_a_pause_stands_where_it_is_heard() -> None:
    clock, recorder = Clock(), Recorder()
    path = EchoPath(recorder, clock=clock)
    ones = np.full(320, 1_000, dtype=np.int16)
    for frame in range(20):
        if frame in {2, 10}:
            for block in range(4):
                path.play(ones, 16_000, clock.now_s + 0.02 * block)
        clock.now_s += 0.08
        path.frame(np.zeros(FRAME, dtype=np.int16))
    loud = [at for at, each in enumerate(recorder.references) if each.any()]
    assert len(loud) == 16
    assert loud[8] - loud[0] == 64


@pytest.mark.parametrize("delay_ms", [20, 120])
def test_the_echo_is_gone_and_the_person_is_not(delay_ms: int) -> None:
    clock = Clock()
    path = EchoPath(WebRtcEchoCanceller(), clock=clock)
    spoken, person = babble(10, 1), babble(10, 2) // 2
    person[: 6 * 16_000] = 0
    late = round(delay_ms * 16)
    echo = np.concatenate((np.zeros(late, dtype=np.int16), spoken[:-late])) // 3
    heard = echo + person
    out = []
    for at in range(0, len(heard) - FRAME, FRAME):
        path.play(spoken[at : at + FRAME], 16_000, clock.now_s)
        clock.now_s += 0.08
        out.append(path.frame(heard[at : at + FRAME]))
    clean = np.concatenate(out)
    alone = slice(3 * 16_000, 6 * 16_000)
    assert level(heard[alone]) - level(clean[alone]) > 20
    both = slice(6 * 16_000, len(clean) - DELAY_SAMPLES)
    kept = clean[both.start + DELAY_SAMPLES : both.stop + DELAY_SAMPLES]
    assert abs(level(kept) - level(person[both])) < 6
    assert np.corrcoef(kept, person[both])[0, 1] > 0.5


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[aec\]"):
        WebRtcEchoCanceller()


# In the satellite


async def turn() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


async def test_a_satellite_with_a_canceller_says_so_and_streams_on(tmp_path: Path) -> None:
    speaker, microphone = ManualSpeaker(16_000), ManualMicrophone(16_000)
    async with asyncio.timeout(20), House() as house:
        frames, site = await house.hear_raw(AUDIO_IN), await house.hear(SITE_STATUS)
        levels = await house.hear(AUDIO_LEVEL)
        await house.move_in(
            "satellite",
            SatelliteSettings(echo="webrtc", level_hz=5, jitter_ms=0),
            lambda worker: build_with(worker, Devices(speaker, microphone, stream=True)),
            runtime=RuntimeSettings(data_dir=tmp_path),
        )
        await turn()
        for _ in range(10):
            payload = wav.wrap(Pcm(babble(0.08, 1), 16_000))
            house.bus.publish_raw(AUDIO_OUT, payload, site="default", utterance="u")
            await turn()
            speaker.pull(80)
            microphone.hear(babble(0.08, 2))
            await turn()
        await frames.until(10)
        reader = StreamReader()
        stretches = [reader.push(message.payload) for message in frames]
        assert sum(len(each.samples) for each in stretches if each) == 12_800
        assert reader.lost == 0
        assert site[-1].data.echo_cancelled
        # One a frame or two at the most, whatever is asked for.
        await levels.until(5)


@pytest.mark.parametrize(("echo", "cancelled"), [("none", False), ("external", True)])
async def test_an_external_canceller_is_taken_at_its_word(
    tmp_path: Path, echo: Any, cancelled: bool
) -> None:
    async with asyncio.timeout(20), House() as house:
        site = await house.hear(SITE_STATUS)
        devices = Devices(ManualSpeaker(), ManualMicrophone(16_000), stream=True)
        await house.move_in(
            "satellite",
            SatelliteSettings(echo=echo),
            lambda worker: build_with(worker, devices),
            runtime=RuntimeSettings(data_dir=tmp_path),
        )
        await site.until(1)
        assert site[-1].data.echo_cancelled is cancelled


# The level


@pytest.mark.parametrize(("hz", "band"), [(180, 0), (1_400, 3), (6_000, 5)])
def test_a_tone_stands_in_its_octave(hz: int, band: int) -> None:
    tone = (np.sin(2 * np.pi * hz * np.arange(3_200) / 16_000) * 16_384).astype(np.int16)
    heard = level_of(tone)
    assert heard.rms_dbfs == pytest.approx(-9.0, abs=0.2)
    assert heard.peak_dbfs == pytest.approx(-6.0, abs=0.2)
    assert heard.bands_dbfs[band] == pytest.approx(-9.0, abs=0.3)
    assert max(x for at, x in enumerate(heard.bands_dbfs) if at != band) < -35
    assert len(heard.bands_dbfs) == 6


def test_silence_has_a_level_too() -> None:
    heard = level_of(np.zeros(1_280, dtype=np.int16))
    assert (heard.rms_dbfs, heard.peak_dbfs, set(heard.bands_dbfs)) == (-120.0, -120.0, {-120.0})
