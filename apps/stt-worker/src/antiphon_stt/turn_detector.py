"""Whether somebody who fell silent has finished: how long to wait before answering."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from antiphon_audio import Pcm


@dataclass(frozen=True, slots=True)
class Patience:
    """How much silence ends an utterance, in ms.

    Attributes:
        short: after what is complete.
        medium: after what may be.
        long: after what is not.
    """

    short: int = 350
    medium: int = 600
    long: int = 900


class TurnDetector(Protocol):
    """Tells how long to wait in silence. All methods block, in a thread of their own.

    Attributes:
        name: for people and health.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def load(self) -> None:
        """Load what it needs.

        Raises:
            ConfigError: it is missing; the text says what mends it.
        """
        ...

    def by_sound(self, speech: Pcm) -> float | None:
        """Return the probability, by its sound, that 16 kHz `speech` is a whole turn.

        Called when a pause begins, before its words are known. None if it does not listen.

        Raises:
            EngineError: it failed.
        """
        ...

    def patience_ms(self, text: str, done: float | None) -> int:
        """Return how much silence ends the utterance.

        Args:
            text: what was understood so far.
            done: what `by_sound` said about it.
        """
        ...


# After these more follows. Words that also end a sentence ("turn it on") are not among them.
_ARTICLES = "a an the my your his her our their its this these those some any every each"
_LINKS = "and or but because if unless until while when where that which who whose as than"
_PREPOSITIONS = "to of for from with into onto at between about during without"
_VERBS = "is are was were be am i'm it's what's who's how's i we they he she you're"
_FILLERS = "um uh er erm hmm ah well like plus minus times please hey okay very really just also"
# What Whisper makes of "and" and "to" where a speaker stops behind them.
_MISHEARD = "end too"
_OPEN_WORDS = frozenset(
    f"{_ARTICLES} {_LINKS} {_PREPOSITIONS} {_VERBS} {_FILLERS} {_MISHEARD}".split()
)
# Whole utterances that mostly go on; "add milk" is often understood as "and milk".
_OPENINGS = re.compile(
    r"^(?:(?:please|can you|could you|would you|will you|i want to|i'd like to)\s+)?"
    r"(?:set(?: (?:a|an|the))?(?: (?:timer|alarm|reminder))?|remind me|wake me(?: up)?|"
    r"turn(?: (?:on|off|up|down))?|switch(?: (?:on|off))?|play|add|call|tell me|show me|give me|"
    r"let me know|remember|what|what is|what are|how|how (?:many|much|far|long|do|old|is)|who|"
    r"who (?:is|was|wrote)|where|where (?:is|are)|when|when (?:is|does|do)|why|which|do|does|"
    r"open|close|(?:add|and) \w+|put|make|translate|send|read|find|look up|search(?: for)?)$"
)
_UNFINISHED = re.compile(
    # "What did I", "how do you", "when does the sun"
    r"^(?:what|how|when|where|why|who|which \w+) (?:do|does|did|can|could|would|should|will|have)"
    r" (?:i|you|we|they|he|she|it|the \w+)$|"
    # "Which day", "how many ounces", "what is 12", "a timer for 10"
    r"^(?:which|what|whose|how many|how much) [a-z]+$|^what(?:'s| is) \d+$|\bfor \d+$|"
    # "If it rains tomorrow", but not "when does it rain"
    r"^(?:if|unless|while|because|(?:when|after|before)(?! (?:do|does|did|is|are|will|can)\b))"
    r"(?: [\w']+){1,5}$"
)
_WORDS = re.compile(r"[^\w\s']+")


class AdaptiveSilence:
    """Decides by the words alone: see `TurnDetector`. Its words are English.

    Args:
        patience: how long to wait.
    """

    name = "adaptive silence"

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def load(self) -> None:
        """Nothing is needed."""

    def by_sound(self, speech: Pcm) -> float | None:  # noqa: ARG002  (the port's signature)
        """It does not listen."""
        return None

    def patience_ms(self, text: str, done: float | None) -> int:  # noqa: ARG002  (as above)
        """See `TurnDetector`."""
        if is_open(text):
            return self._patience.long
        return self._patience.short if is_closed(text) else self._patience.medium


def is_open(text: str) -> bool:
    """Whether an English `text` breaks off: after "and", "um", an article, a comma or the like."""
    if text.rstrip().endswith((",", "...", "…", "-", "–", ":", ";")):
        return True
    words = _WORDS.sub(" ", text.casefold()).split()
    if not words or words[-1] in _OPEN_WORDS:
        return bool(words)
    said = " ".join(words)
    return bool(_OPENINGS.match(said) or ("," not in text and _UNFINISHED.search(said)))


def is_closed(text: str) -> bool:
    """Whether `text` ends as sentences do."""
    return text.rstrip().endswith((".", "?", "!", "。", "？", "！", '"'))
