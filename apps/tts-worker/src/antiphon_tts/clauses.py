"""Cutting text into pieces that are soon spoken, so that a cancel is soon obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARS = 200
"""About 12 s of speech: half a second of synthesis by Piper on one thread."""

FIRST_CHARS = range(10, 60)
"""Where the first piece of an answer may end: its sound comes after the whole piece."""
SHORT_CHARS = 25
"""What is no longer is not cut."""
BREATH_CHARS = range(18, 60)
"""Where it may end without a mark, if the text is longer than that."""

# From the best place to cut to the worst: behind a sentence, behind a clause, between words.
_CUTS = (re.compile(r"[.!?…。！？][\"')\]]*\s"), re.compile(r"[,;:–—、，；]\s"), re.compile(r"\s"))

_MARK = re.compile(r"[.!?…;:,–—](?=\s)")
# Where a speaker may take breath without a mark.
_BREATHS = (
    re.compile(
        r"(?<=\w)(?=\s(?:and|but|or|because|which|who|that|when|while|where|if|so|with|from|"
        r"in|on|at|for|of|to|is|are|was|were)\s)"
    ),
    re.compile(r"(?<=\w)(?=\s)"),
)


def cut_first(text: str) -> tuple[str, str]:
    """Return a beginning that is soon spoken, and the rest; all of a short text is the beginning.

    It ends at the first mark behind 10 characters; in a text of over 60 without one, before a
    conjunction or the like behind 18, else between two words, and then gets a comma, so that it
    sounds as if it went on.
    """
    if len(text) <= SHORT_CHARS:
        return text, ""
    mark = _MARK.search(text, FIRST_CHARS.start, FIRST_CHARS.stop)
    if mark is not None:
        return text[: mark.end()], text[mark.end() :].lstrip()
    if len(text) > BREATH_CHARS.stop:
        for pattern in _BREATHS:
            breath = pattern.search(text, BREATH_CHARS.start, BREATH_CHARS.stop)
            if breath is not None:
                return f"{text[: breath.end()].rstrip()},", text[breath.end() :].lstrip()
    return text, ""


def cut(text: str, max_chars: int = MAX_CHARS) -> Iterator[str]:
    """Yield `text` in pieces of at most `max_chars` characters; short text comes as it is.

    Long text is cut as late as possible behind a sentence, else behind a clause, else between
    words, else anywhere. Nothing but white space between the pieces is lost, and no piece is blank.
    """
    rest = text
    while len(rest) > max_chars:
        end = _place(rest, max_chars)
        piece, rest = rest[:end].strip(), rest[end:].lstrip()
        if piece:
            yield piece
    if rest.strip():
        yield rest


def _place(text: str, max_chars: int) -> int:
    # The blank behind a piece may stand just past the limit: it is stripped.
    window = text[: max_chars + 1]
    for pattern in _CUTS:
        ends = [found.end() for found in pattern.finditer(window)]
        if ends:
            return ends[-1]
    return max_chars
