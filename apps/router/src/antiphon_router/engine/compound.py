"""Compound: two or three commands in one breath, each a sentence that is understood alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from antiphon_router.intents import Intent

MOST_COMMANDS = 3
MOST_JOINTS = 5
"""A text with more is no command; each costs some milliseconds."""
_LONGEST_SHARED = 6
_NOT_BESIDE = frozenset({"awake", "pause", "resume"})
"""What is about the conversation, and no command beside another."""
_ONLY_FIRST = frozenset({"dismiss", "stop", "undo"})
_ENDED_BY = {"timer_set": frozenset({"timer_stop", "timer_cancel"})}
"""What nobody says in one breath with what it ends."""
_FREE = frozenset({"list_add", "list_remove", "note_take", "remember", "reminder_set"})
"""What takes any words; a question after it may be one of them."""
_LISTS = frozenset({"list_add", "list_remove"})
_HOLDS_ANOTHER = re.compile(r" list\b|^(?:set|start|turn|switch|remind|wake)\b", re.IGNORECASE)
"""What is said of a thing on a list where it is another command."""
_SAID_ONCE = frozenset({"convert", "sum"})
"""What is one sum: five foot and three inches in centimetres."""
_BARE = re.compile(r"(?:the|my|our|all|both|every|in|for|at|on|to)\b", re.IGNORECASE)
"""How a second command begins that leaves out the first's verb."""
_NOUN = re.compile(
    r"(?:(?:all|my|the|our) )*(?:timers?|alarms?|reminders?|time|date)", re.IGNORECASE
)
"""What is a command when it is said alone, and the object of the first one beside another."""
_CORRECTION = re.compile(r"(?:no|nope|wait|sorry|actually|not|rather)\b", re.IGNORECASE)
"""How a second part begins that takes the first one back."""
_FOR_THE_MODEL = re.compile(
    r"(?:please )?(?:(?:can|could|will|would) you )?(?:please )?"
    r"(?:tell (?:me|us)|explain|describe|sing|recommend|suggest"
    r"|(?:who|what|why|how|when|where|which)(?:'s|'re)? \w+ \w+)\b",
    re.IGNORECASE,
)
"""How a question or a wish begins that a language model answers whatever was said before it."""
_OTHER = re.compile(r"^another(?: one)?\b", re.IGNORECASE)
_ONE = re.compile(r"\b(?:a new one|one)\b", re.IGNORECASE)
_IT = re.compile(r"\b(?:it|them|that)\b", re.IGNORECASE)
_INSTEAD = re.compile(r",? (?:instead|as well|too)[.!?]*$", re.IGNORECASE)


