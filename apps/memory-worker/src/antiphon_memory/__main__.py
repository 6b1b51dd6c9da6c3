"""The memory worker as a process: python -m antiphon_memory."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_memory.settings import MemorySettings
from antiphon_memory.wiring import build

if __name__ == "__main__":
    run("memory", MemorySettings, build)
