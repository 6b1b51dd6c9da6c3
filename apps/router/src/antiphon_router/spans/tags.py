"""Tags: durations, moments and numbers become one word each before the grammar sees the text.

The grammar then needs no rules for them and stays small and fast (ADR 5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from antiphon_router.spans.durations import duration_s
from antiphon_router.spans.moments import Moment, moment_of

Value = float | Moment

KINDS = ("when", "duration", "longer", "percent", "number")
MAX_TAGS = 6
"""Of one kind in a text; a text with more of them is no command."""

_A_HUNDRED = re.compile(r"\ba (hundred|thousand|million)\b", re.IGNORECASE)
_HYPHEN = re.compile(r"(?<=\w)-(?=(?:second|minute|hour|day|week)s?\b)", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_PLAIN_HOURS = re.compile(r"\b(?:alarms?|wake|reminder)\b", re.IGNORECASE)
_MORE = re.compile(r"\b(?:more|another)\b", re.IGNORECASE)
_SECOND = re.compile(r"\bsecond(?= (?:\w+ )?timer\b)", re.IGNORECASE)
_GLUED = re.compile(
    r"(?<=\d)(?=(?:km|cm|mm|kg|mg|g|lbs?|oz|ml|l|mi|ft|mph|kph|°?[cf])\b)", re.IGNORECASE
)
_WORD_START = re.compile(r"(?<!\w)(?=\w)")
_PERCENT = re.compile(
    r"\b(?P<whole>\d++(?:\.\d++)?+)(?: ?%| (?:per ?cent|prozent|pour ?cents?)\b)", re.IGNORECASE
)
_NUMBER = re.compile(
    r"(?<![\w.:])(?:minus |-)?(?:(?:a |1 )?(?P<part>half(?: of)?|quarter of|3 quarters of)"
    r" (?:an?|1)\b"
    r"|(?P<whole>\d++(?:\.\d++)?+)(?![\w:%/]|\.\d)(?: and (?:a |1 )?(?P<rest>half|quarter)\b)?)",
    re.IGNORECASE,
)
_PARTS = {"half": 0.5, "quarter": 0.25, "3 quarters": 0.75}


def tag_of(kind: str, place: int) -> str:
    """Return the word that stands for the value of a kind at a place; no person says it."""
    return f"q{kind}{chr(ord('a') + place)}q"


@dataclass(slots=True)
class Tagged:
    """A text with its spans tagged.

    Attributes:
        text: with a word for each span.
        values: by word: the value, and the text that the word stands for.
    """

    text: str
    values: dict[str, tuple[Value, str]] = field(default_factory=dict)

    def restore(self, text: str) -> str:
        """Return a part of the text as it was said."""
        for tag, (_, said) in self.values.items():
            text = text.replace(tag, said)
        return text


class Tagger:
    """Tags spans of one language.

    Args:
        digits: turns number words into digits.
        english: whether durations and moments are those of English; else only numbers are tagged.
    """

    def __init__(self, digits: Callable[[str], str], *, english: bool = True) -> None:
        self._digits = digits
        self._english = english

    def in_digits(self, text: str) -> str:
        """Return a text with its number words as digits."""
        return self._digits(_A_HUNDRED.sub(r"one \1", text))

    def tag(self, text: str) -> Tagged:
        """Return the text with its spans tagged."""
        # `ninety second` would be the 92nd.
        spaced = _SECOND.sub("sec", _HYPHEN.sub(" ", text))
        said = _GLUED.sub(" ", _THOUSANDS.sub("", self.in_digits(spaced)))
        tagged = Tagged(said)
        if self._english:
            self._tag_moments(tagged, plain_hours=bool(_PLAIN_HOURS.search(said)))
            self._tag_durations(tagged)
        for kind, pattern in (("percent", _PERCENT), ("number", _NUMBER)):
            _tag_numbers(tagged, kind, pattern)
        return tagged

    def _tag_moments(self, tagged: Tagged, *, plain_hours: bool) -> None:
        at, place = 0, 0
        while place < MAX_TAGS and (start := _WORD_START.search(tagged.text, at)) is not None:
            begin = start.start()
            length = duration_s(tagged.text, begin)
            is_length = length is not None and length[1] == begin
            found = moment_of(tagged.text, begin, plain_hours=plain_hours)
            if found is None or (is_length and length is not None and length[2] >= found[1]):
                at = length[2] if is_length and length is not None else begin + 1
                continue
            end = found[1] + 2 * tagged.text.startswith("'s", found[1])
            at = _put(tagged, "when", place, found[0], begin, end)
            place += 1

    def _tag_durations(self, tagged: Tagged) -> None:
        at = 0
        for place in range(MAX_TAGS):
            found = duration_s(tagged.text, at)
            if found is None:
                return
            kind = "longer" if _MORE.search(tagged.text, found[1], found[2]) else "duration"
            at = _put(tagged, kind, place, found[0], found[1], found[2])


def _tag_numbers(tagged: Tagged, kind: str, pattern: re.Pattern[str]) -> None:
    at = 0
    for place in range(MAX_TAGS):
        found = pattern.search(tagged.text, at)
        if found is None:
            return
        value = _value(found)
        is_negative = found.group().startswith(("-", "minus", "Minus"))
        at = _put(tagged, kind, place, -value if is_negative else value, found.start(), found.end())


def _value(found: re.Match[str]) -> float:
    said = found.groupdict()
    if part := said.get("part"):
        return _PARTS[part.lower().removesuffix(" of")]
    rest = said.get("rest")
    return float(said["whole"]) + (_PARTS[rest.lower()] if rest else 0.0)


def _put(tagged: Tagged, kind: str, place: int, value: Value, begin: int, end: int) -> int:
    tag = tag_of(kind, place)
    tagged.values[tag] = (value, tagged.text[begin:end])
    tagged.text = f"{tagged.text[:begin]}{tag}{tagged.text[end:]}"
    return begin + len(tag)
