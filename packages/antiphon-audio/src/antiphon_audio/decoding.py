"""Sound from people: WAV, FLAC, OGG (Vorbis, Opus) or MP3 of any rate and channels.

Decoding goes block by block into the resampler, so that a small file which unpacks into hours of
sound is stopped at the allowed length, and memory stays near the size of the result.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import soundfile
import soxr
from antiphon_contracts.errors import ContractError
from numpy.typing import NDArray

from antiphon_audio import wav
from antiphon_audio.pcm import Pcm

if TYPE_CHECKING:
    from typing import Protocol

    class _SoundFile(Protocol):
        """The part of soundfile.SoundFile in use here; the library itself ships no types."""

        format: str
        samplerate: int
        channels: int
        frames: int

        def read(self, frames: int, dtype: str, *, always_2d: bool) -> NDArray[np.float32]: ...


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # the library ships no types
    """A sound file read from front to back only.

    soundfile seeks after each read of a seekable file, which libsndfile refuses for a FLAC of
    unstated length, as a pipe leaves it.
    """

    def seekable(self) -> bool:
        return False


MAX_BYTES = 4 * 1024 * 1024
MAX_DURATION_S = 300.0

_FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "MP3"})
_RATES_HZ = range(1_000, 192_001)
_MAX_CHANNELS = 8
_BLOCK_SAMPLES = 1 << 18
# libsndfile's word for "the header does not say" (SF_COUNT_MAX in sndfile.h).
_UNKNOWN_FRAMES = 0x7FFF_FFFF_FFFF_FFFF


class AudioTooLong(ContractError):  # noqa: N818  (named like its base's kin)
    """The recording is longer than may be decoded."""


def decode(
    data: bytes,
    *,
    rate_hz: int = 16_000,
    max_duration_s: float = MAX_DURATION_S,
    max_bytes: int = MAX_BYTES,
) -> Pcm:
    """Sound out of an encoded file: mixed to mono (mean of the channels) and brought to `rate_hz`.

    A WAV whose header lies about its length, as written to a pipe, gives what is there.

    Raises:
        AudioTooLong: it lasts longer than `max_duration_s`.
        ContractError: the file is empty, too large, broken, or of another format.
    """
    if not data:
        raise ContractError("The audio is empty: record something and send it again.")
    if len(data) > max_bytes:
        raise ContractError(
            f"The audio is too large ({len(data)} bytes; at most {max_bytes} are taken): "
            "send a shorter or compressed recording."
        )
    try:
        with _Forward(io.BytesIO(_with_true_length(data))) as file:
            return _decode_file(file, rate_hz, max_duration_s)
    except soundfile.SoundFileError as error:
        raise ContractError(
            "The audio cannot be read: it is broken, or neither WAV, FLAC, OGG nor MP3."
        ) from error


def _decode_file(file: _SoundFile, rate_hz: int, max_duration_s: float) -> Pcm:
    _check_header(file, max_duration_s)
    max_frames = int(max_duration_s * file.samplerate)
    stream = (
        None
        if file.samplerate == rate_hz
        else soxr.ResampleStream(file.samplerate, rate_hz, 1, dtype="float32")
    )
    parts: list[NDArray[np.int16]] = []
    frames = 0
    for block in _mono_blocks(file):
        frames += len(block)
        if frames > max_frames:
            raise _too_long(max_duration_s)
        ready = block if stream is None else stream.resample_chunk(block)
        parts.append(Pcm.from_float32(ready, rate_hz).samples)
    if not frames:
        raise ContractError("The audio holds no sound or is cut off: record it again.")
    if stream is not None:
        rest = stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        parts.append(Pcm.from_float32(rest, rate_hz).samples)
    return Pcm(np.concatenate(parts), rate_hz)


def _check_header(file: _SoundFile, max_duration_s: float) -> None:
    if file.format not in _FORMATS:
        raise ContractError(f"Audio in {file.format} is not taken: send WAV, FLAC, OGG or MP3.")
    if file.samplerate not in _RATES_HZ or not 1 <= file.channels <= _MAX_CHANNELS:
        raise ContractError(
            f"Audio with {file.channels} channels at {file.samplerate} Hz is not taken: "
            f"send at most {_MAX_CHANNELS} channels at 1,000 to 192,000 Hz."
        )
    if file.frames != _UNKNOWN_FRAMES and file.frames > max_duration_s * file.samplerate:
        raise _too_long(max_duration_s)


def _mono_blocks(file: _SoundFile) -> Iterator[NDArray[np.float32]]:
    """Blocks of shape (n,), n > 0; ends by itself because libsndfile reads from a finite buffer."""
    block_frames = _BLOCK_SAMPLES // file.channels
    while len(block := file.read(block_frames, "float32", always_2d=True)):
        yield block[:, 0] if file.channels == 1 else block.mean(axis=1, dtype=np.float32)


def _too_long(max_duration_s: float) -> AudioTooLong:
    return AudioTooLong(
        f"The audio is too long: at most {max_duration_s:g} seconds are taken; cut it up."
    )


def _with_true_length(data: bytes) -> bytes:
    """The same WAV with its data chunk's size as it really is; other formats unchanged."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return data
    riff_end = 8 + cast("int", struct.unpack_from("<I", data, 4)[0])
    for name, start, size in wav.chunks(data):
        if name != b"data":
            continue
        # A writer to a pipe leaves 0 or the largest number where it cannot go back to the length.
        is_open = size == 0 and not start < riff_end <= len(data)
        if not is_open and start + size <= len(data):
            return data
        mended = bytearray(data)
        struct.pack_into("<I", mended, 4, len(data) - 8)
        struct.pack_into("<I", mended, start - 4, len(data) - start)
        return bytes(mended)
    return data
