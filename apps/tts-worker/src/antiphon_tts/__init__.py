"""The TTS worker: speech from text, in order, cancellable; it opens no audio device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_runtime.late_imports import late_imports

if TYPE_CHECKING:
    from antiphon_tts.service import Speech, SpeechLimits
    from antiphon_tts.settings import TtsSettings
    from antiphon_tts.voice import Synthesizer, Voice
else:
    __getattr__ = late_imports(
        __name__,
        Speech="service",
        SpeechLimits="service",
        Synthesizer="voice",
        Voice="voice",
        TtsSettings="settings",
    )

__all__ = ["Speech", "SpeechLimits", "Synthesizer", "TtsSettings", "Voice"]
