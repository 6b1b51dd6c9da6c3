"""Matching: sentences of one folder, and what hassil finds of them in a text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from antiphon_router.spans import tags

if TYPE_CHECKING:
    from hassil import Intents, RecognizeResult
    from hassil.intents import SlotList

Match = tuple[str, dict[str, str]]
"""An intent's name, and its slots as they stand in the text."""


class Sentences:
    """The sentences of some files, one intent in several of them or not.

    Args:
        sources: hassil's YAML.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        from hassil import Intents

        self._files: list[Intents] = [Intents.from_yaml(io.StringIO(source)) for source in sources]
        self._lists: Mapping[str, SlotList] = {}

    def use(self, lists: Mapping[str, SlotList]) -> None:
        """Take these lists of names from now on."""
        self._lists = dict(lists)

    def matches(self, text: str) -> Iterator[Match]:
        """Yield what the text may mean, the likeliest first."""
        from hassil import recognize_all

        found: list[RecognizeResult] = []
        for intents in self._files:
            found.extend(recognize_all(text, intents, slot_lists=dict(self._lists)))
        for result in sorted(found, key=unlikeliness):
            yield str(result.intent.name), _slots(result, text)


def _slots(result: RecognizeResult, text: str) -> dict[str, str]:
    slots = {}
    for name, entity in result.entities.items():
        if entity.is_wildcard and entity.text_span is not None:
            begin, end = entity.text_span
            slots[name] = text[begin:end]
        else:
            slots[name] = str(entity.value)
    return slots


def unlikeliness(result: RecognizeResult) -> tuple[int, int, int]:
    """Rank by fewer wildcards, more literal text, less text in wildcards: as hassil does itself."""
    wild = [entity for entity in result.entities_list if entity.is_wildcard]
    return len(wild), -result.text_chunks_matched, sum(len(entity.text) for entity in wild)


def names(pairs: Iterable[tuple[str, str]]) -> SlotList:
    """Return a list of names: as they are said, and as they are meant."""
    from hassil.intents import TextSlotList

    return TextSlotList.from_tuples(pairs, allow_template=False)


def tag_lists() -> dict[str, SlotList]:
    """Return the lists that match what stands for a duration, a moment, a percentage, a number."""
    return {
        kind: names(
            (tag, tag) for tag in (tags.tag_of(kind, place) for place in range(tags.MAX_TAGS))
        )
        for kind in tags.KINDS
    }
