"""Replies of a language model: prompts, context, tools, streaming, cancelling."""

from __future__ import annotations

from antiphon_llm.service.context import ContextSource
from antiphon_llm.service.guarded import GuardedModel
from antiphon_llm.service.model import (
    ChatMessage,
    ChatModel,
    Delta,
    Prompt,
    RequestedCall,
    ToolsUnsupported,
)
from antiphon_llm.service.profiles import Profile, Sampling, SmallProfile, StandardProfile
from antiphon_llm.service.replies import Brain, Replies
from antiphon_llm.service.rounds import RoundRules
from antiphon_llm.service.summaries import Summaries
from antiphon_llm.service.tools import ToolBelt

__all__ = [
    "Brain",
    "ChatMessage",
    "ChatModel",
    "ContextSource",
    "Delta",
    "GuardedModel",
    "Profile",
    "Prompt",
    "Replies",
    "RequestedCall",
    "RoundRules",
    "Sampling",
    "SmallProfile",
    "StandardProfile",
    "Summaries",
    "ToolBelt",
    "ToolsUnsupported",
]
