"""What of a growing transcript will not change any more.

Local agreement after Liu, Spanakis and Niehues (Interspeech 2020), as whisper_streaming uses it:
what two transcripts in a row have in common is stable.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\S+")


class Agreement:
    """Follows the transcripts of one utterance.

    Attributes:
        text: the last one.
        stable_chars: length of its prefix that will not change any more.
    """

    def __init__(self) -> None:
        self.text = ""
        self.stable_chars = 0

    def add(self, text: str) -> None:
        """Take the next transcript; what was stable stays as it was."""
        before = _words(self.text)
        kept = self.text[: self.stable_chars]
        agreed = self.stable_chars
        words = list(_WORD.finditer(text))
        for place, word in enumerate(words):
            if place >= len(before) or _bare(before[place]) != _bare(word.group()):
                break
            agreed = max(agreed, word.end())
        if _bare(text[: len(kept)]) != _bare(kept):
            rest = words[len(_words(kept)) :]
            text = kept + (" " + text[rest[0].start() :] if rest else "")
            agreed = len(kept)
        self.text, self.stable_chars = text, min(agreed, len(text))

    def settle(self, text: str) -> None:
        """Take a whole transcript, which need not agree with those before."""
        self.text, self.stable_chars = text, len(text)


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _bare(word: str) -> str:
    return re.sub(r"\W+", "", word.casefold())
