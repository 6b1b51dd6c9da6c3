"""A microphone's stream: frames on the way, and the same sound in one piece at the other end.

A frame is a WAV file with a chunk `plac` before the sound: the stream's name and how many samples
at 16 kHz went before. It gives all that listen the same clock, the microphone's own, whatever was
lost on the way and whenever they joined. Programs that know nothing of it read an ordinary WAV, and
may send one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from antiphon_contracts.errors import ContractError
from numpy.typing import NDArray

from antiphon_audio import wav
from antiphon_audio.pcm import Pcm
from antiphon_audio.resampling import Resampler

RATE_HZ = 16_000
FRAME_MS = 80
FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
MAX_GAP_MS = 2_000
"""A longer gap is not filled with silence: the stream begins anew behind it."""
MAX_FRAME_MS = 2_000
MAX_NAME_BYTES = 64
RATES_HZ = range(8_000, 192_001)

_CHUNK = b"plac"
_PLACE = struct.Struct("<Q")
_RIFF_SIZE = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame belongs.

    Attributes:
        stream: the stream's name: new whenever a microphone begins anew.
        offset: samples at 16 kHz before this frame.
    """

    stream: str
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Sound of a stream without a gap.

    Attributes:
        place: of its first sample.
        samples: 16 kHz, int16, shape (n,).
        anew: whether it is not the continuation of the stretch before.
    """

    place: Place
    samples: NDArray[np.int16]
    anew: bool = False

    @property
    def end(self) -> int:
        """Samples of the stream up to its end."""
        return self.place.offset + len(self.samples)


def wrap_frame(pcm: Pcm, place: Place) -> bytes:
    """Return a frame of 16 kHz sound as it travels on `audio/<site>/in`.

    Raises:
        ContractError: the sound is at another rate, or the stream's name is too long.
    """
    if pcm.rate_hz != RATE_HZ:
        raise ContractError(f"Microphone frames are at {RATE_HZ} Hz: resample the sound first.")
    name = place.stream.encode()
    if len(name) > MAX_NAME_BYTES:
        raise ContractError(f"A stream's name has at most {MAX_NAME_BYTES} bytes.")
    body = _PLACE.pack(place.offset) + name
    padding = b"\0" * (len(body) % 2)
    chunk = _CHUNK + _RIFF_SIZE.pack(len(body)) + body + padding
    whole = wav.wrap(pcm)
    size = _RIFF_SIZE.pack(len(whole) - 8 + len(chunk))
    return whole[:4] + size + whole[8:12] + chunk + whole[12:]


def place_of(frame: bytes) -> Place | None:
    """Return where a frame belongs; None if it does not say.

    Raises:
        ContractError: the frame is no WAV, or its place cannot be read.
    """
    for name, start, size in wav.chunks(frame):
        if name == _CHUNK:
            body = frame[start : start + size]
            if not _PLACE.size <= len(body) == size <= _PLACE.size + MAX_NAME_BYTES:
                raise ContractError("The frame's place in the stream cannot be read.")
            try:
                return Place(body[_PLACE.size :].decode(), _PLACE.unpack_from(body)[0])
            except UnicodeDecodeError as error:
                raise ContractError("The stream's name is not UTF-8.") from error
    return None


class StreamReader:
    """Puts the frames of one microphone together again.

    What is lost is filled with silence up to 2 s, so that times stay right; what comes twice or too
    late is passed over. A frame without a place follows upon the one before, at whatever rate.

    Attributes:
        lost: samples filled with silence so far.
        passed_over: frames that had come already, or came too late.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.passed_over = 0
        self._next: Place | None = None
        self._resampler: Resampler | None = None

    def push(self, frame: bytes) -> Stretch | None:
        """Take a frame; return what it adds, or None.

        Raises:
            ContractError: it is no 16-bit mono PCM WAV of at most 2 s at 8 to 192 kHz.
        """
        pcm = wav.unwrap(frame)
        if pcm.rate_hz not in RATES_HZ or pcm.duration_ms > MAX_FRAME_MS:
            raise ContractError("A microphone frame is at most 2 s of sound at 8 to 192 kHz.")
        place = place_of(frame)
        if place is None or pcm.rate_hz != RATE_HZ:
            return self._follow(pcm)
        self._resampler = None
        return self._put(place, pcm.samples)

    def _follow(self, pcm: Pcm) -> Stretch | None:
        if self._resampler is None or self._resampler.from_hz != pcm.rate_hz:
            self._resampler = Resampler(pcm.rate_hz, RATE_HZ)
        samples = self._resampler.push(pcm.samples)
        if not len(samples):
            return None
        known = self._next
        # Without a place it is another microphone than one that gave places.
        goes_on = known is not None and not known.stream
        return self._put(known if known and goes_on else Place("", 0), samples)

    def _put(self, place: Place, samples: NDArray[np.int16]) -> Stretch | None:
        expected = self._next
        anew = expected is None or expected.stream != place.stream
        if expected is not None and not anew:
            gap = place.offset - expected.offset
            if gap + len(samples) <= 0:
                self.passed_over += 1
                return None
            if gap < 0:
                place, samples = expected, samples[-gap:]
            elif gap > MAX_GAP_MS * RATE_HZ // 1000:
                anew = True
            elif gap:
                self.lost += gap
                place = expected
                samples = np.concatenate((np.zeros(gap, dtype=np.int16), samples))
        self._next = replace(place, offset=place.offset + len(samples))
        return Stretch(place, samples, anew)
