"""Memories as rows of Milvus, filters that find them, and what is noted of a write."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias, TypeVar, cast

import numpy as np
from antiphon_contracts import EngineError
from numpy.typing import NDArray

from antiphon_memory.service import Memory, Outcome, Where

T = TypeVar("T")
Vectors: TypeAlias = NDArray[np.float32]
Fields: TypeAlias = dict[str, object]

MAX_NAMED = 100
"""How many ids and texts an outcome names."""

MAX_BYTES = 65_535
MAX_ID_BYTES = 512
NOTE_BYTES = 60_000
NO_WORDS = "0x0"
"""Stands for a text without words: the server makes no sparse vector of nothing."""

OF_MEMORY = ("id", "text", "source", "scope", "ts", "superseded_by")
WHOLE = (*OF_MEMORY, "words", "digest", "message_id", "is_embedded")
HOLDS = 'superseded_by == ""'
ALL = 'id != ""'

_WORD = re.compile(r"\w+")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True, slots=True)
class Note:
    """What a write does, as it is kept for a repeated message: ids alone, no words.

    Attributes:
        ids: of the memories written or deleted, the first 100.
        replaced: of the memories that were superseded.
        count: how many were written or deleted.
        changed: how many rows carry the message's id when all of it is done.
        delete: filter of the rows to delete.
    """

    ids: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    count: int = 0
    changed: int = 0
    delete: str = ""

    def row(self, message_id: str, *, is_pending: bool, ts: float) -> Fields:
        """Return it as a row of `antiphon_seen`."""
        whole = asdict(self)
        if len(json.dumps(whole)) > NOTE_BYTES:
            # A message that is repeated after a crash then finishes the deletion instead.
            whole["delete"] = ""
        while len(json.dumps(whole)) > NOTE_BYTES:
            whole["ids"] = whole["ids"][: len(whole["ids"]) // 2]
            whole["replaced"] = whole["replaced"][: len(whole["replaced"]) // 2]
        return {
            "message_id": message_id,
            "outcome": json.dumps(whole),
            "is_pending": is_pending,
            "ts": ts,
            "nothing": [0.0, 0.0],
        }


def note_in(row: Mapping[str, object]) -> Note:
    """Return the note in a row of `antiphon_seen`."""
    whole = json.loads(str(row["outcome"]))
    return Note(
        tuple(whole["ids"]),
        tuple(whole["replaced"]),
        whole["count"],
        whole["changed"],
        whole["delete"],
    )


def outcome_naming(rows: Sequence[Mapping[str, object]], count: int) -> Outcome:
    """Return the outcome for rows with ids and texts."""
    named = rows[:MAX_NAMED]
    return Outcome(
        tuple(str(row["id"]) for row in named),
        tuple(str(row["text"]) for row in named),
        count=count,
    )


def memory_of(row: Mapping[str, object]) -> Memory:
    """Return the memory in a row with `OF_MEMORY`."""
    return Memory(
        id=str(row["id"]),
        text=str(row["text"]),
        source=str(row["source"]),
        scope=str(row["scope"]),
        ts=float(str(row["ts"])),
        superseded_by=str(row["superseded_by"]) or None,
    )


def row_of(memory: Memory, message_id: str) -> Fields:
    """Return the row of a memory, without a vector.

    Raises:
        EngineError: it is longer than Milvus' fields.
    """
    row: Fields = {
        "id": memory.id,
        "text": memory.text,
        "source": memory.source,
        "scope": memory.scope,
        "ts": float(memory.ts),
        "superseded_by": memory.superseded_by or "",
        "words": folded(memory.text) or NO_WORDS,
        "digest": digest(memory),
        "message_id": message_id,
        "is_embedded": False,
    }
    for name, value in row.items():
        most = MAX_ID_BYTES if name in {"id", "superseded_by", "message_id"} else MAX_BYTES
        if isinstance(value, str) and len(value.encode()) > most:
            msg = f"Milvus takes at most {most:,} bytes in the field {name!r}; make it shorter."
            raise EngineError(msg)
    return row


def with_vector(row: Fields, vector: Vectors | None, dimension: int) -> Fields:
    """Return the row with a vector of the collection's length, or with zeros in its place."""
    if not dimension:
        return {**row, "is_embedded": False}
    fits = vector is not None and vector.shape == (dimension,)
    values = vector.tolist() if fits and vector is not None else [0.0] * dimension
    return {**row, "is_embedded": fits, "by_meaning": values}


def vector_in(row: Mapping[str, object]) -> Vectors | None:
    """Return the vector of a row that was asked for it; None where it has none."""
    if not row["is_embedded"]:
        return None
    return np.asarray(cast("list[float]", row["by_meaning"]), dtype=np.float32)


def cosine_of(row: Mapping[str, object], vector: Vectors | None) -> float | None:
    """Return the cosine of a row's vector and another; None where one is missing."""
    stored = vector_in(row)
    if stored is None or vector is None or stored.shape != vector.shape:
        return None
    return float(stored @ vector)


def telling_the_same(rows: Sequence[Fields], new: Fields, same: str | None) -> Fields | None:
    """Return the row with the text of `new`, else the one with the id `same`."""
    for field, value in (("digest", new["digest"]), ("id", same)):
        for row in rows:
            if row[field] == value:
                return row
    return None


def confirmed(row: Fields, ts: float, message_id: str) -> Fields:
    """Return the row with a time that is not older than `ts`."""
    newest = max(float(str(row["ts"])), float(ts))
    return {**row, "ts": newest, "message_id": message_id}


def digest(memory: Memory) -> str:
    """Return what two memories of one scope share that differ in case alone."""
    whole = json.dumps([memory.scope, memory.text.casefold()])
    return hashlib.sha256(whole.encode()).hexdigest()


def folded(text: str) -> str:
    """Return the words of a text without accents and capitals, parted by spaces."""
    plain = unicodedata.normalize("NFKD", text).lower()
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(_WORD.findall(kept))


def quoted(value: str) -> str:
    """Return a text as it stands in a filter: nothing in it ends it or means something there.

    These four are all that Milvus' grammar (`Plan.g4`) does not take as it is between such quotes,
    and the only escapes that Milvus Lite knows as well.
    """
    return f'"{value.translate(_ESCAPES)}"'


def among(field: str, values: Iterable[str]) -> str:
    """Return the filter for rows with one of `values`."""
    return f"{field} in [{', '.join(map(quoted, values))}]"


def within(scopes: Sequence[str]) -> str:
    """Return the filter for rows of these scopes; of none are all."""
    return among("scope", scopes) if scopes else ALL


def fitting(where: Where, *more: str) -> str:
    """Return the filter for memories that hold and fit."""
    parts = [HOLDS, *more]
    if where.scopes:
        parts.append(among("scope", where.scopes))
    if where.sources:
        parts.append(among("source", where.sources))
    if where.since is not None:
        parts.append(f"ts >= {float(where.since)!r}")
    if where.until is not None:
        parts.append(f"ts < {float(where.until)!r}")
    return " and ".join(parts)


def in_parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield what is in it, `size` at a time."""
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
