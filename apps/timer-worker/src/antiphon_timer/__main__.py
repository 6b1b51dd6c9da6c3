"""`python -m antiphon_timer`: the timer worker."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_timer.settings import TimerSettings
from antiphon_timer.wiring import build

if __name__ == "__main__":
    run("timer", TimerSettings, build)
