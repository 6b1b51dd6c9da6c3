"""`python -m antiphon_wake`: the wake worker."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_wake.settings import WakeSettings
from antiphon_wake.wiring import build

if __name__ == "__main__":
    run("wake", WakeSettings, build)
