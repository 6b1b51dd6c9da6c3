"""Finding memories by words, at a cost that is bounded however many there are.

FTS5 lists the rows that have a word for about 0.1 µs each, but ranks them by BM25 for 2 to 8 µs
each: three common words among a million memories take it seconds. So the rows of each word are
listed first, the newest `ROWS_EACH` of them. Few enough are ranked by FTS5 at once. Of more, those
whose words weigh most (the sum of the words' inverse document frequencies, which is BM25 without
frequencies inside a text) are candidates, and FTS5 ranks only these. A store that is not large has
its words at hand (`antiphon_memory.sqlite.at_hand`) and seldom comes here.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from antiphon_memory.service import EVERYWHERE, Where
from antiphon_memory.sqlite.file import SqliteFile
from antiphon_memory.sqlite.tables import MATCHES, Tables, values_of

ROWS_EACH = 20_000
RANKED_AT_ONCE = 64
"""Up to so many rows are ranked without more ado."""

CANDIDATES_EACH = 2
"""So many candidates for each memory wanted."""

RANKED_AMONG = 40_000
"""FTS5 walks all rows of the words to rank some: up to so many. Of more the weights decide."""

MAX_WORDS = 32

Rows = NDArray[np.int64]
Passing = Callable[[Rows, Where], Awaitable[NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True)
class _Found:
    """The rows of each word, what a word weighs, and the newest row of all."""

    rows: tuple[Rows, ...]
    weights: tuple[float, ...]
    newest: int

    @property
    def total(self) -> int:
        return sum(map(len, self.rows))


def fts_query(words: Iterable[str]) -> str:
    """Return an FTS5 query that matches any of `words`, whatever characters are in them."""
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in words)


class WordSearch:
    """Finds the texts of one database by words.

    Args:
        file: the database.
        tables: what is in it.
        passing: tells of rows whether they pass a filter.
    """

    def __init__(self, file: SqliteFile, tables: Tables, passing: Passing) -> None:
        self._file = file
        self._tables = tables
        self._passing = passing

    async def rows(self, words: Sequence[str], *, limit: int, where: Where) -> list[sqlite3.Row]:
        """Return the rows (`Tables.rows`) of texts with any of `words`, best first.

        Args:
            words: at least one; after 32 they are ignored.
            limit: how many at the most.
            where: only of these.

        Raises:
            EngineError: the file failed.
        """
        words = words[:MAX_WORDS]
        found = await self._listed(words)
        if not found.total:
            return []
        if found.total <= RANKED_AT_ONCE:
            return await self._ranked(words, None, limit, where)
        rows, weights = await asyncio.to_thread(_weighed, found)
        if where != EVERYWHERE:
            kept = await self._passing(rows, where)
            rows, weights = rows[kept], weights[kept]
        candidates = _heaviest(rows, weights, CANDIDATES_EACH * limit)
        if found.total <= RANKED_AMONG:
            return await self._ranked(words, candidates, limit, where)
        return await self._in_order(candidates, limit, where)

    async def _listed(self, words: Sequence[str]) -> _Found:
        """Return each word's newest rows; one statement, so that all see the same texts."""
        table = self._tables.words
        one = (
            f"SELECT group_concat(rowid) FROM (SELECT rowid FROM {table}"  # noqa: S608  (a constant)
            f" WHERE {table} MATCH ? ORDER BY rowid DESC LIMIT ?)"
        )
        last = f"SELECT max(row) FROM {self._tables.texts}"  # noqa: S608  (a constant)
        values = [value for word in words for value in (fts_query([word]), ROWS_EACH)]
        return await self._file.look(
            _found, " UNION ALL ".join([*[one] * len(words), last]), values
        )

    async def _ranked(
        self, words: Sequence[str], candidates: Sequence[int] | None, limit: int, where: Where
    ) -> list[sqlite3.Row]:
        """Return rows ranked by BM25, all or only candidates.

        `ORDER BY rank` would make FTS5 rank every row before it looks at the candidates.
        """
        among = "" if candidates is None else f" AND +f.rowid IN ({_numbers(candidates)})"
        table, (columns, texts) = self._tables.words, self._tables.rows
        return await self._file.read(
            f"SELECT {columns} FROM {table} f CROSS JOIN {texts} ON m.row = f.rowid"  # noqa: S608  (numbers and constants)
            f" WHERE f.{table} MATCH :words{among} AND {MATCHES}"
            f" ORDER BY bm25({table}) LIMIT :limit",
            values_of(where, words=fts_query(words), limit=limit),
        )

    async def _in_order(
        self, candidates: Sequence[int], limit: int, where: Where
    ) -> list[sqlite3.Row]:
        """Return the candidates' rows in the order given."""
        columns, texts = self._tables.rows
        rows = await self._file.read(
            f"SELECT {columns} FROM {texts}"  # noqa: S608  (numbers and constants)
            f" WHERE m.row IN ({_numbers(candidates)}) AND {MATCHES}",
            values_of(where),
        )
        by_row = {row[0]: row for row in rows}
        return [by_row[row] for row in candidates if row in by_row][:limit]


def _found(db: sqlite3.Connection, sql: str, values: Sequence[object]) -> _Found:
    *listed, last = [_rows(row[0]) for row in db.execute(sql, values)]
    newest = int(last.max(initial=1))
    return _Found(tuple(listed), tuple(_weight(rows, newest) for rows in listed), newest)


def _rows(joined: str | int | None) -> Rows:
    """Return row numbers that SQLite joined by commas: a fifth of the cost of a tuple for each."""
    return np.fromstring(str(joined or ""), dtype=np.int64, sep=",")


def _weight(rows: Rows, newest: int) -> float:
    """Return a word's inverse document frequency, as FTS5 counts it; estimated where it is cut."""
    count = float(len(rows))
    if len(rows) >= ROWS_EACH:
        count *= newest / max(1, newest - int(rows.min()) + 1)
    return max(1e-6, math.log((newest - count + 0.5) / (count + 0.5))) if count < newest else 1e-6


def _weighed(found: _Found) -> tuple[Rows, NDArray[np.float64]]:
    """Return every row once, and the sum of its words' weights."""
    each = np.concatenate(found.rows)
    weights = np.repeat(found.weights, [len(rows) for rows in found.rows])
    rows, places = np.unique(each, return_inverse=True)
    return rows, np.bincount(places, weights=weights).astype(np.float64)


def _heaviest(rows: Rows, weights: NDArray[np.float64], count: int) -> list[int]:
    """Return the rows of the largest weights, best first; of equal ones the newest."""
    if len(rows) > count:
        least = np.partition(weights, -count)[-count]
        kept = weights >= least
        rows, weights = rows[kept], weights[kept]
    order = np.lexsort((-rows, -weights))[:count]
    return [int(row) for row in rows[order]]


def _numbers(rows: Iterable[int]) -> str:
    return ", ".join(map(str, rows))
