"""The satellite: one site's speaker and microphone; the only part that opens an audio device."""

from __future__ import annotations

from antiphon_satellite.settings import SatelliteSettings
from antiphon_satellite.wiring import build

__all__ = ["SatelliteSettings", "build"]
