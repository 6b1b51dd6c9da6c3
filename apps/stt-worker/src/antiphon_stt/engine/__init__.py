"""The engines that come with Antiphon.

Factories of the groups `antiphon.transcribers` and `antiphon.turn_detectors`.
"""

from __future__ import annotations

import os

from antiphon_models import ModelStore

from antiphon_stt.engine.smart_turn import SmartTurn
from antiphon_stt.engine.speech_server import SpeechServer
from antiphon_stt.engine.whisper import FasterWhisper
from antiphon_stt.settings import SttSettings
from antiphon_stt.turn_detector import AdaptiveSilence, Patience

__all__ = [
    "FasterWhisper",
    "SmartTurn",
    "SpeechServer",
    "adaptive",
    "faster_whisper",
    "openai",
    "smart_turn",
]


def faster_whisper(settings: SttSettings, models: ModelStore) -> FasterWhisper:
    """Whisper on this machine."""
    return FasterWhisper(
        models,
        settings.model,
        language=settings.language or None,
        compute_type=settings.compute_type,
        beam_size=settings.beam_size,
        threads=settings.threads or half_of_the_cores(len(os.sched_getaffinity(0))),
    )


def half_of_the_cores(cores: int) -> int:
    """Return how many threads recognition takes on a machine with so many cores: 1 to 4.

    tiny.en's encoder takes 0.67 times as long with two threads as with one where two cores are
    free, and 1.1 times where one is busy (libgomp does not spin); the other half is for whoever
    answers meanwhile.
    """
    return min(4, max(1, cores // 2))


def openai(settings: SttSettings, models: ModelStore) -> SpeechServer:  # noqa: ARG001  (the group's signature)
    """Any server with OpenAI's `/audio/transcriptions`."""
    return SpeechServer(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        model=settings.openai_model,
        is_verbose=settings.openai_format == "verbose_json",
        timeout_s=settings.openai_timeout_s,
    )


def adaptive(settings: SttSettings, models: ModelStore) -> AdaptiveSilence:  # noqa: ARG001  (the group's signature)
    """Whether a turn is done, by its words."""
    return AdaptiveSilence(patience_of(settings))


def smart_turn(settings: SttSettings, models: ModelStore) -> SmartTurn:
    """Whether a turn is done, by its sound and words."""
    return SmartTurn(models, patience_of(settings))


def patience_of(settings: SttSettings) -> Patience:
    """Return how long the settings want to wait in silence."""
    shortest, longest = settings.min_silence_ms, settings.max_silence_ms
    return Patience(min(shortest, longest), max(shortest, round(0.67 * longest)), longest)
