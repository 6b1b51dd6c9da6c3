"""Whether two memories say the same, or one contradicts the other.

The rules are for English, and cautious: what they cannot read they leave alone, so that two
memories stand side by side rather than one being lost.
"""

from __future__ import annotations

from typing import Literal

from antiphon_memory.english import plain_words
from antiphon_memory.sentences import MAX_CHARS, Fact, parse

Relation = Literal["same", "supersedes"]

COSINE_FLOOR = 0.3
"""Below, two sentences have nothing to do with each other, whatever the rules read in them.

Of 128 labelled pairs that do have, the least alike has 0.39 (all-MiniLM-L6-v2).
"""


def compare(new: str, old: str, cosine: float | None) -> Relation | None:
    """Return what a new sentence is to an old one; None if both may hold.

    Args:
        new: what was said now.
        old: what was remembered earlier.
        cosine: of the two; None where it is unknown.
    """
    if len(new) > MAX_CHARS or (cosine is not None and cosine < COSINE_FLOOR):
        return None
    words = plain_words(new)
    if words and words == plain_words(old):
        return "same"
    newer, older = parse(new), parse(old)
    if newer is None or older is None:
        return None
    if (newer.subject, newer.attribute) != (older.subject, older.attribute):
        return None
    return _relate(newer, older)


def _relate(new: Fact, old: Fact) -> Relation | None:
    said, known = set(new.value), set(old.value)
    if new.negated != old.negated:
        return "supersedes" if said == known else None
    if said == known:
        return "same"
    if new.negated:
        return None
    if said < known and not new.updates and not new.exact:
        return "same"  # says less: the older one knows more
    return None if new.several and not new.updates else "supersedes"
