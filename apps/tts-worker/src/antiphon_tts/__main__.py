"""`python -m antiphon_tts`: the TTS worker."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_tts.settings import TtsSettings
from antiphon_tts.wiring import build

if __name__ == "__main__":
    run("tts", TtsSettings, build)
