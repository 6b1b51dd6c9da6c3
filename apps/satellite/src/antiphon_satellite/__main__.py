"""`python -m antiphon_satellite`."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_satellite.settings import SatelliteSettings
from antiphon_satellite.wiring import build

if __name__ == "__main__":
    run("satellite", SatelliteSettings, build)
