"""Words: how far a transcript is from what was said."""

from __future__ import annotations

import re

from rapidfuzz.distance import Levenshtein
from text_to_num import alpha2digit

_MERIDIEM = re.compile(r"(?<![a-z])([ap])\.?\s?m\b\.?", re.IGNORECASE)
_WORD = re.compile(r"\d|[a-z]+(?:'[a-z]+)?")


def words(text: str) -> list[str]:
    """Return the words of a text as they are compared: lower case, numbers digit by digit.

    So `5:01 PM`, `5.01pm` and `5-0-1 PM` are the same.
    """
    plain = text.lower().replace("%", " percent ")
    return _WORD.findall(_MERIDIEM.sub(r"\1m", alpha2digit(plain, "en")))


def word_error_rate(said: str, heard: str) -> float:
    """Return the share of wrong words (Levenshtein distance of words, over the words said)."""
    wanted = words(said)
    return Levenshtein.distance(wanted, words(heard)) / max(1, len(wanted))
