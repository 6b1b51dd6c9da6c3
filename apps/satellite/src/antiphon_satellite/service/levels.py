"""How loud the microphone hears, some times a second, for displays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from antiphon_audio import SILENCE_DBFS
from antiphon_contracts import AudioLevel

from antiphon_satellite.service.frames import FRAME_SAMPLES, RATE_HZ
from antiphon_satellite.service.ports import Samples

OCTAVES_HZ = (125, 250, 500, 1_000, 2_000, 4_000, 8_000)
FULL_SCALE = 32_768.0


class LevelMeter:
    """A `FrameFilter` that changes nothing and reports the level.

    Args:
        level_hz: reports a second of sound; no more than there are frames.
        report: takes a report.
    """

    def __init__(self, level_hz: float, report: Callable[[AudioLevel], None]) -> None:
        self._every = max(1, round(RATE_HZ / FRAME_SAMPLES / level_hz))
        self._report = report
        self._frames: list[Samples] = []

    def frame(self, samples: Samples) -> Samples:
        """See `FrameFilter`."""
        self._frames.append(samples)
        if len(self._frames) >= self._every:
            frames, self._frames = self._frames, []
            self._report(level_of(np.concatenate(frames)))
        return samples


def level_of(samples: Samples) -> AudioLevel:
    """Return the level of sound at 16 kHz; the bands' powers add up to the whole above 125 Hz."""
    heard = samples / np.float32(FULL_SCALE)
    window = np.hanning(len(heard)).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(heard * window)), dtype=np.float64)
    # Parseval: twice the one-sided spectrum, over the window's own power.
    power *= 2 / (len(heard) * float(np.sum(np.square(window))) or 1.0)
    edges = np.array(OCTAVES_HZ) * len(heard) // RATE_HZ
    bands = [float(power[low:high].sum()) for low, high in itertools.pairwise(edges)]
    return AudioLevel(
        rms_dbfs=_dbfs(float(np.mean(np.square(heard, dtype=np.float64)))),
        peak_dbfs=_dbfs(float(np.max(np.abs(heard), initial=0.0)) ** 2),
        bands_dbfs=tuple(map(_dbfs, bands)),
    )


def _dbfs(power: float) -> float:
    return round(max(SILENCE_DBFS, 10 * math.log10(power)), 1) if power > 0 else SILENCE_DBFS
