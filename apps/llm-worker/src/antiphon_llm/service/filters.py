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


_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning")
_OPEN = (*(f"<{tag}>" for tag in _TAGS), "[think]")
_CLOSE = (*(f"</{tag}>" for tag in _TAGS), "[/think]")
_ANY_TAG, _CLOSING_TAG = (
    re.compile("|".join(map(re.escape, tags)), re.IGNORECASE) for tags in (_OPEN + _CLOSE, _CLOSE)
)
MAX_TAG_CHARS = max(map(len, _OPEN + _CLOSE)) - 1


class ThoughtHabit:
    """How a model marks its thoughts, learnt from its answers.

    Some templates write the opening tag into the prompt, so that only `</think>` comes. Until it is
    known whether such a model thinks, its answers are held back to their end or that tag; models
    are taken for such by their names, or once a closing tag came alone.

    Args:
        model: name of the model.
    """

    NAMES = re.compile(r"\br1\b|think|qwq|reason|magistral|deepseek-r", re.IGNORECASE)

    def __init__(self, model: str = "") -> None:
        self.begins_inside = bool(self.NAMES.search(model))

    def note(self, *, lone_close: bool, tagged: bool) -> None:
        """Learn from an answer that has ended, or came to its closing tag."""
        if lone_close:
            self.begins_inside = True
        elif not tagged:
            self.begins_inside = False


class WithoutThoughts:
    """Drops `<think>…</think>` blocks of reasoning models and the white space around them.

    A tag may come in any number of pieces and in any case; `<thinking>`, `<thought>`, `<reasoning>`
    and `[THINK]` are known as well. A block that never ends is dropped to its end. What comes
    before a closing tag without an opening one is dropped as far as it was not shown yet; see
    `ThoughtHabit`.

    Args:
        habit: of the model; None expects whole blocks.
    """

    def __init__(self, habit: ThoughtHabit | None = None) -> None:
        self._habit = habit or ThoughtHabit()
        self._holds_all = self._habit.begins_inside
        self._held = ""
        self._thinking = False
        self._tagged = False
        self._fresh = True  # nothing was let through since the start or a block's end

    def push(self, text: str) -> str:
        """See `TextFilter`."""
        self._held += text
        shown = ""
        while (tag := self._awaited.search(self._held)) is not None:
            shown += self._before(self._held[: tag.start()], opens=tag[0].lower() in _OPEN)
            self._held = self._held[tag.end() :]
        if self._holds_all:
            return shown
        at = len(self._held) - _overlap(self._held, _CLOSE if self._thinking else _OPEN + _CLOSE)
        ready, self._held = self._held[:at], self._held[at:]
        return shown if self._thinking else shown + self._show(ready)

    @property
    def _awaited(self) -> re.Pattern[str]:
        return _CLOSING_TAG if self._thinking else _ANY_TAG

    def _before(self, text: str, *, opens: bool) -> str:
        """Take note of a tag; returns what of the text before it is shown."""
        is_first, was_thinking = not self._tagged, self._thinking
        if is_first:
            self._habit.note(lone_close=not opens, tagged=True)
        shown = "" if was_thinking or (is_first and not opens) else self._show(text)
        self._thinking, self._tagged, self._holds_all, self._fresh = opens, True, False, True
        return shown

    def finish(self, *, cut: bool) -> str:
        """See `TextFilter`; an answer without any tag is the answer, unless it was cut."""
        rest, self._held = self._held, ""
        if self._holds_all:
            if cut:
                return ""
            self._habit.note(lone_close=False, tagged=False)
        return "" if self._thinking else self._show(rest)

    def _show(self, text: str) -> str:
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return text


def _overlap(text: str, tags: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may begin a tag."""
    end = text[-MAX_TAG_CHARS:]
    return next(
        (
            n
            for n in range(len(end), 0, -1)
            if any(len(tag) > n and tag.startswith(end[-n:].lower()) for tag in tags)
        ),
        0,
    )


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
