"""How it sounds: a chime for each kind, computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from antiphon_audio import Pcm, wav
from antiphon_contracts import TimerKind

RATE_HZ = 16_000
CHUNK_S = 0.2
_ATTACK_S = 0.008


@dataclass(frozen=True, slots=True)
class Tone:
    """One stroke.

    Attributes:
        hz: its pitch.
        begin_s: when in the chime it is struck.
        fade_s: after which time it is down to a third.
    """

    hz: float
    begin_s: float
    fade_s: float


_PATTERNS: dict[TimerKind, tuple[Tone, ...]] = {
    # Two quick triplets, high: something is ready.
    "timer": tuple(
        Tone(hz, begin_s, 0.09)
        for group_s in (0.0, 0.75)
        for hz, begin_s in ((988, group_s), (988, group_s + 0.17), (1319, group_s + 0.34))
    ),
    # A slow arpeggio upwards, twice: to wake up to.
    "alarm": tuple(
        Tone(hz, group_s + number * 0.22, 0.35)
        for group_s in (0.0, 1.1)
        for number, hz in enumerate((523, 659, 784, 1047))
    ),
    # A single bell of two tones.
    "reminder": (Tone(784, 0.0, 0.4), Tone(1175, 0.16, 0.5)),
}
_LENGTHS_S: dict[TimerKind, float] = {"timer": 1.5, "alarm": 2.4, "reminder": 1.2}
_OVERTONES = ((1.0, 1.0), (2.0, 0.3), (3.0, 0.12))


def tune() -> None:
    """Compute all chimes, which takes some milliseconds."""
    for kind in _PATTERNS:
        _sound(kind)


def length_s(kind: TimerKind) -> float:
    """Return how long a chime is, in seconds."""
    return _LENGTHS_S[kind]


def chime(kind: TimerKind, loudness: float) -> list[bytes]:
    """Return a chime as frames of `audio/<site>/out/<utterance>`.

    Args:
        kind: whose.
        loudness: 0 to 1, where 1 is the loudest that does not clip.
    """
    samples = np.rint(_sound(kind) * (loudness * 32_767)).astype(np.int16)
    step = round(CHUNK_S * RATE_HZ)
    parts = (samples[start : start + step] for start in range(0, len(samples), step))
    return [wav.wrap(Pcm(part, RATE_HZ)) for part in parts]


@lru_cache(maxsize=len(_PATTERNS))
def _sound(kind: TimerKind) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a chime of full loudness, -1 to 1."""
    count = round(_LENGTHS_S[kind] * RATE_HZ)
    made = np.zeros(count)
    for tone in _PATTERNS[kind]:
        begin = round(tone.begin_s * RATE_HZ)
        times = np.arange(count - begin) / RATE_HZ
        swell = np.minimum(1.0, times / _ATTACK_S) * np.exp(-times / tone.fade_s)
        for multiple, share in _OVERTONES:
            made[begin:] += share * swell * np.sin(2 * np.pi * tone.hz * multiple * times)
    made *= np.minimum(1.0, np.arange(count, 0, -1) / (0.05 * RATE_HZ))  # ends without a click
    whole: np.ndarray[tuple[int], np.dtype[np.float64]] = made / np.max(np.abs(made))
    return whole
