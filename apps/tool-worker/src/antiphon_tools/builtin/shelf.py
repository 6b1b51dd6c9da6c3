"""Where lists and notes are kept: the port that `engine.ListsFile` fills."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Item:
    """Something on a list.

    Attributes:
        key: by which it is found again; see `item_key`.
        text: as it was said.
    """

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A note.

    Attributes:
        ts: when it was taken, in seconds since the epoch.
        text: as it was said.
    """

    ts: float
    text: str


class Shelf(Protocol):
    """Lists and notes during one call.

    Attributes:
        answer: what this very call was answered before; None if it is new. What is put here is kept
            together with the change.
    """

    answer: JsonValue

    async def names(self) -> Sequence[str]:
        """Return the names of the lists with something on them."""

    async def items(self, name: str) -> Sequence[Item]:
        """Return what is on a list, in the order in which it came."""

    async def add(self, name: str, item: Item) -> None:
        """Put something on a list; nothing happens if its key is there."""

    async def remove(self, name: str, keys: Collection[str]) -> None:
        """Take things off a list."""

    async def notes(self, limit: int) -> Sequence[Note]:
        """Return the newest notes, newest first."""

    async def count_notes(self) -> int:
        """Return how many notes there are."""

    async def note(self, text: str) -> None:
        """Keep a note."""


class ShelfKeeper(Protocol):
    """Opens the shelf to one call at a time."""

    def opened(self, call_id: str) -> AbstractAsyncContextManager[Shelf]:
        """Return the shelf for the time of the block; a block that fails has changed nothing.

        Raises:
            EngineError: the lists cannot be read or written; the text says where they are.
        """
