"""How much fits into a context window."""

from __future__ import annotations

from dataclasses import replace

from antiphon_contracts import EngineError

from antiphon_llm.service.question import Question

BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 8  # what a chat template adds around a message, roughly


def tokens_of(text: str) -> int:
    """Return roughly how many tokens a text has: UTF-8 bytes / 4, a rule of thumb for English."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def fitted(question: Question, budget_tokens: int) -> Question:
    """Return the question with as much of its notes and history as fits into the budget.

    What was said earlier goes first, then the oldest history, then the least fitting notes. The
    question itself is never cut.

    Raises:
        EngineError: the question alone does not fit.
    """
    left = budget_tokens - tokens_of(question.text) - MESSAGE_TOKENS
    if left < 0:
        msg = "That was too long for the language model. Say it in fewer words."
        raise EngineError(msg)
    notes = []
    for note in question.notes:
        source = note.source if note.kind == "document" else ""
        left -= tokens_of(note.text) + tokens_of(source) + 2
        if left < 0:
            break
        notes.append(note)
    history = []
    for message in reversed(question.history if left > 0 else ()):
        left -= tokens_of(message.text) + MESSAGE_TOKENS
        if left < 0:
            break
        history.append(message)
    earlier = question.earlier if tokens_of(question.earlier) + MESSAGE_TOKENS <= left else ""
    return replace(question, notes=tuple(notes), history=tuple(reversed(history)), earlier=earlier)
