"""The TTS worker: speech from text, in order, cancellable; it opens no audio device."""

from __future__ import annotations

from antiphon_tts.service import Speech, SpeechLimits
from antiphon_tts.settings import TtsSettings
from antiphon_tts.voice import Synthesizer, Voice

__all__ = ["Speech", "SpeechLimits", "Synthesizer", "TtsSettings", "Voice"]
