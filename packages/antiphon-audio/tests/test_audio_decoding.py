import io
import math
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from antiphon_audio import AudioTooLong, Pcm, decode, level_dbfs, wav
from antiphon_contracts.errors import AntiphonError, ContractError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

Floats = np.typing.NDArray[np.float64]


def sine(rate_hz: int, duration_s: float = 1.0) -> Floats:
    return 0.5 * np.sin(2 * math.pi * 440 * np.arange(int(rate_hz * duration_s)) / rate_hz)


def encode(samples: Floats, rate_hz: int, kind: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def loudest_hz(pcm: Pcm) -> float:
    spectrum = np.abs(np.fft.rfft(pcm.to_float32()))
    return float(np.fft.rfftfreq(len(pcm), 1 / pcm.rate_hz)[int(spectrum.argmax())])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kind", "subtype", "rate_hz"),
    [
        ("WAV", "PCM_16", 16_000),
        ("WAV", "PCM_24", 44_100),
        ("WAV", "FLOAT", 8000),
        ("WAV", "ULAW", 8000),
        ("WAVEX", "PCM_16", 48_000),
        ("FLAC", "PCM_16", 22_050),
        ("FLAC", "PCM_24", 96_000),
        ("OGG", "VORBIS", 44_100),
        ("OGG", "VORBIS", 16_000),
        ("OGG", "OPUS", 48_000),
        ("OGG", "OPUS", 16_000),
        ("MP3", None, 44_100),
        ("MP3", None, 16_000),
    ],
)
def test_every_format_rate_and_channel_count(
    kind: str, subtype: str | None, rate_hz: int, channels: int
) -> None:
    samples = np.stack([sine(rate_hz)] * channels, axis=1)
    pcm = decode(encode(samples, rate_hz, kind, subtype))
    assert pcm.rate_hz == 16_000
    assert pcm.duration_ms == pytest.approx(1000, abs=60)
    assert loudest_hz(pcm) == pytest.approx(440, abs=3)
    assert level_dbfs(pcm) == pytest.approx(-9.03, abs=0.5)


def test_channels_are_averaged() -> None:
    opposed = np.stack([sine(16_000), -sine(16_000)], axis=1)
    assert level_dbfs(decode(encode(opposed, 16_000, "FLAC"))) < -80
    one_sided = np.stack([sine(16_000), np.zeros(16_000)], axis=1)
    level = level_dbfs(decode(encode(one_sided, 16_000, "FLAC")))
    assert level == pytest.approx(-9.03 - 6.02, abs=0.1)


def test_the_wanted_rate_and_exact_samples() -> None:
    pcm = Pcm.from_float32(sine(22_050), 22_050)
    assert decode(wav.wrap(pcm), rate_hz=22_050) == pcm
    assert decode(wav.wrap(pcm), rate_hz=48_000).rate_hz == 48_000


@pytest.mark.parametrize(
    ("riff_size", "data_size"),
    [
        (0, 0),
        (36, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0),
        (0x7FFFFFFF + 36, 0x7FFFFFFF),
        (0, 1_000_000),
    ],
)
def test_a_wav_from_a_pipe_gives_what_is_there(riff_size: int, data_size: int) -> None:
    pcm = Pcm.from_float32(sine(16_000), 16_000)
    data = bytearray(wav.wrap(pcm))
    struct.pack_into("<I", data, 4, riff_size)
    struct.pack_into("<I", data, 40, data_size)
    assert decode(bytes(data)) == pcm


def test_a_cut_off_wav_gives_what_is_there() -> None:
    pcm = Pcm.from_float32(sine(16_000), 16_000)
    assert decode(wav.wrap(pcm)[: 44 + 2 * 4000]).duration_ms == 250


def test_an_empty_data_chunk_before_another_is_not_taken_for_a_pipe() -> None:
    empty = bytearray(wav.wrap(Pcm.silence(0, 16_000)) + b"LIST" + struct.pack("<I", 4) + b"INFO")
    struct.pack_into("<I", empty, 4, len(empty) - 8)
    with pytest.raises(ContractError, match="no sound"):
        decode(bytes(empty))


def test_a_flac_from_a_pipe_states_no_length() -> None:
    data = bytearray(encode(sine(16_000), 16_000, "FLAC"))
    # STREAMINFO keeps the 36-bit sample count in bytes 21 (low nibble) to 25 of the file.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert decode(bytes(data)).duration_ms == pytest.approx(1000, abs=1)


def test_floats_that_are_no_numbers_are_silence() -> None:
    samples = np.full(16_000, math.nan)
    assert level_dbfs(decode(encode(samples, 16_000, "WAV", "FLOAT"))) == -120


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"this is no sound at all", "cannot be read"),
        (b"RIFF\0\0\0\0WAVE", "cannot be read"),
        (wav.wrap(Pcm.silence(0, 16_000)), "no sound"),
        (encode(sine(16_000), 16_000, "AIFF"), "AIFF is not taken"),
        (encode(np.zeros((10, 16)), 16_000, "WAV"), "16 channels"),
        (encode(np.zeros(10), 500, "WAV"), "500 Hz"),
        (encode(sine(16_000), 16_000, "FLAC")[:3000], "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        decode(data)


def test_size_and_length_limits() -> None:
    data = encode(sine(16_000), 16_000, "WAV")
    with pytest.raises(ContractError, match="too large"):
        decode(data, max_bytes=len(data) - 1)
    with pytest.raises(AudioTooLong):
        decode(data, max_duration_s=0.9)
    assert decode(data, max_bytes=len(data), max_duration_s=1.0).duration_ms == 1000


def test_ten_minutes_in_a_small_file_are_refused_by_the_header() -> None:
    data = encode(np.zeros(600 * 8000), 8000, "FLAC")
    assert len(data) < 100_000
    with pytest.raises(ContractError, match="at most 300 seconds"):
        decode(data)


def test_a_bomb_that_hides_its_length_stops_at_the_limit_without_filling_memory() -> None:
    data = bytearray(encode(np.zeros(600 * 48_000), 48_000, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    tracemalloc.start()
    try:
        with pytest.raises(AudioTooLong):
            decode(bytes(data), max_duration_s=60)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


SEEDS = [
    encode(sine(8000, 0.2), 8000, kind, subtype)
    for kind, subtype in (("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("MP3", None))
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), st.integers(0, 1500), st.binary(min_size=1, max_size=20))
def test_damaged_files_never_leak_a_foreign_error(seed: bytes, at: int, noise: bytes) -> None:
    damaged = seed[:at] + noise + seed[at + len(noise) :]
    try:
        pcm = decode(damaged)
    except AntiphonError:
        return
    assert pcm.duration_ms <= 300_000
