"""Scenes: what a microphone hears, with the truth about where each thing begins and ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from studio import (
    PIPER,
    RATE_HZ,
    SPEECH_DBFS,
    Noise,
    Samples,
    Studio,
    Voice,
    amplified,
    at_snr,
)

WAKE_PHRASE = "okay nabu"
WAKE_SPELLED = "okay nah boo"
"""As it is pronounced: voices that read the other spelling say something else."""
PER_MS = RATE_HZ // 1000

What = Literal["wake", "speech", "sound"]


@dataclass(frozen=True)
class Mark:
    """One thing in a scene.

    Attributes:
        what: a wake phrase, an utterance, or sound without words for us.
        text: the words; of other sound its kind.
        start_ms: where its first loud sample is.
        end_ms: where its last one is.
    """

    what: What
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, eq=False)
class Scene:
    """Sound and what is in it.

    Attributes:
        samples: 16 kHz, int16, shape (n,).
        marks: in order.
    """

    samples: Samples
    marks: tuple[Mark, ...] = ()

    @property
    def duration_ms(self) -> int:
        """Its length."""
        return len(self.samples) // PER_MS

    def of(self, what: What) -> list[Mark]:
        """Return its marks of one kind."""
        return [mark for mark in self.marks if mark.what == what]

    @property
    def speech_end_ms(self) -> int:
        """Where the last utterance ends.

        Raises:
            IndexError: nobody speaks.
        """
        return self.of("speech")[-1].end_ms

    def under(self, noise: Samples, snr_db: float) -> Scene:
        """Return it with noise so far under the speech."""
        return replace(self, samples=at_snr(self.samples, noise, snr_db, speech_db=SPEECH_DBFS))

    def louder(self, gain_db: float) -> Scene:
        """Return it louder; negative is quieter."""
        return replace(self, samples=amplified(self.samples, gain_db))

    def then(self, other: Scene) -> Scene:
        """Return this scene with another one right behind it."""
        by_ms = self.duration_ms
        moved = (
            replace(mark, start_ms=mark.start_ms + by_ms, end_ms=mark.end_ms + by_ms)
            for mark in other.marks
        )
        return Scene(np.concatenate((self.samples, other.samples)), (*self.marks, *moved))


def _whole_ms(samples: Samples) -> Samples:
    """Return it in whole ms, so that marks stay true however much is joined."""
    return np.pad(samples, (0, -len(samples) % PER_MS))


def silence(length_ms: int) -> Scene:
    """Return a scene in which nothing happens."""
    return Scene(np.zeros(length_ms * PER_MS, dtype=np.int16))


def joined(scenes: Iterable[Scene]) -> Scene:
    """Return one scene after the other."""
    whole = silence(0)
    for scene in scenes:
        whole = whole.then(scene)
    return whole


@dataclass
class Author:
    """Writes scenes.

    Attributes:
        studio: where the sound comes from.
    """

    studio: Studio = field(default_factory=Studio)

    def speech(self, text: str, voice: Voice = PIPER, what: What = "speech") -> Scene:
        """Return a scene in which somebody speaks, from the first sample to the last."""
        samples = _whole_ms(self.studio.speech(text, voice))
        return Scene(samples, (Mark(what, text, 0, len(samples) // PER_MS),))

    def wake(self, voice: Voice = PIPER) -> Scene:
        """Return the wake phrase."""
        spoken = self.speech(WAKE_SPELLED, voice, "wake")
        return replace(spoken, marks=(replace(spoken.marks[0], text=WAKE_PHRASE),))

    def in_one_breath(self, text: str, voice: Voice = PIPER) -> Scene:
        """Return a command whose first sample follows the wake phrase's last one."""
        return self.wake(voice).then(self.speech(text, voice))

    def hesitating(self, parts: Sequence[str], pause_ms: int, voice: Voice = PIPER) -> Scene:
        """Return one utterance of several pieces, with a pause of this length between them."""
        pieces = [self.speech(part, voice) for part in parts]
        between = [piece.then(silence(pause_ms)) for piece in pieces[:-1]]
        whole = joined([*between, pieces[-1]])
        text = " ".join(parts)
        return Scene(whole.samples, (Mark("speech", text, 0, whole.duration_ms),))

    def sound(self, kind: Noise, length_s: float, *, dbfs: float = -40.0) -> Scene:
        """Return noise, babble, tones or music."""
        samples = _whole_ms(self.studio.noise(kind, length_s, dbfs=dbfs))
        return Scene(samples, (Mark("sound", kind, 0, len(samples) // PER_MS),))

    def reading(self, length_s: float) -> Scene:
        """Return a person who reads from a book, without ever using the wake phrase."""
        clips = [
            Scene(_whole_ms(samples), (Mark("sound", text, 0, -(-len(samples) // PER_MS)),))
            for samples, text in self.studio.recorded()
        ]
        scenes: list[Scene] = []
        while sum(scene.duration_ms for scene in scenes) < 1000 * length_s:
            scenes += [clips[len(scenes) // 2 % len(clips)], silence(400 + 300 * (len(scenes) % 5))]
        return joined(scenes)


def gaps_ms(marks: Sequence[Mark]) -> list[int]:
    """Return the silence between each mark and the next."""
    return [after.start_ms - before.end_ms for before, after in pairwise(marks)]
