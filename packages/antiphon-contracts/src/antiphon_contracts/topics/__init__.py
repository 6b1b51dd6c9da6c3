"""Every topic of the house. No topic string stands anywhere else."""

from __future__ import annotations

from antiphon_contracts.payloads.house import Refusal
from antiphon_contracts.topic import RawTopic
from antiphon_contracts.topics.house import (
    ANNOUNCE,
    ANNOUNCED,
    ANSWER,
    ASK,
    ASK_SITE,
    ASK_USER,
    CONTROL,
    DEAD,
    DEAD_RETRY,
    DIALOGUE_CONTROL,
    DIALOGUE_STATE,
    HEALTH,
    SAY,
    SAY_SITE,
    USER_ANSWER,
)
from antiphon_contracts.topics.remembering import (
    HISTORY_APPEND,
    HISTORY_DONE,
    HISTORY_QUERY,
    HISTORY_RESULTS,
    MEMORY_DONE,
    MEMORY_FORGET,
    MEMORY_INGEST,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    MEMORY_RESULTS,
)
from antiphon_contracts.topics.sound import (
    AUDIO_IN,
    AUDIO_LEVEL,
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    SITE_STATUS,
    STT_CONTROL,
    STT_FINAL,
    STT_PARTIAL,
    TTS_CANCEL,
    TTS_PREPARE,
    TTS_SAY,
    TTS_STATUS,
    WAKE_CONTROL,
    WAKE_EVENT,
)
from antiphon_contracts.topics.thinking import (
    LLM_CANCEL,
    LLM_REQUEST,
    LLM_RESPONSE,
    LLM_STREAM,
    TOOLS_CALL,
    TOOLS_REGISTRY,
    TOOLS_RESULT,
)

REFUSAL_TYPE = "error/1"
"""Type of the envelope that carries a `Refusal` on any reply topic."""
REFUSAL_MODEL = Refusal

__all__ = [
    "ANNOUNCE",
    "ANNOUNCED",
    "ANSWER",
    "ASK",
    "ASK_SITE",
    "ASK_USER",
    "AUDIO_IN",
    "AUDIO_LEVEL",
    "AUDIO_OUT",
    "AUDIO_UTTERANCE",
    "CAPTURE_CONTROL",
    "CAPTURE_STATUS",
    "CONTROL",
    "DEAD",
    "DEAD_RETRY",
    "DIALOGUE_CONTROL",
    "DIALOGUE_STATE",
    "HEALTH",
    "HISTORY_APPEND",
    "HISTORY_DONE",
    "HISTORY_QUERY",
    "HISTORY_RESULTS",
    "LLM_CANCEL",
    "LLM_REQUEST",
    "LLM_RESPONSE",
    "LLM_STREAM",
    "MEMORY_DONE",
    "MEMORY_FORGET",
    "MEMORY_INGEST",
    "MEMORY_QUERY",
    "MEMORY_REMEMBER",
    "MEMORY_RESULTS",
    "PLAYBACK_CONTROL",
    "PLAYBACK_STATUS",
    "REFUSAL_MODEL",
    "REFUSAL_TYPE",
    "SAY",
    "SAY_SITE",
    "SITE_STATUS",
    "STT_CONTROL",
    "STT_FINAL",
    "STT_PARTIAL",
    "TOOLS_CALL",
    "TOOLS_REGISTRY",
    "TOOLS_RESULT",
    "TTS_CANCEL",
    "TTS_PREPARE",
    "TTS_SAY",
    "TTS_STATUS",
    "USER_ANSWER",
    "WAKE_CONTROL",
    "WAKE_EVENT",
    "all_topics",
]


def all_topics() -> dict[str, RawTopic]:
    """Return every topic of the contract, by its Python name."""
    return {name: value for name, value in globals().items() if isinstance(value, RawTopic)}
