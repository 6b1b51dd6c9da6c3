"""Change of sample rate by libsoxr (HQ preset: 20-bit precision, linear phase)."""

from __future__ import annotations

from typing import cast

import numpy as np
import soxr
from antiphon_contracts.errors import ContractError
from numpy.typing import NDArray

from antiphon_audio.pcm import Pcm


def resample(pcm: Pcm, rate_hz: int) -> Pcm:
    """The same sound at another rate; `pcm` itself when the rate is right already.

    Raises:
        ContractError: the rate is not positive.
    """
    if rate_hz == pcm.rate_hz:
        return pcm
    _require_positive(rate_hz)
    return Pcm(cast("NDArray[np.int16]", soxr.resample(pcm.samples, pcm.rate_hz, rate_hz)), rate_hz)


class Resampler:
    """Sound that arrives in pieces, brought to another rate without seams.

    It holds back some milliseconds of sound until more comes or `finish` is called.

    Raises:
        ContractError: a rate is not positive.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        _require_positive(from_hz)
        _require_positive(to_hz)
        self.from_hz = from_hz
        self.to_hz = to_hz
        # soxr holds a buffer even for equal rates, so those pass by it.
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16")
        )

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take a piece, shape (n,); return what is ready, shape (m,), m may be 0."""
        if self._stream is None:
            return samples
        return cast("NDArray[np.int16]", self._stream.resample_chunk(samples))

    def finish(self) -> NDArray[np.int16]:
        """What was held back. Begin a new sound with a new Resampler."""
        rest = np.zeros(0, dtype=np.int16)
        if self._stream is None:
            return rest
        return cast("NDArray[np.int16]", self._stream.resample_chunk(rest, last=True))


def _require_positive(rate_hz: int) -> None:
    if rate_hz <= 0:
        raise ContractError(f"A sample rate of {rate_hz} Hz is not positive.")
