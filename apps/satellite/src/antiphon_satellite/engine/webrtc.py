"""Echo cancellation by WebRTC's AEC3, from `pywebrtc-audio` (Apache-2.0)."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from antiphon_contracts import ConfigError
from antiphon_runtime.extras import install_command

from antiphon_satellite.service import Samples

RATE_HZ = 16_000
DELAY_SAMPLES = 128
"""Measured: what comes out of AEC3 at 16 kHz is 8 ms later than what goes in."""


class _Aec3(Protocol):
    def process(self, near: Samples, far: Samples) -> Samples: ...


class WebRtcEchoCanceller:
    """AEC3, as browsers use it. It finds the echo's delay by itself, up to about half a second.

    Raises:
        ConfigError: the library is not installed; the text says what to install.
    """

    delay = DELAY_SAMPLES

    def __init__(self) -> None:
        try:
            from pywebrtc_audio import EchoCanceller
        except ImportError as error:
            msg = f"Echo cancellation needs pywebrtc-audio: {install_command('aec')}"
            raise ConfigError(msg) from error
        self._aec3 = cast("_Aec3", EchoCanceller(sample_rate=RATE_HZ))

    def process(self, microphone: Samples, reference: Samples) -> Samples:
        """See the port."""
        near, far = np.ascontiguousarray(microphone), np.ascontiguousarray(reference)
        return self._aec3.process(near, far)
