"""How things on lists are recognised: milk, the Milk, some milk; egg and eggs."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SMALL = re.compile(
    r"^(?:(?:a|an|the|some|any|my|our|more|another|un|une|des|der|die|das)\s+)+(?=\S)",
    re.IGNORECASE,
)
_LIST = re.compile(r"^(?:(?:the|my|our|a|an)\s+)+|\s+list$", re.IGNORECASE)
_AS_IT_IS = ("ss", "us", "is")
_HISSING = ("ches", "shes", "xes", "sses", "zes", "oes")
_SAID_AT_ONCE = 20


def item_key(text: str) -> str:
    """Return by what an item is found again, whatever its case, article and number."""
    words = _SMALL.sub("", " ".join(text.split())).strip(" .,!?;").casefold().split()
    if words:
        words[-1] = _singular(words[-1])
    return " ".join(words)


def item_text(text: str) -> str:
    """Return an item as it is shown."""
    return _SMALL.sub("", " ".join(text.split())).strip(" .,!?;")


def list_name(text: str) -> str:
    """Return the name of a list: `my shopping list` is `shopping`."""
    plain = " ".join(text.casefold().split()).strip(" .,!?;")
    return _LIST.sub("", _LIST.sub("", plain)).strip() or plain


def _singular(word: str) -> str:
    if len(word) < 4 or word.endswith(_AS_IT_IS):  # noqa: PLR2004  (gas, bus)
        return word
    if word.endswith("ies") and len(word) > 4:  # noqa: PLR2004  (pies)
        return f"{word[:-3]}y"
    if word.endswith(_HISSING):
        return word[:-2]
    return word.removesuffix("s")


def enumerated(texts: Sequence[str]) -> str:
    """Return `milk, eggs and bread`; of a long list the first twenty and how many more."""
    shown = list(texts[:_SAID_AT_ONCE])
    if len(texts) > len(shown):
        shown.append(f"{len(texts) - len(shown)} more")
    if len(shown) < 2:  # noqa: PLR2004  (nothing to join)
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