class Compound:
    """Takes a sentence apart where a word joins two; both parts must be understood.

    Args:
        joints: what stands between two commands, longer ones first.
        alone: returns what one command means; None if it is none.
        is_name: whether a text is only the name of a device: alone that means to turn it on, beside
            another command what is done to that.
    """

    def __init__(
        self,
        joints: Sequence[str],
        alone: Callable[[str], Intent | None],
        is_name: Callable[[str], bool],
    ) -> None:
        words = "|".join(joints)
        self._joint = re.compile(
            rf"(?:[.,;!?]+ (?:(?:{words}),? )?| (?:{words}),? )", re.IGNORECASE
        )
        self._alone = alone
        self._is_name = is_name

    def may_be(self, text: str) -> bool:
        """Whether a text has a word that joins, and not too many."""
        return 0 < len(self._joint.findall(text)) <= MOST_JOINTS

    def unfold(self, intent: Intent, text: str) -> Intent:
        """Return an intent, or those of the parts if a thing for a list is another command.

        What is to be noted, remembered or reminded of stays whole: who wants to be reminded to lock
        the door and turn off the lights wants them on now.
        """
        items = intent.slots.get("items", "")
        if intent.name not in _LISTS or not _HOLDS_ANOTHER.search(items) or not self.may_be(text):
            return intent
        found = self.find(text)
        return intent if found is None else found

    def find(self, text: str, most: int = MOST_COMMANDS) -> Intent | None:
        """Return the first command, with those after it; None if a part is no command.

        Args:
            text: more than one command, perhaps.
            most: of how many commands.
        """
        if most < 2 or not self.may_be(text):  # noqa: PLR2004  (two commands)
            return None
        for first, before, after in self._halves(text):
            then = self._second(first, before, after, most - 1)
            if then is not None:
                return replace(first, then=then)
        return None

    def find_first(self, text: str) -> Intent | None:
        """Return the command before a question for the language model; None if there is none."""
        for first, _, after in self._halves(text) if self.may_be(text) else ():
            if first.name not in _FREE and _FOR_THE_MODEL.match(after):
                return replace(first, rest=after)
        return None

    def _halves(self, text: str) -> Iterator[tuple[Intent, str, str]]:
        """Yield each cut after a command: what it means, its text, and the text after it."""
        for joint in self._joint.finditer(text):
            before, after = text[: joint.start()], text[joint.end() :]
            first = self._part(before)
            if first is not None and first.name not in _NOT_BESIDE:
                if _CORRECTION.match(after):
                    return
                yield first, before, after

    def _part(self, text: str) -> Intent | None:
        """Return what a part means; a bare name or noun means nothing without a verb."""
        if self._is_name(text) or _NOUN.fullmatch(text.strip(" .?!,")):
            return None
        return self._alone(text)

    def _second(self, first: Intent, before: str, after: str, most: int) -> Intent | None:
        after = _INSTEAD.sub("", after)
        named = _with_names(first, after)
        leaves_out = _BARE.match(after) or self._is_name(after) or _NOUN.match(after)
        found = self._part(named) if named != after else None
        if found is None and leaves_out:
            found = self._shared(first, before, after, most)
        if found is None:
            found = self._part(after) or self.find(after, most)
            if found is not None and found.name.startswith("volume") and _IT.search(after):
                return None  # what "it" is, is not certain
        if found is None:
            found = self._shared(first, before, after, most)
        refused = _NOT_BESIDE | _ONLY_FIRST
        if first.name in _ENDED_BY:
            refused |= _ENDED_BY[first.name]
        return None if found is None or found.name in refused else found

    def _shared(self, first: Intent, before: str, after: str, most: int) -> Intent | None:
        """Return a second command of the first's kind that leaves out its first words."""
        if first.name in _SAID_ONCE:
            return None
        for text in _with_shared_words(first, before, after):
            found = self._part(text) or self.find(text, most)
            if found is not None and _is_alike(first, found):
                return found
        return None


def _is_alike(first: Intent, second: Intent) -> bool:
    """Whether the second does the same to something else."""
    if second.name != first.name:
        return second.name.partition("_")[2] == first.name.partition("_")[2] == "cancel"
    return "target" not in first.slots or first.slots["target"] != second.slots.get("target")


def _with_names(first: Intent, after: str) -> str:
    """Return the second part with what "it" stands for in it, as far as the first tells."""
    if "target" in first.slots:
        return _IT.sub(f"the {first.slots['target']}", after)
    if "list" in first.slots:
        return _IT.sub(f"the {first.slots['list']} list", after)
    kind = first.name.partition("_")[0]
    if kind not in {"timer", "alarm", "reminder"}:
        return after
    return _IT.sub(f"the {kind}", _ONE.sub(f"a {kind}", after))


def _with_shared_words(first: Intent, before: str, after: str) -> Iterator[str]:
    """Yield what is left out in "turn on the lamp and the heater": the first's first words."""
    words = before.split()[:_LONGEST_SHARED]
    kind = first.name.partition("_")[0]
    after = _OTHER.sub(f"{'an' if kind == 'alarm' else 'a'} {kind}", after)
    for count in range(1, len(words)):
        yield f"{' '.join(words[:count])} {after}"
