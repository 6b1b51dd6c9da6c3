"""Matching: the sentences of some files, and what hassil finds of them in a text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from antiphon_router.engine.sieve import Mesh, Need, plain
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
        self._single = [single for source in sources for single in _parsed(source)]
        self._by_needs: dict[tuple[Need, ...], list[int]] = {}
        for place, (mesh, _) in enumerate(self._single):
            self._by_needs.setdefault(mesh.needs, []).append(place)
        self._lists: dict[str, SlotList] = {}
        self._names: dict[str, list[str]] = {}

    def use(self, lists: Mapping[str, Iterable[tuple[str, str]]]) -> None:
        """Take these lists of names from now on: as they are said, and as they are meant."""
        pairs = {name: list(said) for name, said in lists.items()}
        self._lists = tag_lists() | {name: names(said) for name, said in pairs.items()}
        self._names = {name: [plain(spoken) for spoken, _ in said] for name, said in pairs.items()}

    def matches(self, text: str) -> Iterator[Match]:
        """Yield what the text may mean, the likeliest first."""
        from hassil import recognize_all

        found: list[RecognizeResult] = []
        for intents in self._candidates(text):
            found.extend(recognize_all(text, intents, slot_lists=self._lists))
        for result in sorted(found, key=unlikeliness):
            yield str(result.intent.name), _slots(result, text)

    def _candidates(self, text: str) -> Iterator[Intents]:
        words = plain(text)
        known: dict[Need, bool] = {}
        for place in sorted(self._places(words, known)):
            mesh, intents = self._single[place]
            if mesh.lets_pass(words):
                yield intents

    def _places(self, words: str, known: dict[Need, bool]) -> Iterator[int]:
        for needs, places in self._by_needs.items():
            for need in needs:
                if (has := known.get(need)) is None:
                    has = known[need] = self._has(need, words)
                if not has:
                    break
            else:
                yield from places

    def _has(self, need: Need, words: str) -> bool:
        if not isinstance(need, str):
            return any(word in words for word in need)
        if need in tags.KINDS:
            return f"q{need}" in words
        return need not in self._names or any(spoken in words for spoken in self._names[need])


@cache
def _parsed(source: str) -> tuple[tuple[Mesh, Intents], ...]:
    """Return each sentence of a source alone; matching changes nothing in it."""
    from hassil import Intents

    return tuple(_taken_apart(Intents.from_yaml(io.StringIO(source))))


def _taken_apart(intents: Intents) -> Iterator[tuple[Mesh, Intents]]:
    """Yield each sentence alone."""
    for intent in intents.intents.values():
        for data in intent.data:
            for text in data.sentence_texts:
                alone = replace(data, sentence_texts=[text])
                single = replace(intents, intents={intent.name: replace(intent, data=[alone])})
                yield Mesh(alone.sentences[0], intents.expansion_rules, intents.skip_words), single


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
