"""Putting found memories in order, leaving out noise, and cutting to a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

RRF_K = 60
"""Constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

WORDS_WEIGHT = 0.15
"""What shared words are worth at the most, as a part of what lies between the nearest and the 50th.

Chosen with all-MiniLM-L6-v2 on the dev halves of `benchmarks/memory_questions.py`; 0.1 to 0.2 are
as good. A part of that range, because the cosines of some models all lie close together.
"""

WORDS_K = 10
WORDS_DEPTH = 10
"""Shared words count for the first so many by words, from 1 down to about a half; for more it is no
better."""

RANGE_DEPTH = 50

DAY_S = 86_400.0

CHARS_PER_TOKEN = 4
"""English text in the usual BPE vocabularies, as a rule of thumb."""


@dataclass(frozen=True, slots=True)
class Floors:
    """Cosines from which on a memory counts.

    The defaults were measured with all-MiniLM-L6-v2 on 32 household facts: a question about a fact
    has 0.36 or more with it, and of 25 questions about something else one reaches 0.34 and the
    others at most 0.28 with any fact, also where they share a word. What names a fact to be
    forgotten has 0.5 or more, or all its words in it; what names another thing at most 0.48, but
    for "my brother's bicycle" (0.58) against "my bicycle is red".

    Attributes:
        relevance: relevant by meaning alone.
        keyword: relevant if a word is shared, too.
        forget: near enough to be deleted as the best match.
    """

    relevance: float = 0.3
    keyword: float = 0.25
    forget: float = 0.5

    def lets_through(self, cosine: float | None, *, shares_word: bool, has_all_words: bool) -> bool:
        """Whether a memory has to do with a question; `cosine` is None where it is unknown."""
        if cosine is None:
            return shares_word
        if has_all_words:
            return True
        return cosine >= (self.keyword if shares_word else self.relevance)

    def may_forget(self, cosine: float | None, *, has_all_words: bool) -> bool:
        """Whether a memory is what somebody named to be forgotten."""
        if cosine is None:
            return has_all_words
        return cosine >= (self.relevance if has_all_words else self.forget)


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a language model reads in `text`: a fourth of its characters."""
    return -(-len(text) // CHARS_PER_TOKEN)


def decay(age_s: float, half_life_days: float) -> float:
    """Return what is left of a score after some time: half after each half-life.

    Args:
        age_s: how old, in seconds; what is of the future is as good as new.
        half_life_days: 0 is that nothing ages.
    """
    if half_life_days <= 0:
        return 1.0
    return float(0.5 ** (max(0.0, age_s) / (half_life_days * DAY_S)))


def fuse(
    rankings: Iterable[Sequence[str]], weights: Mapping[str, float] | None = None
) -> list[str]:
    """Return all ids of `rankings` (each best first), best first by reciprocal rank fusion.

    An id's score is the sum over the rankings of 1 / (60 + rank), ranks from 1 (Cormack, Clarke and
    Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009). Equal scores keep the
    order of the first ranking.

    Args:
        rankings: of ids.
        weights: what an id's score is multiplied by; 1 where it is not named.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            scores[name] = scores.get(name, 0.0) + 1 / (RRF_K + rank)
    for name, weight in (weights or {}).items():
        if name in scores:
            scores[name] *= weight
    return sorted(scores, key=lambda name: -scores[name])


def blend(
    near: Sequence[str],
    cosines: Mapping[str, float],
    matching: Iterable[Sequence[str]],
    shares: Mapping[str, float],
    weights: Mapping[str, float] | None = None,
) -> list[str]:
    """Return all ids best first by meaning, those that share words with the question higher up.

    An id's score is its cosine, and for the first ten by words, the one at `rank` (from 0), also
    `0.15 * range * share * 10 / (10 + rank)`. Reciprocal rank fusion does not see how near
    something is: it puts what shares one common word above what means the same, and was worse than
    cosines alone (see `docs/memory.md`). That scores fuse better than ranks: Bruch, Gai and
    Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023.

    Args:
        near: best first by cosine; at least one.
        cosines: of all of `near`, and of what else is known. One that is not known counts as
            that of the one at the same rank by meaning.
        matching: rankings by words, each best first.
        shares: which share of the question's words a text has, 0 to 1; 0 where it is not named.
        weights: what an id's score is multiplied by; 1 where it is not named.
    """
    most = WORDS_WEIGHT * WORDS_K * (cosines[near[0]] - cosines[near[:RANGE_DEPTH][-1]])
    scores = {name: cosines[name] for name in near}
    for ranking in matching:
        for rank, name in enumerate(ranking):
            cosine = cosines.get(name)
            if cosine is None:
                cosine = cosines[near[min(rank, len(near) - 1)]]
            if rank < WORDS_DEPTH:
                cosine += most * shares.get(name, 0.0) / (WORDS_K + rank)
            if cosine >= scores.get(name, cosine):
                scores[name] = cosine
    for name, weight in (weights or {}).items():
        if name in scores:
            scores[name] = max(0.0, scores[name]) * weight
    return sorted(scores, key=scores.__getitem__, reverse=True)


def share_of_words(words: Sequence[str], text: str) -> float:
    """Return which share of `words` stands in `text`, be it inside of other words."""
    lower = text.lower()
    return len([word for word in words if word in lower]) / len(words) if words else 0.0


def within_budget(
    items: Iterable[T], text_of: Callable[[T], str], max_tokens: int | None
) -> list[T]:
    """Return the items that fit into `max_tokens` together, in order.

    One that is too long for what is left is passed over; shorter ones after it may still fit.
    """
    if max_tokens is None:
        return list(items)
    kept, left = [], max_tokens
    for item in items:
        need = estimate_tokens(text_of(item))
        if need <= left:
            kept.append(item)
            left -= need
    return kept


def newest_within_budget(
    newest_first: Iterable[T], text_of: Callable[[T], str], max_tokens: int
) -> list[T]:
    """Return the newest items that fit into `max_tokens` together, oldest first, without a gap."""
    kept: list[T] = []
    left = max_tokens
    for item in newest_first:
        left -= estimate_tokens(text_of(item))
        if left < 0:
            break
        kept.append(item)
    kept.reverse()
    return kept
