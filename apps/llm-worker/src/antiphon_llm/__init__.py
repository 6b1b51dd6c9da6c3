"""The LLM worker: replies from any OpenAI-compatible server, or from llama.cpp in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_runtime.late_imports import late_imports

if TYPE_CHECKING:
    from antiphon_llm.service import Brain, ChatMessage, ChatModel, Delta, Prompt, RequestedCall
    from antiphon_llm.settings import LlmSettings
    from antiphon_llm.wiring import build
else:
    __getattr__ = late_imports(
        __name__,
        Brain="service",
        ChatMessage="service",
        ChatModel="service",
        Delta="service",
        Prompt="service",
        RequestedCall="service",
        LlmSettings="settings",
        build="wiring",
    )

__all__ = [
    "Brain",
    "ChatMessage",
    "ChatModel",
    "Delta",
    "LlmSettings",
    "Prompt",
    "RequestedCall",
    "build",
]
