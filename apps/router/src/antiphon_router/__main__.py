"""`python -m antiphon_router`."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_router.settings import RouterSettings
from antiphon_router.wiring import build

if __name__ == "__main__":
    run("router", RouterSettings, build)
