"""The satellite: one site's speaker and microphone; the only part that opens an audio device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_runtime.late_imports import late_imports

if TYPE_CHECKING:
    from antiphon_satellite.settings import SatelliteSettings
    from antiphon_satellite.wiring import build
else:
    __getattr__ = late_imports(
        __name__,
        SatelliteSettings="settings",
        build="wiring",
    )

__all__ = ["SatelliteSettings", "build"]
