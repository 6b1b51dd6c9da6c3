"""The LLM worker: replies from any OpenAI-compatible server, or from llama.cpp in this process."""

from __future__ import annotations

from antiphon_llm.service import Brain, ChatMessage, ChatModel, Delta, Prompt, RequestedCall
from antiphon_llm.settings import LlmSettings
from antiphon_llm.wiring import build

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
