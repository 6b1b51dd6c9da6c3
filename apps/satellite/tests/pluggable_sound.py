"""Stands in for sounddevice: a microphone and a loudspeaker that a test plugs in and pulls out.

They are there while the file that `PLUGGED` names is; its text says the how manieth time. As
PortAudio does, it knows only what was there when it was initialised.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
LOUD = 8_000

Callback = Callable[[NDArray[np.int16], int, SimpleNamespace, SimpleNamespace], None]


class PortAudioError(Exception):
    """As sounddevice's."""


def _plugged() -> str:
    try:
        return Path(os.environ["PLUGGED"]).read_text()
    except FileNotFoundError:
        return ""


class _Devices:
    listed = _plugged()


class InputStream:
    """Hears a loud hum; also stands in for the output."""

    latency = 0.02

    def __init__(self, *, blocksize: int, callback: Callback, **_options: object) -> None:
        if not _plugged() or _plugged() != _Devices.listed:
            raise PortAudioError("Error opening stream: Device unavailable [PaErrorCode -9985]")
        self._blocksize = blocksize
        self._callback = callback
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pluggable-sound")

    @property
    def active(self) -> bool:
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        times = SimpleNamespace(outputBufferDacTime=0.0, inputBufferAdcTime=0.0, currentTime=0.0)
        flags = SimpleNamespace(output_underflow=False, input_overflow=False)
        mine = _Devices.listed
        while not self._over.wait(self._blocksize / RATE_HZ) and _plugged() == mine:
            block = np.full((self._blocksize, 1), LOUD, dtype=np.int16)
            self._callback(block, self._blocksize, times, flags)


OutputStream = InputStream


def query_devices(_device: object, kind: str) -> dict[str, float]:
    if not _Devices.listed:
        raise PortAudioError(f"Error querying device: no {kind} device")
    return {"default_samplerate": float(RATE_HZ)}


def _terminate() -> None:
    _Devices.listed = ""


def _initialize() -> None:
    _Devices.listed = _plugged()
