"""Passages of documents: how they are named, and how neighbours become one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from antiphon_memory.ranking import estimate_tokens
from antiphon_memory.searching import Passage
from antiphon_memory.service import Candidate

MIN_OVERLAP_WORDS, MAX_OVERLAP_WORDS = 2, 200

_WORD = re.compile(r"\S+")

Place = tuple[str, int]
"""A document's id and a piece's number in it."""


def citation(title: str, heading: Sequence[str], page: int | None) -> str:
    """Return how people name a place in a document: `Our garage, page 3`."""
    if page is not None:
        return f"{title}, page {page}"
    last = heading[-1] if heading else ""
    return f"{title}, {last}" if last and last.casefold() != title.casefold() else title


def joined(first: str, second: str) -> str:
    """Return two neighbouring texts as one; what ends the first and begins the second stands once.

    Words are compared, not the white space between them.
    """
    before, after = _WORD.findall(first), list(_WORD.finditer(second))
    words = [match[0] for match in after]
    most = min(len(before), len(words), MAX_OVERLAP_WORDS)
    for count in range(most, MIN_OVERLAP_WORDS - 1, -1):
        if before[-count:] == words[:count]:
            rest = second[after[count].start() :] if count < len(after) else ""
            return f"{first.rstrip()} {rest}".rstrip()
    return f"{first.rstrip()}\n\n{second.lstrip()}"


def places_around(found: Sequence[Candidate], context: int) -> set[Place]:
    """Return the places of the neighbours that may be wanted."""
    return {
        (passage.document_id, ordinal)
        for passage in _passages(found)
        for ordinal in range(passage.ordinal - context, passage.ordinal + context + 1)
        if ordinal >= 0
    }


def widen(
    found: Sequence[Candidate],
    texts: Mapping[Place, str],
    *,
    context: int,
    max_tokens: int | None,
) -> list[Candidate]:
    """Return what was found, each passage with its neighbours, as far as the budget goes.

    The passages themselves come first; then the best one gets its neighbours, those after it before
    those before it, then the next one. Passages that touch become one, at the better one's rank.

    Args:
        found: best first; within the budget.
        texts: what stands at the places around them.
        context: how many neighbours on each side.
        max_tokens: budget of all together; None is no budget.
    """
    taken: dict[Place, str] = {(p.document_id, p.ordinal): p.text for p in _passages(found)}
    used = sum(estimate_tokens(one.memory.text) for one in found)
    for passage in _passages(found):
        for step in [*range(1, context + 1), *range(-1, -context - 1, -1)]:
            place = (passage.document_id, passage.ordinal + step)
            beside = (passage.document_id, place[1] - (1 if step > 0 else -1))
            text = texts.get(place)
            if text is None or place in taken or beside not in taken:
                continue
            need = estimate_tokens(text)
            if max_tokens is None or used + need <= max_tokens:
                taken[place] = text
                used += need
    return _together(found, taken)


def _together(found: Sequence[Candidate], taken: Mapping[Place, str]) -> list[Candidate]:
    kept: list[Candidate] = []
    told: set[Place] = set()
    for one in found:
        passage = one.memory
        if not isinstance(passage, Passage):
            kept.append(one)
            continue
        if (passage.document_id, passage.ordinal) in told:
            continue
        run = _run(passage, taken)
        told.update((passage.document_id, ordinal) for ordinal in run)
        text = taken[passage.document_id, run[0]]
        for ordinal in run[1:]:
            text = joined(text, taken[passage.document_id, ordinal])
        kept.append(Candidate(replace(passage, text=text), one.cosine))
    return kept


def _run(passage: Passage, taken: Mapping[Place, str]) -> range:
    """Return the ordinals without a gap around a passage."""
    first = last = passage.ordinal
    while (passage.document_id, first - 1) in taken:
        first -= 1
    while (passage.document_id, last + 1) in taken:
        last += 1
    return range(first, last + 1)


def _passages(found: Sequence[Candidate]) -> list[Passage]:
    return [one.memory for one in found if isinstance(one.memory, Passage)]
