"""WAV bytes around 16-bit mono sound, cheap enough for every 80 ms frame.

`unwrap` is for what Antiphon's own parts send. Sound from people, in whatever format, goes through
`antiphon_audio.decode`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from antiphon_contracts.errors import ConfigError, ContractError

from antiphon_audio.pcm import Pcm

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_RIFF_HEADER_BYTES = 12
_PCM = 1
_MAX_CHUNKS = 64


def wrap(pcm: Pcm) -> bytes:
    """The sound as a WAV file: a 44-byte header and little-endian int16 samples."""
    body = pcm.samples.astype("<i2", copy=False).tobytes()
    header = _HEADER.pack(
        b"RIFF",
        36 + len(body),
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        1,
        pcm.rate_hz,
        2 * pcm.rate_hz,
        2,
        16,
        b"data",
        len(body),
    )
    return header + body


def unwrap(data: bytes) -> Pcm:
    """Sound out of a 16-bit mono PCM WAV; foreign chunks in any order are passed over.

    Returns:
        A view of `data` without a copy (read-only samples).

    Raises:
        ContractError: anything else, a truncated file included.
    """
    rate_hz: int | None = None
    body: tuple[int, int] | None = None
    for name, start, size in chunks(data):
        if start + size > len(data):
            raise ContractError("The WAV frame is cut off: send the whole file.")
        if name == b"fmt ":
            rate_hz = _rate_of(data[start : start + size])
        elif name == b"data":
            body = (start, size)
    if rate_hz is None or body is None:
        raise ContractError("This is not a WAV frame: it lacks a fmt or a data chunk.")
    start, size = body
    if size % 2:
        raise ContractError("The WAV frame ends in the middle of a sample.")
    samples = np.frombuffer(data, dtype="<i2", count=size // 2, offset=start)
    return Pcm(samples.astype(np.int16, copy=False), rate_hz)


def write(path: Path, pcm: Pcm) -> None:
    """Write the sound to `path` as a WAV file.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.write_bytes(wrap(pcm))
    except OSError as error:
        raise ConfigError(f"Cannot write {path}: {error.strerror}.") from error


def read(path: Path) -> Pcm:
    """Sound from a 16-bit mono WAV file; other formats need `antiphon_audio.decode`.

    Raises:
        ConfigError: the file cannot be read.
        ContractError: it is not 16-bit mono PCM WAV.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
    return unwrap(data)


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk of a RIFF/WAVE file as (name, offset of its body, size it claims).

    A claimed size may run past the end of `data`; that chunk is the last one yielded.

    Raises:
        ContractError: `data` does not begin as a WAV file, or has more than 64 chunks.
    """
    if data[:4] != b"RIFF" or data[8:_RIFF_HEADER_BYTES] != b"WAVE":
        raise ContractError("This is not a WAV file.")
    offset = _RIFF_HEADER_BYTES
    for _ in range(_MAX_CHUNKS):
        if offset + _CHUNK.size > len(data):
            return
        name, size = _CHUNK.unpack_from(data, offset)
        start = offset + _CHUNK.size
        yield name, start, size
        # Chunks are padded to even addresses.
        offset = start + size + size % 2
    raise ContractError(f"The WAV file has more than {_MAX_CHUNKS} chunks.")


def _rate_of(body: bytes) -> int:
    if len(body) < _FORMAT.size:
        raise ContractError("The WAV frame's fmt chunk is cut off.")
    kind, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(body)
    if (kind, channels, bits) != (_PCM, 1, 16):
        raise ContractError(
            "A WAV frame must be 16-bit mono PCM; other sound goes through decode()."
        )
    return int(rate_hz)
