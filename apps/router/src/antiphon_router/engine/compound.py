"""Compound: two or three commands in one breath, each a sentence that is understood alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from antiphon_router.intents import Intent

MOST_COMMANDS = 3
_LONGEST_SHARED = 6
_NOT_BESIDE = frozenset({"awake", "pause", "resume"})
"""What is about the conversation, and no command beside another."""
_ONLY_FIRST = frozenset({"dismiss", "stop", "undo"})
_FREE = frozenset({"list_add", "list_remove", "note_take", "remember", "reminder_set"})
"""What takes any words, and may have taken another command as its own."""
_MAY_BE_TOLD = frozenset({"device", "scene"})
"""What a person may be reminded of: to turn off the oven."""
_SAID_ONCE = frozenset({"convert", "sum"})
"""What is one sum: five foot and three inches in centimetres."""
_BARE = re.compile(r"(?:the|my|our|all|both|every|in|for|at|on|to)\b", re.IGNORECASE)
"""How a second command begins that leaves out the first's verb."""
_FOR_THE_MODEL = re.compile(
    r"(?:please )?(?:(?:can|could|will|would) you )?(?:please )?"
    r"(?:tell (?:me|us)|explain|describe|sing|recommend|suggest"
    r"|(?:who|what|why|how|when|where|which)(?:'s|'re)? \w+ \w+)\b",
    re.IGNORECASE,
)
"""How a question or a wish begins that a language model answers whatever was said before it."""
_OTHER = re.compile(r"^another(?: one)?\b", re.IGNORECASE)
_ONE = re.compile(r"\b(?:a new one|one|it)\b", re.IGNORECASE)
_IT = re.compile(r"\b(?:it|them|that)\b", re.IGNORECASE)
_INSTEAD = re.compile(r",? (?:instead|as well|too)[.!?]*$", re.IGNORECASE)


class Compound:
    """Takes a sentence apart where a word joins two, and keeps what is understood as a whole.

    Args:
        joints: what stands between two commands, longer ones first.
        alone: returns what one command means; None if it is none.
    """

    def __init__(self, joints: Sequence[str], alone: Callable[[str], Intent | None]) -> None:
        words = "|".join(joints)
        self._joint = re.compile(
            rf"(?:[.,;!?]+ (?:(?:{words}),? )?| (?:{words}),? )", re.IGNORECASE
        )
        self._alone = alone

    def may_be(self, text: str) -> bool:
        """Whether a text has a word that joins."""
        return self._joint.search(text) is not None

    def unfold(self, intent: Intent, text: str) -> Intent:
        """Return an intent, or those of the parts of its text if its own words hold another."""
        if intent.name not in _FREE or not self.may_be(text):
            return intent
        is_list = intent.name in {"list_add", "list_remove"}
        found = self.find(text, shares=is_list and " list" in intent.slots.get("items", ""))
        if found is None or found.then is None:
            return intent
        is_task = intent.name == "reminder_set" and found.then.name in _MAY_BE_TOLD
        return intent if is_task or (found.name != intent.name and not is_list) else found

    def find(self, text: str, most: int = MOST_COMMANDS, *, shares: bool = True) -> Intent | None:
        """Return the first command, with those after it; None if a part is no command.

        Args:
            text: more than one command, perhaps.
            most: of how many commands.
            shares: whether a later command may leave out words that it has in common with the
                first.
        """
        for first, before, after in self._halves(text) if most > 1 else ():
            then = self._second(first, before, after, most - 1, shares=shares)
            if then is not None:
                return replace(first, then=then)
        return None

    def find_first(self, text: str) -> Intent | None:
        """Return the command before a question for the language model; None if there is none."""
        for first, _, after in self._halves(text):
            if first.name not in _FREE and _FOR_THE_MODEL.match(after):
                return replace(first, rest=after)
        return None

    def _halves(self, text: str) -> Iterator[tuple[Intent, str, str]]:
        """Yield each cut after a command: what it means, its text, and the text after it."""
        for joint in self._joint.finditer(text):
            before, after = text[: joint.start()], text[joint.end() :]
            first = self._alone(before)
            if first is not None and first.name not in _NOT_BESIDE:
                yield first, before, after

    def _second(
        self, first: Intent, before: str, after: str, most: int, *, shares: bool
    ) -> Intent | None:
        after = _INSTEAD.sub("", after)
        shared = self._shared(first, before, after) if shares and _BARE.match(after) else None
        found = shared or self._alone(after) or self.find(after, most, shares=shares)
        if found is None and (meant := _with_names(first, after)) != after:
            found = self._alone(meant)
        if found is None and shares:
            found = self._shared(first, before, after)
        refused = _NOT_BESIDE | _ONLY_FIRST
        return None if found is None or found.name in refused else found

    def _shared(self, first: Intent, before: str, after: str) -> Intent | None:
        """Return a second command of the first's kind that leaves out its first words."""
        if first.name in _SAID_ONCE:
            return None
        whole = (self._alone(text) for text in _with_shared_words(first, before, after))
        return next((one for one in whole if one and one.name == first.name), None)


def _with_names(first: Intent, after: str) -> str:
    """Return the second part with what "it" stands for in it, as far as the first tells."""
    if "target" in first.slots:
        return _IT.sub(f"the {first.slots['target']}", after)
    if "list" in first.slots:
        return _IT.sub(f"the {first.slots['list']} list", after)
    kind = first.name.partition("_")[0]
    return _ONE.sub(f"a {kind}", after) if kind in {"timer", "alarm", "reminder"} else after


def _with_shared_words(first: Intent, before: str, after: str) -> Iterator[str]:
    """Yield what is left out in "turn on the lamp and the heater": the first's first words."""
    words = before.split()[:_LONGEST_SHARED]
    kind = first.name.partition("_")[0]
    after = _OTHER.sub(f"{'an' if kind == 'alarm' else 'a'} {kind}", after)
    for count in range(1, len(words)):
        yield f"{' '.join(words[:count])} {after}"
