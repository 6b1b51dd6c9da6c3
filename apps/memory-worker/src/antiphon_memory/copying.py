"""Copying all memories from one store into another, whatever the two are."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from antiphon_contracts import ConfigError, EngineError, new_id
from numpy.typing import NDArray

from antiphon_memory.service import EVERYWHERE, Memory, MemoryStore

ROWS_AT_ONCE = 256
_ROUND = 1 << 256

Progress = Callable[[str, int], None]
"""Is told what is done ("read", "copied", "verified") and how many memories have it behind them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A memory with its vector; None if it has none."""

    memory: Memory
    vector: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a store: two stores with the same memories have the same.

    Attributes:
        count: how many memories.
        checksum: the sum of the SHA-256 of each, with all its fields and its vector.
    """

    count: int = 0
    checksum: int = 0

    def __add__(self, row: Row) -> Contents:
        return Contents(self.count + 1, (self.checksum + _checksum(row)) % _ROUND)


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did.

    Attributes:
        memories: how many are in the source.
        written: how many of them were new in the target.
        with_vectors: whether vectors came along; else the target's worker makes them anew.
    """

    memories: int
    written: int
    with_vectors: bool


async def copy(
    source: MemoryStore,
    target: MemoryStore,
    *,
    name: str,
    merge: bool,
    on_progress: Progress = lambda _what, _count: None,
) -> Copied:
    """Copy all memories of `source` into `target`, both open, and verify that they are there.

    A copy that was stopped goes on when it is begun again under the same name.

    Args:
        source: is only read.
        target: must be empty, unless `merge` or a stopped copy goes on.
        name: of the source, as people call it.
        merge: add to what is there. A text that is there already in its scope stays as it is.
        on_progress: is told how far it is.

    Raises:
        ConfigError: the target is not empty.
        EngineError: a store failed, or the two differ at the end; begin again.
    """
    begun, done = (f"copy-{word}:{_hexadecimal(name)}" for word in ("begun", "done"))
    is_resumed = await _is_known(target, begun) and not await _is_known(target, done)
    if not (merge or is_resumed or await target.count(EVERYWHERE) == 0):
        msg = "There are memories in the target already; empty it, or add to them with --merge"
        raise ConfigError(msg)
    await target.forget(begun, ())  # forgets nothing: a mark that outlives us
    with_vectors = await _adopt_model(source, target, merge=merge)
    known = await _texts(target, on_progress) if merge or is_resumed else set()
    written = await _write(source, target, known, on_progress, with_vectors=with_vectors)
    count = await _verify(source, target, on_progress, merge=merge, with_vectors=with_vectors)
    await target.forget(done, ())
    return Copied(count, written, with_vectors)


async def _is_known(store: MemoryStore, message_id: str) -> bool:
    return await store.outcome_of(message_id) is not None


async def _adopt_model(source: MemoryStore, target: MemoryStore, *, merge: bool) -> bool:
    """Return whether the vectors of the source fit the target."""
    wanted, there = await source.model(), await target.model()
    if wanted is None:
        return False
    if there != wanted:
        if merge and there is not None:
            return False
        await target.adopt_model(*wanted)
    return True


async def _write(
    source: MemoryStore,
    target: MemoryStore,
    known: set[bytes],
    on_progress: Progress,
    *,
    with_vectors: bool,
) -> int:
    read = written = 0
    async for part in _parts(source):
        new = [row.memory for row in part if _text_digest(row.memory) not in known]
        if new:
            written += (await target.restore(f"copy:{new_id()}", new)).count
        if with_vectors:
            await _give_vectors(target, part, {one.id for one in new}, may_have=bool(known))
        read += len(part)
        on_progress("copied", read)
    return written


async def _give_vectors(
    target: MemoryStore, part: Sequence[Row], new: set[str], *, may_have: bool
) -> None:
    """Give vectors to what was just written, and to what a stopped copy left without."""
    having = [row for row in part if row.vector is not None]
    there = await target.vectors_of([row.memory.id for row in having]) if may_have else {}
    lacking = {
        row.memory.id: row.vector
        for row in having
        if row.vector is not None and (row.memory.id in new or row.memory.id not in there)
    }
    if lacking:
        await target.set_vectors(list(lacking), np.stack(list(lacking.values())))


async def _verify(
    source: MemoryStore,
    target: MemoryStore,
    on_progress: Progress,
    *,
    merge: bool,
    with_vectors: bool,
) -> int:
    """Return how many memories are in the source.

    Raises:
        EngineError: they are not all in the target.
    """
    wanted, there = Contents(), Contents()
    missing = 0
    texts = await _texts(target, on_progress) if merge else set()
    async for part in _parts(source):
        for row in part:
            wanted += row if with_vectors else Row(row.memory, None)
            missing += merge and _text_digest(row.memory) not in texts
    if not merge:
        async for part in _parts(target):
            for row in part:
                there += row if with_vectors else Row(row.memory, None)
            on_progress("verified", there.count)
    if missing or (not merge and wanted != there):
        msg = (
            f"The copy of {wanted.count} memories differs from them;"
            " stop what writes to either store, and copy again"
        )
        raise EngineError(msg, retryable=True)
    return wanted.count


async def _parts(store: MemoryStore) -> AsyncIterator[list[Row]]:
    last = ""
    while part := await store.rows(
        after=last, limit=ROWS_AT_ONCE, where=EVERYWHERE, superseded=True
    ):
        last = part[-1].id
        vectors = await store.vectors_of([one.id for one in part])
        yield [Row(one, vectors.get(one.id)) for one in part]


async def _texts(store: MemoryStore, on_progress: Progress) -> set[bytes]:
    """Return digests of what is in a store; the same text but for case in one scope is one."""
    found: set[bytes] = set()
    async for part in _parts(store):
        found.update(_text_digest(row.memory) for row in part)
        on_progress("read", len(found))
    return found


def _text_digest(memory: Memory) -> bytes:
    """Return what makes a memory one: its words, or its id if it was superseded."""
    if memory.superseded_by is not None:
        return memory.id.encode()
    return hashlib.sha256(_joined(memory.scope, memory.text.casefold())).digest()


def _checksum(row: Row) -> int:
    memory = row.memory
    parts = (memory.id, memory.text, memory.source, memory.scope, memory.superseded_by or "")
    whole = hashlib.sha256(_joined(*parts))
    whole.update(struct.pack("<d", memory.ts))
    if row.vector is not None:
        whole.update(np.ascontiguousarray(row.vector, dtype="<f4").tobytes())
    return int.from_bytes(whole.digest(), "big")


def _joined(*texts: str) -> bytes:
    parts = [text.encode() for text in texts]
    return b"".join(struct.pack("<q", len(part)) + part for part in parts)


def _hexadecimal(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
