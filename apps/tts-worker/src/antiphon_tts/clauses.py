"""Cutting text into pieces that are soon spoken, so that a cancel is soon obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARS = 200
"""About 12 s of speech: half a second of synthesis by Piper on one thread."""

FIRST_MAX_CHARS = 60
"""The first piece of an answer is cut if it is longer: its sound comes after the whole piece."""
FIRST_MIN_CHARS = 18

# From the best place to cut to the worst: behind a sentence, behind a clause, between words.
_CUTS = (re.compile(r"[.!?…。！？][\"')\]]*\s"), re.compile(r"[,;:–—、，；]\s"), re.compile(r"\s"))

# Where a speaker may take breath: at a mark, else before a word that begins something new.
_BREATHS = (
    re.compile(r"[.!?…;:,–—](?=\s)"),
    re.compile(
        r"(?<=\w)(?=\s(?:and|but|or|because|which|who|that|when|while|where|if|so|with|from|"
        r"in|on|at|for|of|to|is|are|was|were)\s)"
    ),
    re.compile(r"(?<=\w)(?=\s)"),
)


def cut_first(text: str) -> tuple[str, str]:
    """Return a beginning that is soon spoken, and the rest; all of a short text is the beginning.

    It ends at the first mark behind 18 characters, else before a conjunction or the like, else
    between two words, and with a comma where it has no mark: so it sounds as if it went on.
    """
    if len(text) <= FIRST_MAX_CHARS:
        return text, ""
    for pattern in _BREATHS:
        found = pattern.search(text, FIRST_MIN_CHARS, FIRST_MAX_CHARS)
        if found is not None:
            first, rest = text[: found.end()].rstrip(), text[found.end() :].lstrip()
            return (first if found.group() else f"{first},"), rest
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
