"""Which memories have which words, in memory, ranked as SQLite's FTS5 ranks them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from antiphon_memory.service import Where
from antiphon_memory.vectors.columns import Columns, Entry, records_of

K1 = 1.2
B = 0.75
"""BM25's constants, those of FTS5."""

LEAST_WEIGHT = 1e-6
"""Of a word that most memories have; FTS5 does the same."""

SPARSE_FROM = 1024


_Posting = tuple["array[int]", "array[float]"]
"""The places of a term, and how often it stands in each.

A tuple, because the garbage collector looks at a tuple of arrays once, and at an object each time.
"""


class Postings:
    """The terms of texts, and BM25 over them as FTS5 has it: the same order, ties by row.

    Not thread-safe.

    Args:
        entries: what the texts are of.
        found: each term with the rows it stands in, joined by commas, a row as often as the term
            stands there.
    """

    def __init__(
        self, entries: Sequence[Entry] = (), found: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._columns = Columns(records_of(entries))
        rows = np.fromstring(",".join([where for _, where in found]), dtype=np.int64, sep=",")
        each = [where.count(",") + 1 for _, where in found]
        numbers, places = np.repeat(np.arange(len(found)), each), self._columns.places_of(rows)
        known = places >= 0
        numbers, places = numbers[known], places[known]
        lengths = np.bincount(places, minlength=len(entries)).astype(np.float64)
        self._lengths = array("d", lengths.tobytes())
        pairs, counts = np.unique(numbers * max(1, len(entries)) + places, return_counts=True)
        numbers, places = np.divmod(pairs, max(1, len(entries)))
        ends = np.searchsorted(numbers, np.arange(len(found) + 1)).tolist()
        places, counts = places.astype(np.int32), counts.astype(np.float32)
        self._terms: dict[str, _Posting] = {
            term: (array("i", places[begin:end].tobytes()), array("f", counts[begin:end].tobytes()))
            for (term, _), begin, end in zip(found, ends, ends[1:], strict=False)
            if begin < end
        }

    def __len__(self) -> int:
        return self._columns.live

    @property
    def is_sparse(self) -> bool:
        """Whether more than half of the places are holes: it is better read anew."""
        return self._columns.end > SPARSE_FROM and len(self) < self._columns.end // 2

    def put(self, entry: Entry, terms: Sequence[str]) -> None:
        """Add a text that is not here, by its terms."""
        records = records_of([entry])
        places = self._columns.places_for(records["key"])
        self._columns.put(places, records)
        self._lengths.append(len(terms))
        place = int(places[0])
        for term in dict.fromkeys(terms):
            places_, counts = self._terms.setdefault(term, (array("i"), array("f")))
            places_.append(place)
            counts.append(terms.count(term))

    def describe(self, entry: Entry) -> None:
        """Give scope, source and time anew to what is here."""
        records = records_of([entry])
        self._columns.put(self._columns.places_of(records["key"]), records)

    def remove(self, row: int, terms: Sequence[str]) -> None:
        """Remove a text that is here, by the terms that it was put with."""
        places = self._columns.places_of(np.array([row], dtype=np.int64))
        place = int(places[0])
        self._columns.drop(places)
        self._lengths[place] = 0
        for term in dict.fromkeys(terms):
            places_, counts = self._terms[term]
            at = places_.index(place)
            del places_[at], counts[at]
            if not places_:
                del self._terms[term]

    def best(self, terms: Iterable[str], limit: int, where: Where) -> list[int]:
        """Return the rows that have any of `terms`, best first, at most `limit`."""
        count = len(self)
        scores = np.zeros(self._columns.end)
        lengths = np.frombuffer(self._lengths)
        longer = lengths * (K1 * B * count / max(1.0, float(lengths.sum()))) + K1 * (1 - B)
        for term in terms:
            posting = self._terms.get(term)
            if posting is None:
                continue
            places = np.frombuffer(posting[0], dtype=np.int32)
            counts = np.frombuffer(posting[1], dtype=np.float32)
            weight = math.log((count - len(places) + 0.5) / (len(places) + 0.5))
            weight = max(weight, LEAST_WEIGHT) * (K1 + 1)
            scores[places] += counts / (counts + longer[places]) * weight
        mask = self._columns.mask(where)
        if mask is not None:
            scores *= mask
        return self._columns.keys[_largest(scores, limit)].tolist()  # type: ignore[no-any-return]


def _largest(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the places of the largest scores above 0, best first; of equal ones the first."""
    places = np.flatnonzero(scores)
    if len(places) > count:
        found = scores[places]
        places = places[found >= np.partition(found, -count)[-count]]
    order: NDArray[np.int64] = places[np.argsort(-scores[places], kind="stable")[:count]]
    return order
