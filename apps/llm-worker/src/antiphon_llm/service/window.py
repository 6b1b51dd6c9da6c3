"""A prompt cut to a context window, with calls of tools and their results kept together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from antiphon_llm.service.budget import BYTES_PER_TOKEN, MESSAGE_TOKENS, tokens_of
from antiphon_llm.service.model import ChatMessage
from antiphon_llm.service.shortening import cut_text

LEAST_RESULT_TOKENS = 40
CUT_CHARS = 60


def size_of(messages: Iterable[ChatMessage]) -> int:
    """Return roughly how many tokens messages have, calls included."""
    return sum(
        tokens_of(message.content)
        + MESSAGE_TOKENS
        + sum(tokens_of(call.name + call.arguments) + MESSAGE_TOKENS for call in message.calls)
        for message in messages
    )


def within(
    messages: Sequence[ChatMessage], budget_tokens: int, *, kept_first: int = 1
) -> tuple[ChatMessage, ...]:
    """Return messages of at most `budget_tokens`, as far as what must stay allows it.

    The oldest go first. What begins the prompt, the last question and the last call with its
    results stay; a message that calls tools and their results stay or go together. If that is still
    too much, the results that stay are cut, the longest first.

    Args:
        messages: in order; results without their call are dropped.
        budget_tokens: see above.
        kept_first: so many messages begin every prompt.
    """
    groups = _grouped(messages)
    kept = _must_stay(groups, kept_first)
    left = budget_tokens - sum(size_of(group) for at, group in enumerate(groups) if at in kept)
    is_open = True
    for at in range(len(groups) - 1, -1, -1):
        if at in kept:
            continue
        left -= size_of(groups[at])
        # Nothing older stays than what was left out: a conversation has no holes.
        is_open = is_open and left >= 0
        if is_open:
            kept.add(at)
    chosen = [message for at, group in enumerate(groups) if at in kept for message in group]
    return _with_short_results(chosen, budget_tokens)


def _grouped(messages: Sequence[ChatMessage]) -> list[list[ChatMessage]]:
    groups: list[list[ChatMessage]] = []
    open_ids: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.call_id in open_ids:
                open_ids.discard(message.call_id or "")
                groups[-1].append(message)
            continue
        if open_ids:
            groups.pop()  # a call of which results are missing
        open_ids = {call.id for call in message.calls}
        groups.append([message])
    if open_ids:
        groups.pop()
    return groups


def _must_stay(groups: Sequence[Sequence[ChatMessage]], kept_first: int) -> set[int]:
    kept = set(range(min(kept_first, len(groups))))
    asked = [at for at, group in enumerate(groups) if group[0].role == "user"]
    called = [at for at, group in enumerate(groups) if group[0].calls]
    kept.update(asked[-1:])
    kept.update(called[-1:])
    return kept


def _with_short_results(
    messages: Sequence[ChatMessage], budget_tokens: int
) -> tuple[ChatMessage, ...]:
    result = list(messages)
    places = [at for at, message in enumerate(result) if message.role == "tool"]
    for at in sorted(places, key=lambda at: -len(result[at].content)):
        excess = size_of(result) - budget_tokens
        if excess <= 0:
            break
        size = tokens_of(result[at].content)
        room = max(LEAST_RESULT_TOKENS, size - excess)
        if room < size:
            result[at] = replace(result[at], content=_cut(result[at].content, room))
    return tuple(result)


def _cut(text: str, tokens: int) -> str:
    limit = tokens * BYTES_PER_TOKEN
    cut = cut_text(text, limit)
    while len(cut.encode()) > limit and len(cut) > CUT_CHARS:  # not every character is one byte
        cut = cut_text(text, max(CUT_CHARS, len(cut) * limit // len(cut.encode()) - 1))
    return cut
