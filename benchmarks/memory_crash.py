"""What `kill -9` does to memory: a process that writes memories is killed, again and again.

The process says of each memory that it is stored, or forgotten, when the store has said so. After
each kill the store is opened anew: the database must be sound, everything acknowledged there, and
the vectors in step with it. Every other time the vectors' files are torn, too, as no kill would do
it: cut short, or with a spoilt first page.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import children
import numpy as np
from antiphon_memory.service import EVERYWHERE, Memory
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook
from antiphon_memory.vectors import Vectors
from command import Options, main, say
from figures import Figure, Report
from memory_corpus import logs_to_stderr

KILLS, QUICK_KILLS = 50, 5
DIMENSION = 384
LIVES = (1, 80)
"""A process is killed after so many acknowledgements, and some ms."""

GRACE_S = 0.02
FORGET_EVERY = 7
ANSWER_TIMEOUT_S = 30.0


def vector(number: int) -> Vectors:
    """Return the vector of a memory: a random one of its own."""
    drawn = np.random.default_rng(number).standard_normal(DIMENSION, dtype=np.float32)
    unit: Vectors = drawn / np.linalg.norm(drawn)
    return unit


async def write(path: Path, first: int) -> None:
    """Be the process: write memories from a number on, saying what is stored, until killed."""
    store = SqliteStore(path, NoteBook())
    async with store.open():
        await store.adopt_model("crash", DIMENSION)
        number = first
        while True:
            memory = Memory(f"{number}", f"thing {number}", "user", "household", float(number))
            await store.remember(f"remember-{number}", memory, vector(number))
            children.answer(stored=number)
            if number % FORGET_EVERY == 0:
                await store.forget(f"forget-{number}", [f"{number - 3}"])
                children.answer(forgotten=number - 3)
            number += 1


@dataclass
class Found:
    """What the kills did.

    Attributes:
        acknowledged: memories that were said to be stored.
        forgotten: those of them that were said to be forgotten.
        undecided: those whose forgetting had been asked for and was not acknowledged before the
            kill: they may be there or not.
        next: the number of the next one.
        corrupt: times the database was damaged.
        wrong: acknowledged memories that were gone, or were there though forgotten.
        out_of_step: times the vectors were not those of the database.
    """

    acknowledged: set[int] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    undecided: set[int] = field(default_factory=set)
    next: int = 0
    corrupt: int = 0
    wrong: set[int] = field(default_factory=set)
    out_of_step: int = 0

    @property
    def lost(self) -> int:
        """How many are wrong."""
        return len(self.wrong)


async def killed_once(path: Path, found: Found, life: int, grace_s: float) -> None:
    """Let a process write for a while, kill it, and note what it acknowledged."""
    async with children.child("memory_crash.py", "write", config={}) as process:
        said = [await process.ask({"path": str(path), "first": found.next})]
        said += [await process.answer(ANSWER_TIMEOUT_S) for _ in range(life)]
        await asyncio.sleep(grace_s)
        await process.kill()
        said += await process.rest()
    for one in said:
        if "stored" in one:
            found.acknowledged.add(one["stored"])
            found.next = max(found.next, one["stored"])
        elif "forgotten" in one:
            found.forgotten.add(one["forgotten"])
    # What was begun and not acknowledged may be there or not; nobody counts on it. Right after the
    # last acknowledged memory its forgetting may have been begun.
    if found.next % FORGET_EVERY == 0 and found.next - 3 not in found.forgotten:
        found.undecided.add(found.next - 3)
    found.next += 2


def tear(path: Path, number: int) -> None:
    """Damage one of the vectors' files."""
    parts = sorted(path.parent.glob("memory.vectors*"))
    if not parts:
        return
    part = parts[number % len(parts)]
    with part.open("r+b") as file:
        if number % 4 == 1:
            file.truncate(part.stat().st_size // 2)
        else:
            file.write(b"\xff" * 64)


async def check(path: Path, found: Found) -> None:
    """Open the store anew and compare."""
    notes = NoteBook()
    store = SqliteStore(path, notes)
    async with store.open():
        await store.adopt_model("crash", DIMENSION)
        there = {int(one.id) for one in await store.recent(limit=1_000_000, where=EVERYWHERE)}
        expected = found.acknowledged - found.forgotten - found.undecided
        found.wrong |= (expected - there) | (found.forgotten & there)
        sample = sorted(there)[-40:] + sorted(there)[:10]
        index = store.embeddings.index
        in_step = index is not None and len(index) == len(there)
        for number in sample:
            best = await store.similar(vector(number), limit=1, where=EVERYWHERE)
            in_step &= bool(best) and best[0].memory.id == f"{number}"
            in_step &= bool(best) and (best[0].cosine or 0) > 1 - 1e-5
        found.out_of_step += not in_step
    found.corrupt += "damaged" in notes or not await asyncio.to_thread(_sound, path)


def _sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def measure(options: Options) -> Report:
    """Return what is left after all kills."""
    kills = QUICK_KILLS if options.quick else KILLS
    found, dice = Found(), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.sqlite"
        for number in range(kills):
            life, grace_s = int(dice.integers(*LIVES)), float(dice.uniform(0, GRACE_S))
            await killed_once(path, found, life, grace_s)
            if number % 2:
                await asyncio.to_thread(tear, path, number)
            await check(path, found)
            say(f"killed {number + 1} times, {len(found.acknowledged)} acknowledged")
    return Report(
        "memory_crash",
        options.quick,
        [
            Figure("corrupt databases", found.corrupt, "times", 0),
            Figure("acknowledged memories lost", found.lost, "memories", 0),
            Figure("vectors out of step", found.out_of_step, "times", 0),
        ],
        {
            "kills": kills,
            "acknowledged": len(found.acknowledged),
            "forgotten": len(found.forgotten),
            "undecided": len(found.undecided),
        },
    )


async def serve() -> None:
    """Be the child process: at its second order, write until killed."""
    async for order in children.orders():
        children.answer(ready=True)
        if order:
            await write(Path(order["path"]), order["first"])


if __name__ == "__main__":
    logs_to_stderr()
    if sys.argv[1:] == ["write"]:
        asyncio.run(serve())
    else:
        main("memory_crash", measure)
