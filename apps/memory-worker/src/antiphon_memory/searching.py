"""Finding what has to do with a question, among memories and in documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from antiphon_memory.embedding import Embedding
from antiphon_memory.ranking import WORDS_DEPTH, Floors, blend, decay, fuse, share_of_words
from antiphon_memory.reranking import Reranking
from antiphon_memory.service import CANDIDATES, Candidate, Memory, Shelf, Where, candidates
from antiphon_memory.simultaneous import at_once
from antiphon_memory.utterances import content_words

MOST = 0.5
"""Which share of a question's words must stand in a passage that has no cosine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage(Memory):
    """A piece of a document; `source` names the document and the place in it, for people.

    Attributes:
        document_id: the document.
        ordinal: the piece's number in it, from 0.
        title: the document's.
        address: the document's, or what it is known by.
        anchor: where in the document, e.g. `#opening-hours` or `page 3`; may be empty.
    """

    document_id: str
    ordinal: int
    title: str
    address: str
    anchor: str

    @property
    def kind(self) -> Literal["memory", "document"]:
        """What it is."""
        return "document"

    @property
    def link(self) -> str:
        """The address with the place in the document."""
        between = "" if not self.anchor or self.anchor.startswith("#") else ", "
        return f"{self.address}{between}{self.anchor}"


class Library(Shelf, Protocol):
    """Documents, as far as questions are concerned."""

    async def widened(
        self, found: Sequence[Candidate], *, context: int, max_tokens: int | None
    ) -> list[Candidate]:
        """See `antiphon_memory.service.Finder`."""


def in_order(
    near: Sequence[Candidate],
    matching: Sequence[Sequence[Candidate]],
    words: Sequence[str],
    weights: Mapping[str, float] | None = None,
) -> list[str]:
    """Return the ids of all that was found, best first; see `antiphon_memory.ranking.blend`.

    Args:
        near: what is near by meaning, best first; without it words alone decide.
        matching: what shares words, each ranking best first.
        words: those of the question.
        weights: what an id's score is multiplied by; 1 where it is not named.
    """
    rankings = [[one.memory.id for one in ranking] for ranking in matching]
    known = {one.memory.id: one.cosine for one in near if one.cosine is not None}
    if not known:
        return fuse([[one.memory.id for one in near], *rankings], weights)
    by_meaning = list(known)
    for ranking in matching:
        known.update((one.memory.id, one.cosine) for one in ranking if one.cosine is not None)
    shares = {
        one.memory.id: share_of_words(words, one.memory.text)
        for ranking in matching
        for one in ranking[:WORDS_DEPTH]
    }
    return blend(by_meaning, known, rankings, shares, weights)


class Search:
    """Finds on one shelf or several; see `antiphon_memory.service.Finder`.

    The nearest by meaning are one ranking over all shelves, since cosines compare; matching words
    are a ranking of each shelf's own, since BM25 does not.

    Args:
        shelves: what is searched.
        embedding: gives vectors, or not: then words alone decide.
        floors: what counts as relevant.
        library: knows the neighbours of passages.
        half_life_days: a memory's score halves in this time; 0 is that memories do not age.
        reranking: looks at the best once more; None leaves their order.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        shelves: Sequence[Shelf],
        embedding: Embedding,
        floors: Floors,
        library: Library | None = None,
        *,
        half_life_days: float = 0.0,
        reranking: Reranking | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._shelves = shelves
        self._embedding = embedding
        self._floors = floors
        self._library = library
        self._half_life_days = half_life_days
        self._reranking = reranking
        self._now = now

    async def find(self, text: str, where: Where, *, by_words: bool, limit: int) -> list[Candidate]:
        """See `Finder`."""
        limit = max(limit, CANDIDATES)
        words = content_words(text)
        vector = await self._embedding.embed_or_none(text, "query") if text.strip() else None
        found = await at_once(
            **{
                f"shelf-{number}": candidates(
                    shelf, words, vector, where, by_words=by_words, limit=limit
                )
                for number, shelf in enumerate(self._shelves)
            }
        )
        near = [one for similar, _ in found.values() for one in similar]
        near.sort(key=lambda one: -(one.cosine or 0.0))
        matching = [by_word for _, by_word in found.values()]
        by_id = {one.memory.id: one for ranking in [near, *matching] for one in ranking}
        sharing = {one.memory.id for ranking in matching for one in ranking}
        order = in_order(near, matching, words, self._weights(by_id.values()))
        relevant = [
            by_id[name]
            for name in order
            if self._is_relevant(by_id[name], words, shares_word=name in sharing)
        ]
        if self._reranking is None:
            return relevant
        return await self._reranking.reordered(text, relevant)

    async def widened(
        self, found: Sequence[Candidate], *, context: int, max_tokens: int | None
    ) -> list[Candidate]:
        """See `Finder`."""
        if self._library is None:
            return list(found)
        return await self._library.widened(found, context=context, max_tokens=max_tokens)

    def _weights(self, found: Iterable[Candidate]) -> dict[str, float]:
        """Return what is left of the memories' scores at their ages; documents do not age."""
        if not self._half_life_days:
            return {}
        now = self._now()
        return {
            one.memory.id: decay(now - one.memory.ts, self._half_life_days)
            for one in found
            if one.memory.kind == "memory"
        }

    def _is_relevant(self, one: Candidate, words: Sequence[str], *, shares_word: bool) -> bool:
        text = one.memory.text
        if one.memory.kind == "document" and one.cosine is None:
            # A long text shares a word with nearly every question. Not by `content_words`: that
            # reads no more than a question's worth of words.
            return shares_word and share_of_words(words, text) >= MOST
        if self._floors.lets_through(one.cosine, shares_word=shares_word, has_all_words=False):
            return True
        # Only what has not passed yet is taken apart into words: that is what costs.
        has_all = shares_word and bool(words) and set(words) <= set(content_words(text))
        return has_all and one.memory.kind == "memory"
