"""Echo: what was just spoken at a site, so that the house does not answer itself."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Iterable

from rapidfuzz import fuzz
from text_to_num import alpha2digit

REMEMBERED_S = 15.0
SHORT_WORDS = 3
"""Up to so many words only a whole sentence of ours is ours: `yes` is a person's."""
WHOLE_ALIKE = 92.0
LONG_WORDS = 6
ALIKE, LONG_ALIKE = 88.0, 80.0
"""From these scores on (of 100) words are ours; a recogniser mishears its own house, too."""
KEPT = 16
_WORD = re.compile(r"[\w']+")
_SENTENCE_END = re.compile(r"[.!?…:;\n]+")


def is_echo(heard: str, spoken: Iterable[str]) -> bool:
    """Whether a transcript is what was spoken, or a part of it.

    Compared are words (rapidfuzz's partial ratio), without case and punctuation, and numbers as
    digits. A text that says clearly more than what was spoken is none.
    """
    words = _words(heard)
    if not words:
        return False
    texts = list(spoken)
    if len(words) <= SHORT_WORDS:
        sentences = (part for text in texts for part in _SENTENCE_END.split(text))
        return any(_is_whole(words, _words(sentence)) for sentence in sentences)
    least = LONG_ALIKE if len(words) >= LONG_WORDS else ALIKE
    said = " ".join(word for text in texts for word in _words(text))
    text = " ".join(words)
    if len(text) > len(said):
        return fuzz.ratio(text, said) >= least
    return fuzz.partial_ratio(text, said) >= least


class Echo:
    """Remembers what was spoken at each site, for a short while after it ended."""

    def __init__(self) -> None:
        self._spoken: defaultdict[str, deque[tuple[float, str]]] = defaultdict(
            lambda: deque(maxlen=KEPT)
        )

    def remember(self, site_id: str, text: str) -> None:
        """Note what was spoken until now."""
        if text:
            self._spoken[site_id].append((_now(), text))

    def is_own(self, site_id: str, heard: str, speaking: Iterable[str]) -> bool:
        """Whether what was heard is the house's own voice.

        Args:
            site_id: where.
            heard: the transcript.
            speaking: what is being spoken right now.
        """
        since = _now() - REMEMBERED_S
        former = [text for at, text in self._spoken.get(site_id, ()) if at >= since]
        return is_echo(heard, [*former, *speaking])

    def forget_old(self) -> None:
        """Let go of what was spoken too long ago."""
        since = _now() - REMEMBERED_S
        for site_id in [site for site, kept in self._spoken.items() if kept[-1][0] < since]:
            del self._spoken[site_id]


def _is_whole(words: list[str], sentence: list[str]) -> bool:
    """Whether a few words are a whole sentence; a single one must be the very same."""
    if len(words) == 1 or len(sentence) <= 1:
        return words == sentence
    return fuzz.ratio(" ".join(words), " ".join(sentence)) >= WHOLE_ALIKE


def _words(text: str) -> list[str]:
    return _WORD.findall(alpha2digit(text, "en").casefold().replace("'s", " is"))


def _now() -> float:
    return asyncio.get_running_loop().time()
