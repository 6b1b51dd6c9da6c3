import math

import numpy as np
import pytest
from antiphon_audio import SILENCE_DBFS, Pcm, Resampler, level_dbfs, resample, split
from antiphon_contracts.errors import ContractError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytestmark = pytest.mark.unit

int16_rows = hnp.arrays(np.int16, st.integers(0, 500))


def tone(rate_hz: int, duration_s: float = 1.0, hz: float = 440.0, amplitude: float = 0.5) -> Pcm:
    t = np.arange(int(rate_hz * duration_s)) / rate_hz
    return Pcm.from_float32(amplitude * np.sin(2 * math.pi * hz * t), rate_hz)


def test_duration_counts_samples() -> None:
    assert Pcm(np.zeros(1280, np.int16), 16_000).duration_ms == 80.0
    assert len(Pcm.silence(80, 22_050)) == 1764


@given(int16_rows)
def test_the_way_to_floats_and_back_is_exact(samples: np.typing.NDArray[np.int16]) -> None:
    pcm = Pcm(samples, 16_000)
    assert Pcm.from_float32(pcm.to_float32(), 16_000) == pcm


def test_floats_out_of_range_are_clipped_and_nan_is_silence() -> None:
    wild = np.array([2.0, -2.0, math.nan, math.inf, -math.inf, 0.0])
    assert Pcm.from_float32(wild, 8000).samples.tolist() == [32767, -32768, 0, 32767, -32768, 0]


@pytest.mark.parametrize(
    ("samples", "rate_hz"),
    [
        (np.zeros(4, np.float32), 16_000),
        (np.zeros((2, 2), np.int16), 16_000),
        (np.zeros(4, np.int16), 0),
    ],
)
def test_other_shapes_types_and_rates_are_refused(
    samples: np.typing.NDArray[np.int16], rate_hz: int
) -> None:
    with pytest.raises(ContractError):
        Pcm(samples, rate_hz)


def test_equality_is_by_value() -> None:
    assert tone(8000) == tone(8000)
    assert tone(8000) != Pcm(tone(8000).samples, 16_000)
    assert tone(8000) != "tone"


@given(int16_rows, st.integers(1, 40))
def test_frames_put_together_are_the_sound(
    samples: np.typing.NDArray[np.int16], frame_ms: int
) -> None:
    frames = list(split(Pcm(samples, 8000), frame_ms))
    joined = np.concatenate([np.zeros(0, np.int16), *(f.samples for f in frames)])
    assert np.array_equal(joined, samples)
    assert all(frame.duration_ms == frame_ms for frame in frames[:-1])


def test_a_frame_shorter_than_a_sample_is_refused() -> None:
    with pytest.raises(ContractError, match="holds no sample"):
        list(split(tone(100), 1))


def test_level() -> None:
    square = Pcm(np.tile(np.array([32767, -32767], np.int16), 100), 8000)
    assert level_dbfs(square) == pytest.approx(0.0, abs=0.01)
    assert level_dbfs(tone(16_000)) == pytest.approx(-9.03, abs=0.02)
    assert level_dbfs(Pcm.silence(10, 8000)) == SILENCE_DBFS
    assert level_dbfs(Pcm.silence(0, 8000)) == SILENCE_DBFS


def loudest_hz(pcm: Pcm) -> float:
    spectrum = np.abs(np.fft.rfft(pcm.to_float32()))
    return float(np.fft.rfftfreq(len(pcm), 1 / pcm.rate_hz)[int(spectrum.argmax())])


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 16_000), (22_050, 16_000), (8000, 44_100)])
def test_resampling_keeps_pitch_level_and_length(from_hz: int, to_hz: int) -> None:
    made = resample(tone(from_hz), to_hz)
    assert made.rate_hz == to_hz
    assert made.duration_ms == pytest.approx(1000, abs=1)
    assert loudest_hz(made) == pytest.approx(440, abs=2)
    assert level_dbfs(made) == pytest.approx(-9.03, abs=0.1)


def test_an_equal_rate_is_no_work() -> None:
    pcm = tone(16_000)
    assert resample(pcm, 16_000) is pcm
    stream = Resampler(16_000, 16_000)
    assert stream.push(pcm.samples) is pcm.samples
    assert len(stream.finish()) == 0


def test_a_resampled_stream_has_no_seams() -> None:
    pcm = tone(22_050)
    stream = Resampler(22_050, 16_000)
    pieces = [stream.push(frame.samples) for frame in split(pcm, 80)]
    joined = np.concatenate([*pieces, stream.finish()]).astype(np.int32)
    whole = resample(pcm, 16_000).samples.astype(np.int32)
    assert abs(len(joined) - len(whole)) <= 1
    n = min(len(joined), len(whole))
    assert np.abs(joined[:n] - whole[:n]).max() <= 8


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 16_000), (16_000, 0), (16_000, -1)])
def test_impossible_rates_are_refused(from_hz: int, to_hz: int) -> None:
    with pytest.raises(ContractError, match="not positive"):
        Resampler(from_hz, to_hz)
    with pytest.raises(ContractError, match="not positive"):
        resample(tone(8000), min(from_hz, to_hz))
