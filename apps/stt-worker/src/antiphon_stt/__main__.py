"""The speech-to-text worker as a process: python -m antiphon_stt."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_stt.settings import SttSettings
from antiphon_stt.wiring import build

if __name__ == "__main__":
    run("stt", SttSettings, build)
