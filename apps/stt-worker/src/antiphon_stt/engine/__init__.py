"""The engines that come with Antiphon: factories of the group `antiphon.transcribers`."""

from __future__ import annotations

from antiphon_models import ModelStore

from antiphon_stt.engine.speech_server import SpeechServer
from antiphon_stt.engine.whisper import FasterWhisper
from antiphon_stt.settings import SttSettings

__all__ = ["FasterWhisper", "SpeechServer", "faster_whisper", "openai"]


def faster_whisper(settings: SttSettings, models: ModelStore) -> FasterWhisper:
    """Whisper on this machine."""
    return FasterWhisper(
        models,
        settings.model,
        language=settings.language or None,
        compute_type=settings.compute_type,
        beam_size=settings.beam_size,
        threads=settings.threads,
    )


def openai(settings: SttSettings, models: ModelStore) -> SpeechServer:  # noqa: ARG001  (the group's signature)
    """Any server with OpenAI's `/audio/transcriptions`."""
    return SpeechServer(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        model=settings.openai_model,
        is_verbose=settings.openai_format == "verbose_json",
        timeout_s=settings.openai_timeout_s,
    )
