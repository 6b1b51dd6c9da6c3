"""Cutting text into pieces that are soon spoken, so that a cancel is soon obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARS = 200
"""About 12 s of speech: half a second of synthesis by Piper on one thread."""

# From the best place to cut to the worst: behind a sentence, behind a clause, between words.
_CUTS = (re.compile(r"[.!?…。！？][\"')\]]*\s"), re.compile(r"[,;:–—、，；]\s"), re.compile(r"\s"))


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
