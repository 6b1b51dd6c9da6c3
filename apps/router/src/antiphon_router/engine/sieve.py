"""The sieve: which of many sentences a text can be at all, before hassil looks at any.

hassil tries each sentence in Python, some 0.1 ms each. Here each is a regular expression that lets
pass whatever hassil could accept, and some more; hassil judges what passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from antiphon_router.spans import tags

if TYPE_CHECKING:
    from hassil.expression import Expression, Sentence

_NO_WORD = re.compile(r"[^\w]+")
_TAGS = {kind: f"q{kind}[a-z]q" for kind in tags.KINDS}


def plain(text: str) -> str:
    """Return a text in small letters, without punctuation."""
    return _NO_WORD.sub(" ", text.lower().replace("'", "")).strip()


Need = str | frozenset[str]
"""What a text must have: a value of a list, by its name, or one of some words."""

MOST_NEEDS = 3
"""More cost more than they spare."""


class Mesh:
    """One sentence of the sieve.

    Args:
        sentence: hassil's.
        rules: the expansion rules that it may refer to.
        skip_words: words that may stand before it.

    Attributes:
        needs: what a text must have to be this sentence, the rarest first.
    """

    def __init__(
        self, sentence: Sentence, rules: Mapping[str, Sentence], skip_words: Iterable[str]
    ) -> None:
        body = _pattern(sentence.expression, rules)
        skipped = "|".join(plain(word) for word in skip_words) or "(?!)"
        self._pattern = re.compile(f"(?:(?:{skipped}) )*{body}")
        needs = sorted(_needed(sentence.expression, rules), key=_commonness)
        self.needs = tuple(needs[:MOST_NEEDS])

    def lets_pass(self, text: str) -> bool:
        """Whether a plain text that has what it needs may be this sentence.

        Args:
            text: as `plain` returns it.
        """
        return self._pattern.fullmatch(text) is not None


def _commonness(need: Need) -> tuple[bool, int, list[str]]:
    """Rank needs: a list is rare, so are few long words; the last part is for a stable order."""
    if isinstance(need, str):
        return need not in tags.KINDS, 0, [need]
    return True, len(need) * 10 - min(map(len, need)), sorted(need)


def _pattern(part: Expression, rules: Mapping[str, Sentence]) -> str:
    from hassil import expression as hassil

    match part:
        case hassil.TextChunk():
            return re.escape(plain(part.text)).replace(r"\ ", " ")
        case hassil.RuleReference():
            return _pattern(rules[part.rule_name].expression, rules)
        case hassil.ListReference():
            return _TAGS.get(part.list_name, ".+")
        case hassil.Alternative():
            options = "|".join(dict.fromkeys(_pattern(item, rules) for item in part.items))
            return f"(?:{options})"
        case hassil.Sequence():
            pieces = [_pattern(item, rules) for item in part.items]
            return " ?".join(piece for piece in pieces if piece)
        case _:
            return ".*"


def _needed(part: Expression, rules: Mapping[str, Sentence]) -> frozenset[Need]:
    """Return what every way through a part of a sentence needs."""
    from hassil import expression as hassil

    match part:
        case hassil.TextChunk():
            words = plain(part.text)
            return frozenset({frozenset({words})}) if words else frozenset()
        case hassil.RuleReference():
            return _needed(rules[part.rule_name].expression, rules)
        case hassil.ListReference():
            return frozenset({part.list_name})
        case hassil.Alternative():
            return _needed_by_all([_needed(item, rules) for item in part.items])
        case hassil.Sequence():
            return frozenset().union(*(_needed(item, rules) for item in part.items))
        case _:
            return frozenset()


def _needed_by_all(options: list[frozenset[Need]]) -> frozenset[Need]:
    """Return what each of some options needs: the same, or one of the words of each."""
    if not options:
        return frozenset()
    words = [[need for need in option if not isinstance(need, str)] for option in options]
    one_of = frozenset().union(*(min(each, key=_commonness) for each in words if each))
    either = {one_of} if all(words) else set()
    return frozenset.intersection(*options) | either
