"""The corpus of what people say to the fast path, and how well a grammar understands it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
        "hall light",
        "garden lights",
        "all lights",
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
        "lámpara de la cocina",
        "luz del salón",
        "lampada della cucina",
        "luce del soggiorno",
        "keukenlamp",
        "bureaulamp",
    ),
    scenes=("movie night", "good morning", "good night", "dinner", "party time", "reading"),
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


@dataclass(frozen=True, slots=True)
class Breath:
    """One or two commands that people say in one breath.

    Attributes:
        text: the words.
        parts: each command alone.
    """

    text: str
    parts: tuple[str, ...]


def breaths_of(path: Path) -> Iterator[Breath]:
    """Yield the sayings of a file: the words and one or two commands, between tabs."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text, *parts = line.split("\t")
        yield Breath(text, tuple(part for part in parts if part))


def taken_apart(grammar: HassilGrammar, breath: Breath) -> bool:
    """Whether a grammar finds in a breath just what it finds in each part.

    A breath with a part that is for the language model is all for the language model.
    """
    found = understood(grammar, breath.text)
    together = () if found is None else tuple(replace(each, then=None) for each in found.each())
    apart = tuple(understood(grammar, part) for part in breath.parts)
    return together == (() if None in apart else apart)


def understood(grammar: HassilGrammar, text: str) -> Intent | None:
    """Return what a grammar understands, as the conversation asks it."""
    found = grammar.recognize(text)
    if found is None and grammar.may_find_more(text):
        found = grammar.look_further(text)
    if found is not None and found.name == "sum":
        return replace(found, slots={"expression": found.slots["expression"].replace(" ", "")})
    return found


def misunderstood(
    grammar: HassilGrammar, sayings: list[Saying]
) -> list[tuple[Saying, Intent | None]]:
    """Return what a grammar takes for something else, with what that is."""
    heard = [(saying, understood(grammar, saying.text)) for saying in sayings]
    return [(saying, intent) for saying, intent in heard if intent != saying.intent]
