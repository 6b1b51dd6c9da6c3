"""The port of engines that hear wake words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lag:
    """How far an engine is behind the end of a phrase, measured with known speech, in ms.

    Attributes:
        sure_ms: from the phrase's end to the score that reaches the threshold.
        rise_ms: from the phrase's end to the first score of one half; below 0 if it comes before.
        length_ms: how long the phrase is at an ordinary speed.
    """

    sure_ms: float = 100.0
    rise_ms: float = 0.0
    length_ms: float = 700.0


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that an engine can hear.

    Attributes:
        name: e.g. `okay_nabu`.
        threshold: score from which it counts unless the settings say otherwise.
        lag: how far the engine is behind.
    """

    name: str
    threshold: float
    lag: Lag = Lag()


@dataclass(frozen=True, slots=True)
class Score:
    """How sure the engine is of a phrase at one place.

    Attributes:
        phrase: its name.
        value: what the threshold is compared with, 0 to 1.
        newest: the same of the newest window alone, where an engine averages over several.
        end: samples, since the stream was opened, up to which this was heard.
    """

    phrase: str
    value: float
    newest: float
    end: int


class PhraseStream(Protocol):
    """Listens for some phrases in one stream without a gap."""

    def push(self, samples: NDArray[np.int16]) -> Iterable[Score]:
        """Return the scores that further sound brings, oldest first.

        Args:
            samples: 16 kHz, int16, any number.
        """
        ...

    def close(self) -> None:
        """Let go of the models' state."""
        ...


class WakeDetector(Protocol):
    """Hears wake words.

    Attributes:
        name: for people and health.
        blocks: whether 80 ms of sound take longer than the event loop may be held up; the engine is
            then called in a thread of its own, else on the loop.
        phrases: what it can hear, by name; complete after `load`.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def blocks(self) -> bool:
        """See the class."""
        ...

    @property
    def phrases(self) -> Mapping[str, Phrase]:
        """See the class."""
        ...

    def load(self) -> None:
        """Find the models.

        Raises:
            ConfigError: the library or a model is missing or broken; the text says what mends it.
        """
        ...

    def open(self, phrases: Sequence[str]) -> PhraseStream:
        """Begin to listen to a stream for phrases out of `phrases`.

        Raises:
            EngineError: a model cannot be used.
        """
        ...
