"""The TTS worker: speech from text, in order, cancellable; it opens no audio device."""

from __future__ import annotations

from antiphon_tts.service import Speech, SpeechLimits, Synthesizer, Voice
from antiphon_tts.settings import TtsSettings

__all__ = ["Speech", "SpeechLimits", "Synthesizer", "TtsSettings", "Voice"]
