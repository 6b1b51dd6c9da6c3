"""Samples out of bytes that come in pieces of any length."""

from __future__ import annotations

import struct

import numpy as np
from antiphon_audio import Pcm, wav
from antiphon_contracts import ContractError, EngineError

MAX_SPEECH_S = 300
"""No engine gets to send more than this for one piece of text."""

_FORMAT = struct.Struct("<HHIIHH")
_MAX_HEADER_BYTES = 65_536
_PCM = 1
_EXTENSIBLE = 0xFFFE


class Samples:
    """Turns bytes into mono 16-bit sound as they come.

    Args:
        rate_hz: rate of bare little-endian samples; None reads it from a WAV header, whose sizes
            are not believed: who streams does not know them yet.
    """

    def __init__(self, rate_hz: int | None) -> None:
        self._rate_hz = rate_hz
        self._buffer = b""
        self._total_bytes = 0

    def push(self, data: bytes) -> Pcm | None:
        """Take bytes in, and return the sound that is complete by now, if any.

        Raises:
            EngineError: it is no 16-bit mono WAV, or there is no end to it.
        """
        self._buffer += data
        if self._rate_hz is None:
            self._rate_hz = self._read_header()
        if self._rate_hz is None:
            return None
        whole = len(self._buffer) // 2 * 2
        if not whole:
            return None
        self._total_bytes += whole
        if self._total_bytes > MAX_SPEECH_S * 2 * self._rate_hz:
            msg = f"The voice sent more than {MAX_SPEECH_S} s of sound for one clause."
            raise EngineError(msg)
        body, self._buffer = self._buffer[:whole], self._buffer[whole:]
        return Pcm(np.frombuffer(body, dtype="<i2").astype(np.int16, copy=False), self._rate_hz)

    def _read_header(self) -> int | None:
        rate_hz: int | None = None
        try:
            for name, start, size in wav.chunks(self._buffer) if len(self._buffer) >= 12 else ():  # noqa: PLR2004  (RIFF, size, WAVE)
                if name == b"data" and rate_hz is not None:
                    self._buffer = self._buffer[start:]
                    return rate_hz
                if name == b"fmt " and size >= _FORMAT.size and start + size <= len(self._buffer):
                    rate_hz = _rate_of(self._buffer, start)
        except ContractError as error:
            raise EngineError(str(error)) from error
        if len(self._buffer) > _MAX_HEADER_BYTES:
            msg = "The voice sent a WAV without samples."
            raise EngineError(msg)
        return None


def _rate_of(buffer: bytes, start: int) -> int:
    kind, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(buffer, start)
    if kind not in {_PCM, _EXTENSIBLE} or channels != 1 or bits != 16 or rate_hz == 0:  # noqa: PLR2004  (bits)
        msg = "The voice sent another sound than 16-bit mono."
        raise EngineError(msg)
    return int(rate_hz)
