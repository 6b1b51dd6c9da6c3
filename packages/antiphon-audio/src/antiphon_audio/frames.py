"""Cutting sound into frames, and how loud it is."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from antiphon_contracts.errors import ContractError

from antiphon_audio.pcm import Pcm

SILENCE_DBFS = -120.0
"""The level reported for digital silence, so that it stays a number in JSON."""


def split(pcm: Pcm, frame_ms: int = 80) -> Iterator[Pcm]:
    """The sound in frames of `frame_ms`, as views without a copy; the last may be shorter.

    Raises:
        ContractError: a frame would be shorter than one sample.
    """
    frame_samples = pcm.rate_hz * frame_ms // 1000
    if frame_samples < 1:
        raise ContractError(f"A frame of {frame_ms} ms at {pcm.rate_hz} Hz holds no sample.")
    for start in range(0, len(pcm.samples), frame_samples):
        yield Pcm(pcm.samples[start : start + frame_samples], pcm.rate_hz)


def level_dbfs(pcm: Pcm) -> float:
    """Root mean square level; 0 dB is a square wave at full scale, -120 is silence or no sound."""
    if not len(pcm.samples):
        return SILENCE_DBFS
    rms = math.sqrt(float(np.mean(np.square(pcm.to_float32(), dtype=np.float64))))
    return max(SILENCE_DBFS, 20.0 * math.log10(rms)) if rms else SILENCE_DBFS
