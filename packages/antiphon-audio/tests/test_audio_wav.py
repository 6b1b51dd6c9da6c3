import contextlib
import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, wav
from antiphon_contracts.errors import AntiphonError, ConfigError, ContractError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytestmark = pytest.mark.unit

RAMP = Pcm(np.arange(-50, 50, dtype=np.int16), 22_050)


def fmt(kind: int = 1, channels: int = 1, bits: int = 16, rate_hz: int = 22_050) -> bytes:
    align = channels * bits // 8
    body = struct.pack("<HHIIHH", kind, channels, rate_hz, rate_hz * align, align, bits)
    return b"fmt " + struct.pack("<I", len(body)) + body


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*parts: bytes) -> bytes:
    body = b"WAVE" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@given(hnp.arrays(np.int16, st.integers(0, 300)), st.integers(1, 192_000))
def test_what_is_wrapped_is_unwrapped(samples: np.typing.NDArray[np.int16], rate_hz: int) -> None:
    pcm = Pcm(samples, rate_hz)
    data = wav.wrap(pcm)
    assert len(data) == 44 + 2 * len(samples)
    assert wav.unwrap(data) == pcm


def test_the_standard_library_reads_what_is_wrapped() -> None:
    with wave.open(io.BytesIO(wav.wrap(RAMP))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22_050)
        assert file.readframes(1000) == RAMP.samples.tobytes()


def test_foreign_chunks_in_any_order_are_passed_over() -> None:
    data = chunk(b"data", RAMP.samples.tobytes())
    for parts in (
        (chunk(b"LIST", b"odd"), fmt(), chunk(b"fact", b"1234"), data),
        (data, chunk(b"junk", b""), fmt()),
    ):
        assert wav.unwrap(riff(*parts)) == RAMP


DATA = chunk(b"data", RAMP.samples.tobytes())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"OggS" + bytes(60),
        riff(),
        riff(fmt()),
        riff(DATA),
        riff(fmt(channels=2), DATA),
        riff(fmt(bits=24), DATA),
        riff(fmt(kind=3, bits=32), DATA),
        riff(fmt(rate_hz=0), DATA),
        riff(chunk(b"fmt ", b"short"), DATA),
        riff(fmt(), chunk(b"data", b"abc")),
        riff(fmt(), *[chunk(b"junk", b"")] * 100, DATA),
        wav.wrap(RAMP)[:-1],
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        wav.unwrap(data)


@given(st.binary(max_size=200), st.integers(0, 43))
def test_no_foreign_error_leaks(noise: bytes, keep: int) -> None:
    for data in (noise, wav.wrap(RAMP)[:keep] + noise):
        with contextlib.suppress(AntiphonError):
            wav.unwrap(data)


def test_files(tmp_path: Path) -> None:
    wav.write(tmp_path / "a.wav", RAMP)
    assert wav.read(tmp_path / "a.wav") == RAMP
    with pytest.raises(ConfigError, match="Cannot read"):
        wav.read(tmp_path / "missing.wav")
    with pytest.raises(ConfigError, match="Cannot write"):
        wav.write(tmp_path / "no" / "a.wav", RAMP)
