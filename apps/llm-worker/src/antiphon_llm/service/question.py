"""What a person asked, with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from antiphon_contracts import HistoryMessage, LlmParams, MemoryResult


@dataclass(frozen=True, slots=True)
class Question:
    """Everything from which a profile makes its prompt.

    Attributes:
        text: what the person said.
        notes: memories, best first.
        history: the conversation so far, oldest first.
        earlier: what was said before that, in short.
        system: system prompt instead of the profile's.
        now: local time, with its zone.
        params: sampling parameters that the request asks for.
    """

    text: str
    now: datetime
    notes: tuple[MemoryResult, ...] = ()
    history: tuple[HistoryMessage, ...] = ()
    earlier: str = ""
    system: str | None = None
    params: LlmParams = field(default_factory=LlmParams)
