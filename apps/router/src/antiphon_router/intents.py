"""Intents: what the fast path understands, and the port to the grammar that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from antiphon_router.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Intent:
    """What the fast path understood.

    Attributes:
        name: what is to be done.
        slots: with what.
        then: what was asked for in the same breath, to be done after it.
        rest: what was said after it in the same breath, for the language model.
    """

    name: str
    slots: dict[str, str] = field(default_factory=dict)
    then: Intent | None = None
    rest: str = ""

    def each(self) -> Iterator[Intent]:
        """Yield what is to be done, one after the other."""
        intent: Intent | None = self
        while intent is not None:
            yield intent
            intent = intent.then

    @property
    def interrupts(self) -> bool:
        """Whether it only puts an end to what goes on, as `stop` and `never mind` do."""
        return self.name in {"stop", "dismiss", "undo"} and not (self.then or self.rest)

    @property
    def holds(self) -> bool:
        """Whether it holds what is spoken at its site, or goes on with it."""
        return self.name in {"pause", "resume"}


class Grammar(Protocol):
    """Recognises what needs no language model."""

    def load(self) -> None:
        """Get ready; blocks."""

    def learn(self, vocabulary: Vocabulary) -> None:
        """Know the house's names from now on; blocks for some milliseconds."""

    def recognize(self, text: str) -> Intent | None:
        """Return what the text asks for at once; None if it has to be looked further."""

    def may_find_more(self, text: str) -> bool:
        """Whether to look further where `recognize` found nothing."""

    def look_further(self, text: str) -> Intent | None:
        """Return what the text asks for, None if that is for the language model; blocks."""
