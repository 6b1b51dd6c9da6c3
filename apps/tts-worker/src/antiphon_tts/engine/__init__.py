"""Engines that speak, each behind the port `Synthesizer`; found by entry points."""

from __future__ import annotations

from antiphon_tts.engine.espeak_voice import espeak_ng
from antiphon_tts.engine.openai_voice import openai
from antiphon_tts.engine.piper_voice import piper

__all__ = ["espeak_ng", "openai", "piper"]
