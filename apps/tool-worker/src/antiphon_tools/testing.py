"""Fakes of what stands between a call and its tool."""

from __future__ import annotations

from collections.abc import Callable

from antiphon_contracts import Message, ToolCall, ToolSpec

from antiphon_tools.call_log import CallLog
from antiphon_tools.gate import Gate
from antiphon_tools.journal import CallJournal
from antiphon_tools.policy import Rules
from antiphon_tools.service import Guard
from antiphon_tools.taint import Taints


class ReadyConsent:
    """A `Consent` that answers at once.

    Args:
        answer: what it answers: None is yes, a sentence is why not.

    Attributes:
        asked: the tools that it was asked about.
    """

    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def ask(self, spec: ToolSpec, call: Message[ToolCall], left_s: float) -> str | None:  # noqa: ARG002  (the port's)
        """See the port."""
        self.asked.append(spec.name)
        return self.answer


def open_guard(
    journal: CallJournal,
    *,
    rules: Callable[[], Rules] = Rules,
    consent: ReadyConsent | None = None,
) -> Guard:
    """Return a guard that lets everything through but what the rules say."""
    return Guard(
        rules=rules,
        consent=consent or ReadyConsent(),
        taints=Taints(),
        gate=Gate(8, 8, lambda _source: 8),
        journal=journal,
        calls=CallLog(),
    )
