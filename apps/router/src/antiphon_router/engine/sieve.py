"""The sieve: which of many sentences a text can be at all, before hassil looks at any.

hassil tries each sentence in Python, some 0.1 ms each. Here each is a regular expression that lets
pass whatever hassil could accept, and some more; hassil judges what passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from antiphon_router.spans import tags

if TYPE_CHECKING:
    from hassil.expression import Expression, Sentence

_NO_WORD = re.compile(r"[^\w]+")
_TAGS = {kind: f"q{kind}[a-z]q" for kind in tags.KINDS}


def plain(text: str) -> str:
    """Return a text in small letters, without punctuation."""
    return _NO_WORD.sub(" ", text.lower().replace("'", "")).strip()


class Mesh:
    """One sentence of the sieve.

    Args:
        sentence: hassil's.
        rules: the expansion rules that it may refer to.
        skip_words: words that may stand before it.

    Attributes:
        lists: names of the lists without a value of which it cannot match.
    """

    def __init__(
        self, sentence: Sentence, rules: Mapping[str, Sentence], skip_words: Iterable[str]
    ) -> None:
        body = _pattern(sentence.expression, rules)
        skipped = "|".join(plain(word) for word in skip_words) or "(?!)"
        self._pattern = re.compile(f"(?:(?:{skipped}) )*{body}")
        self.lists = _needed(sentence.expression, rules)

    def lets_pass(self, text: str, is_there: Callable[[str], bool]) -> bool:
        """Whether a plain text may be this sentence.

        Args:
            text: as `plain` returns it.
            is_there: whether a list has a value that is in the text.
        """
        return all(is_there(name) for name in self.lists) and bool(self._pattern.fullmatch(text))


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


def _needed(part: Expression, rules: Mapping[str, Sentence]) -> frozenset[str]:
    """Return the lists that every way through a part of a sentence goes through."""
    from hassil import expression as hassil

    match part:
        case hassil.RuleReference():
            return _needed(rules[part.rule_name].expression, rules)
        case hassil.ListReference():
            return frozenset({part.list_name})
        case hassil.Alternative():
            options = [_needed(item, rules) for item in part.items]
            return frozenset.intersection(*options) if options else frozenset()
        case hassil.Sequence():
            return frozenset().union(*(_needed(item, rules) for item in part.items))
        case _:
            return frozenset()
