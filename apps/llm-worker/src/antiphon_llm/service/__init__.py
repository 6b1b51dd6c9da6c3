"""Replies of a language model: prompts, context, tools, streaming, cancelling."""

from __future__ import annotations

from antiphon_llm.service.calling import CallRules
from antiphon_llm.service.chain import Brain, Chain, tool_mode_for
from antiphon_llm.service.context import ContextSource
from antiphon_llm.service.filters import ThoughtHabit
from antiphon_llm.service.guarded import GuardedModel, Pace
from antiphon_llm.service.model import (
    ChatMessage,
    ChatModel,
    Declined,
    Delta,
    Prompt,
    RequestedCall,
    ToolsUnsupported,
)
from antiphon_llm.service.persona import NOBODY, PersonaCard
from antiphon_llm.service.profiles import Profile, Sampling, SmallProfile, StandardProfile
from antiphon_llm.service.replies import Replies
from antiphon_llm.service.summaries import Summaries
from antiphon_llm.service.tools import ToolBelt
from antiphon_llm.service.warmth import Warmth

__all__ = [
    "NOBODY",
    "Brain",
    "CallRules",
    "Chain",
    "ChatMessage",
    "ChatModel",
    "ContextSource",
    "Declined",
    "Delta",
    "GuardedModel",
    "Pace",
    "PersonaCard",
    "Profile",
    "Prompt",
    "Replies",
    "RequestedCall",
    "Sampling",
    "SmallProfile",
    "StandardProfile",
    "Summaries",
    "ThoughtHabit",
    "ToolBelt",
    "ToolsUnsupported",
    "Warmth",
    "tool_mode_for",
]
