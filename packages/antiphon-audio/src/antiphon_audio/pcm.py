"""Mono 16-bit sound: the one shape in which Antiphon's parts hand each other audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from antiphon_contracts.errors import ContractError
from numpy.typing import NDArray

_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True, eq=False)
class Pcm:
    """Mono linear sound.

    Attributes:
        samples: int16, shape (n,). May be a read-only view of received bytes; do not write to it.
        rate_hz: samples per second.

    Raises:
        ContractError: the samples are not one-dimensional int16 or the rate is not positive.
    """

    samples: NDArray[np.int16]
    rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.dtype != np.int16 or self.samples.ndim != 1:
            raise ContractError(
                "Pcm holds one row of int16 samples; convert with Pcm.from_float32 or decode()."
            )
        if self.rate_hz <= 0:
            raise ContractError(f"A sample rate of {self.rate_hz} Hz is not positive.")

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pcm):
            return NotImplemented
        return self.rate_hz == other.rate_hz and np.array_equal(self.samples, other.samples)

    # Arrays are compared by value, and values that may change have no hash.
    __hash__ = None  # type: ignore[assignment]

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return 1000.0 * len(self.samples) / self.rate_hz

    def to_float32(self) -> NDArray[np.float32]:
        """The samples as float32 in [-1, 1), shape (n,); a fresh array."""
        return self.samples.astype(np.float32) / np.float32(_FULL_SCALE)

    @classmethod
    def from_float32(cls, samples: NDArray[np.floating], rate_hz: int) -> Pcm:
        """Sound from floats of shape (n,) where 1.0 is full scale.

        Louder values are clipped and NaN becomes silence. The way to floats and back is exact.
        """
        scaled = np.rint(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * _FULL_SCALE)
        return cls(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16), rate_hz)

    @classmethod
    def silence(cls, duration_ms: float, rate_hz: int) -> Pcm:
        """Zeros of the given length."""
        return cls(np.zeros(round(duration_ms * rate_hz / 1000.0), dtype=np.int16), rate_hz)
