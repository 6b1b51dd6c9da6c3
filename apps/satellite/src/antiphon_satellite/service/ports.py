"""What the satellite needs of a device, and what a device finds at the other end.

Devices pull: a speaker takes sound from a `Source` when it can play it, so that what was taken is
what is played. Sound is mono int16 of shape (n,).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


def no_samples() -> Samples:
    """Return sound of no length."""
    return np.zeros(0, dtype=np.int16)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Sound of one utterance, or none.

    Attributes:
        utterance_id: whose sound it is; None when nothing is to be played.
        samples: at the device's rate; may be empty.
        last: whether the utterance ends with this block.
    """

    utterance_id: str | None = None
    samples: Samples = field(default_factory=no_samples)
    last: bool = False


class Source(Protocol):
    """Where a speaker takes its sound from."""

    def attach(self, rate_hz: int, *, pace: float = 1.0) -> None:
        """Say that the device is open. To be called on the event loop, before anything else.

        Args:
            rate_hz: rate of the samples that the device wants.
            pace: seconds of sound that it plays in a second; 0 is any number, at once.
        """

    def pull(self, frames: int, *, delay_s: float = 0.0) -> Block:
        """Take at most `frames` samples; callable from any thread, never waits for sound.

        Args:
            frames: how many samples the device has room for.
            delay_s: how long until the first of them is heard.
        """

    def settle(self) -> None:
        """Say that everything up to a `last` block is in safe hands; callable from any thread."""

    async def ready(self) -> None:
        """Return when a pull may give something else than before (for devices on the loop)."""


class Speaker(Protocol):
    """A device that plays."""

    @property
    def name(self) -> str:
        """What people call it."""

    async def play(self, source: Source) -> None:
        """Open the device, attach it, and play until cancelled.

        Raises:
            EngineError: the device cannot be opened or was lost; it may be tried again.
        """


class Sink(Protocol):
    """Where a microphone leaves its sound."""

    def attach(self, rate_hz: int) -> None:
        """Say that the device is open. To be called on the event loop."""

    def push(self, samples: Samples) -> None:
        """Hand over samples; callable from any thread, returns at once."""


class Microphone(Protocol):
    """A device that records."""

    @property
    def name(self) -> str:
        """What people call it."""

    async def record(self, sink: Sink) -> None:
        """Open the device, attach it, and hand over sound until cancelled.

        It returns by itself only when there will be no more sound.

        Raises:
            EngineError: the device cannot be opened or was lost.
        """


class Notes(Protocol):
    """Where it is said that the satellite works with less."""

    def note(self, name: str, sentence: str) -> None:
        """Say what does not work, and why."""

    def clear_note(self, name: str) -> None:
        """It works again."""
