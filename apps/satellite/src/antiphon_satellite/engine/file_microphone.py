"""A recording, or a named pipe, in place of a microphone."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import NoReturn

import numpy as np
from antiphon_audio import Pcm, decode
from antiphon_contracts import AntiphonError, ConfigError, EngineError

from antiphon_satellite.engine.null import HEARD_BLOCK_S, Pacer
from antiphon_satellite.service import Sink

RATE_HZ = 16_000
SAMPLE_BYTES = 2


class FileMicrophone:
    """Plays a recording as its input, from the beginning each time; then silence.

    At pace 0 nothing comes after the recording.

    If the path is a named pipe (`mkfifo`), it hears what is written into it, as raw sound: 16 kHz,
    mono, 16-bit little-endian. It takes it at its pace; while there is none it hears silence. Write
    what belongs together without a pause: the pipe makes the writer wait.

    Args:
        path: WAV, FLAC, OGG or MP3; or a named pipe.
        pace: speed, 0 is as fast as possible (a pipe is then read at 1).
        repeat: whether the recording begins again at its end.
    """

    def __init__(self, path: Path, *, pace: float = 1.0, repeat: bool = False) -> None:
        self.name = f"file {path}"
        self._path = path
        self._pace = pace
        self._repeat = repeat

    async def record(self, sink: Sink) -> None:
        """See the port."""
        try:
            sound = await asyncio.to_thread(self._opened)
        except (AntiphonError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            msg = f"The file microphone cannot use {self._path}: {reason}"
            raise EngineError(msg) from error
        sink.attach(RATE_HZ)
        if isinstance(sound, Pcm):
            await self._play(sound, sink)
        else:
            await self._follow(sound, sink)

    def _opened(self) -> Pcm | int:
        """Return the recording, or the pipe's descriptor."""
        if stat.S_ISFIFO(self._path.stat().st_mode):
            # Open to write as well: else the end of one writer would be the end for ever.
            return os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        return decode(self._path.read_bytes(), rate_hz=RATE_HZ)

    async def _play(self, pcm: Pcm, sink: Sink) -> None:
        pacer = Pacer(RATE_HZ, self._pace)
        await pacer.push(sink, pcm.samples)
        while self._repeat and len(pcm):
            await pacer.push(sink, pcm.samples)
        if self._pace:
            await pacer.push_silence(sink)

    async def _follow(self, pipe: int, sink: Sink) -> NoReturn:
        pacer = Pacer(RATE_HZ, self._pace or 1.0)
        size = round(HEARD_BLOCK_S * RATE_HZ) * SAMPLE_BYTES
        rest = b""
        try:
            while True:
                rest += _read(pipe, size - len(rest))
                whole = len(rest) - len(rest) % SAMPLE_BYTES
                # Half a sample waits for its other half.
                block = rest[:whole].ljust(size, b"\0")
                rest = rest[whole:]
                await pacer.push(sink, np.frombuffer(block, dtype="<i2").astype(np.int16))
        finally:
            os.close(pipe)


def _read(pipe: int, size: int) -> bytes:
    try:
        return os.read(pipe, size)
    except BlockingIOError:
        return b""


def required(path: Path | None) -> Path:
    """Return the recording for the file microphone.

    Raises:
        ConfigError: none is set.
    """
    if path is None:
        msg = "The file microphone needs a recording: set `in_file` of the satellite."
        raise ConfigError(msg)
    return path
