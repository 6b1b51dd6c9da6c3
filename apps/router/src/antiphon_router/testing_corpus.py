"""The corpus of what people say to the fast path, and how well a grammar understands it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from antiphon_router.engine import HassilGrammar
from antiphon_router.intents import Intent
from antiphon_router.readings import NEEDS
from antiphon_router.vocabulary import Vocabulary

HOUSE = Vocabulary(
    tools=frozenset(NEEDS.values()),
    targets=(
        "kitchen lamp",
        "living room lights",
        "bedroom light",
        "hallway light",
        "desk lamp",
        "lamp 2",
        "garage door",
        "coffee machine",
        "fan",
        "christmas tree",
        "heater",
        "blinds",
        "Küchenlampe",
        "Wohnzimmerlicht",
        "Stehlampe",
        "Garagentor",
        "lampe de la cuisine",
        "lumière du salon",
        "porte du garage",
    ),
    scenes=("movie night", "good night", "dinner", "party time", "reading"),
    lists=("shopping", "to do", "packing"),
)
"""The house that the corpus speaks of."""


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing that people say.

    Attributes:
        text: the words.
        intent: what they mean; None is for the language model.
    """

    text: str
    intent: Intent | None


def commands_of(path: Path) -> Iterator[Saying]:
    """Yield the sayings of a file: intent, slots and words, between tabs."""
    for line in path.read_text(encoding="utf-8").splitlines():
        name, said, text = line.split("\t")
        slots = dict(pair.split("=", 1) for pair in said.split(";") if pair)
        yield Saying(text, Intent(name, slots))


def understood(grammar: HassilGrammar, text: str) -> Intent | None:
    """Return what a grammar understands, as the conversation asks it."""
    found = grammar.recognize(text)
    if found is None and grammar.may_find_more(text):
        found = grammar.look_further(text)
    if found is not None and found.name == "sum":
        return Intent("sum", {"expression": found.slots["expression"].replace(" ", "")})
    return found


def misunderstood(
    grammar: HassilGrammar, sayings: list[Saying]
) -> list[tuple[Saying, Intent | None]]:
    """Return what a grammar takes for something else, with what that is."""
    heard = [(saying, understood(grammar, saying.text)) for saying in sayings]
    return [(saying, intent) for saying, intent in heard if intent != saying.intent]
