"""What is taken out of a model's text while it streams."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol


class TextFilter(Protocol):
    """Takes text piece by piece and gives out what is sure to stay."""

    def push(self, text: str) -> str:
        """Return what may be shown now."""

    def finish(self, *, cut: bool) -> str:
        """Return the rest; `cut` says that the model was stopped in the middle."""


class Pipeline:
    """Filters one after another; what they all let through is the answer."""

    def __init__(self, filters: Sequence[TextFilter] = ()) -> None:
        self._filters = tuple(filters)

    def push(self, text: str) -> str:
        """Return what may be shown now."""
        for item in self._filters:
            text = item.push(text)
        return text

    def finish(self, *, cut: bool) -> str:
        """Return the rest."""
        rest = ""
        for item in self._filters:
            rest = (item.push(rest) if rest else "") + item.finish(cut=cut)
        return rest


class WithoutThoughts:
    """Drops `<think>…</think>` blocks of reasoning models and the white space around them.

    A tag may come in any number of pieces. A block that never ends is dropped to its end.
    """

    OPEN = "<think>"
    CLOSE = "</think>"

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._fresh = True  # nothing was let through since the start or a block's end

    def push(self, text: str) -> str:
        """See `TextFilter`."""
        self._held += text
        shown = ""
        while (at := self._held.find(self._tag)) >= 0:
            if not self._thinking:
                shown += self._show(self._held[:at])
            self._held = self._held[at + len(self._tag) :]
            self._thinking = not self._thinking
            self._fresh = True
        at = len(self._held) - _overlap(self._held, self._tag)
        ready, self._held = self._held[:at], self._held[at:]
        return shown if self._thinking else shown + self._show(ready)

    def finish(self, *, cut: bool) -> str:  # noqa: ARG002  (a cut changes nothing here)
        """See `TextFilter`."""
        rest, self._held = self._held, ""
        return "" if self._thinking else self._show(rest)

    @property
    def _tag(self) -> str:
        return self.CLOSE if self._thinking else self.OPEN

    def _show(self, text: str) -> str:
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return text


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of `text` may begin `tag`."""
    longest = min(len(tag) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(tag[:n])), 0)


_SENTENCE_END = re.compile(r"(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bSt)[.!?][\"'”’)\]]*(?=\s)")


class WholeSentences:
    """Lets the first sentence through as it comes, later ones only when they are whole.

    So a model that runs on into its token limit ends at the end of a sentence, and what was
    streamed is still exactly the reply. An unfinished first sentence stays.
    """

    def __init__(self) -> None:
        self._held = ""
        self._first = True

    def push(self, text: str) -> str:
        """See `TextFilter`."""
        self._held += text
        ends = [found.end() for found in _SENTENCE_END.finditer(self._held)]
        if self._first and not ends:
            # A mark at the very end is held back: only what follows tells whether it ends.
            ready = len(self._held.rstrip(" \n.!?\"'”’)]"))
        else:
            self._first = False
            ready = ends[-1] if ends else 0
        shown, self._held = self._held[:ready], self._held[ready:]
        return shown

    def finish(self, *, cut: bool) -> str:
        """See `TextFilter`."""
        rest, self._held = self._held.rstrip(), ""
        whole = rest.endswith((".", "!", "?", '"', "”"))
        return "" if cut and not self._first and not whole else rest


class SecondPerson:
    """Turns an answer's leading "My" into "Your": the small model echoes the speaker's words."""

    def __init__(self) -> None:
        self._held: str | None = ""

    def push(self, text: str) -> str:
        """See `TextFilter`."""
        if self._held is None:
            return text
        self._held += text
        return self._release() if re.search(r"\w\W", self._held) else ""

    def finish(self, *, cut: bool) -> str:  # noqa: ARG002  (a cut changes nothing here)
        """See `TextFilter`."""
        return self._release() if self._held else ""

    def _release(self) -> str:
        text, self._held = self._held or "", None
        return re.sub(r"\A(\W*)My\b", r"\1Your", text)
