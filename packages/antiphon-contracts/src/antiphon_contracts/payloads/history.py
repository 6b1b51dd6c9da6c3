"""Payloads of conversation history."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several


class HistoryAppend(Payload):
    """What was said, and what was really spoken in answer.

    Attributes:
        session_id: the conversation; None is the envelope's site.
        role: who said it.
        text: the words.
        interrupted: whether the speaker was cut short.
    """

    role: Literal["user", "assistant"]
    text: str = Field(min_length=1, max_length=100_000)
    session_id: str | None = None
    interrupted: bool = False


class HistoryDone(Payload):
    """The row was stored.

    Attributes:
        error: one sentence for people; None is success.
    """

    error: str | None = None


class HistoryQuery(Payload):
    """Asks for a conversation's newest turns, within a budget.

    Attributes:
        session_id: the conversation; None is the envelope's site.
        max_tokens: budget of all messages together.
        max_age_s: nothing older than this, in seconds; None is no limit.
    """

    session_id: str | None = None
    max_tokens: int = Field(default=1000, ge=1)
    max_age_s: float | None = Field(default=None, gt=0)


class HistoryMessage(Payload):
    """One thing that was said.

    Attributes:
        role: who said it.
        text: the words.
        ts: when, in seconds since the epoch.
        interrupted: whether the speaker was cut short.
    """

    role: Literal["user", "assistant"]
    text: str
    ts: float = 0.0
    interrupted: bool = False


class HistoryResults(Payload):
    """A conversation's newest messages, oldest first.

    Attributes:
        messages: what was said.
        error: one sentence for people; None is success.
    """

    messages: Several[HistoryMessage] = ()
    error: str | None = None
