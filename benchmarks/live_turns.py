"""Spoken turns: somebody says something in a room, and all that came of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from antiphon.wording import words
from antiphon_contracts import (
    LlmRequest,
    LlmStream,
    PlainAnswer,
    SttFinal,
    SttPartial,
    TtsSay,
    WakeEvent,
)
from figures import spread
from live_house import SETTLE_MS, LiveHouse
from room import Played, Room
from scenes import Scene, joined, silence
from studio import Voice
from witness import Seen, Sound

WAKE_TIMEOUT_S = 3.0
FINAL_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
WAKE_WORDS = re.compile(r"\b(ok|okay|nab\w*|nav[ou]\w*|na boo)\b", re.IGNORECASE)

VOICES: tuple[Voice, ...] = (
    Voice("piper"),
    Voice("piper", 0.85),
    Voice("piper", 1.15),
    Voice("piper", 1.0, -200),
    Voice("piper", 1.0, 200),
    Voice("piper", 0.85, -200),
    Voice("piper", 0.85, 200),
    Voice("piper", 1.15, -200),
    Voice("piper", 1.15, 200),
    Voice("en-us"),
    Voice("en-gb"),
    Voice("en-us+m3"),
)


@dataclass
class Turn:
    """What came of something that was said; None is what did not come.

    Attributes:
        scene: what was said.
        played: where it lies in the room's stream.
        wake: the wake word.
        partials: what was understood on the way.
        final: the transcript.
        answer: the answer.
        sound: its first sound.
        stages: loop times of what else passed, by name.
    """

    scene: Scene
    played: Played
    wake: Seen[WakeEvent] | None = None
    partials: list[Seen[SttPartial]] = field(default_factory=list)
    final: Seen[SttFinal] | None = None
    answer: Seen[PlainAnswer] | None = None
    sound: Seen[Sound] | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was understood."""
        return self.final.data.text if self.final else ""

    @property
    def wanted(self) -> str:
        """What was said, but for the wake phrase."""
        return " ".join(mark.text for mark in self.scene.of("speech"))

    @property
    def decided_at(self) -> float | None:
        """When the end of speech was found."""
        return None if self.final is None else self.final.at - self.final.data.final_ms / 1000

    def since_speech_ms(self, at: float) -> float:
        """Return how long after the last sample of speech a moment was."""
        return 1000 * (at - self.played.at(self.scene.speech_end_ms))

    def since_wake_ms(self) -> float | None:
        """Return how long after the last sample of the wake phrase it was reported."""
        if self.wake is None:
            return None
        return 1000 * (self.wake.at - self.played.at(self.scene.of("wake")[-1].end_ms))

    def times_ms(self) -> Iterator[tuple[str, float]]:
        """Yield what passed when, in ms after the last sample of speech."""
        moments = {
            "wake event": self.wake.at if self.wake else None,
            "end of speech found": self.decided_at,
            "final": self.final.at if self.final else None,
            **self.stages,
            "first audio": self.sound.at if self.sound else None,
        }
        for name, at in moments.items():
            if at is not None:
                yield name, self.since_speech_ms(at)


async def take_turn(
    live: LiveHouse, room: Room, scene: Scene, *, answered: bool = True, settle_ms: int = SETTLE_MS
) -> Turn:
    """Let a room hear a scene with a wake phrase, and wait for what comes of it.

    Args:
        live: the house.
        room: where.
        scene: what is said.
        answered: whether to wait for the answer's first sound; else for the transcript alone.
        settle_ms: quiet before it.
    """
    whole = joined([silence(settle_ms), scene])
    turn = Turn(whole, room.play(whole))
    await turn.played.over()
    witness, site, since = live.witness, room.site, turn.played.at(0)
    with suppress(TimeoutError):
        turn.wake = await witness.first(WakeEvent, site, since=since, timeout_s=WAKE_TIMEOUT_S)
        turn.final = final = await witness.first(
            SttFinal, site, since=turn.wake.at, timeout_s=FINAL_TIMEOUT_S
        )
        name = final.data.utterance_id
        turn.partials = witness.all(
            SttPartial, site, since=since, where=lambda partial: partial.utterance_id == name
        )
        if answered and final.data.text:
            await _await_answer(live, turn, site, since)
    return turn


async def _await_answer(live: LiveHouse, turn: Turn, site: str, since: float) -> None:
    assert turn.final is not None
    turn_id = turn.final.data.utterance_id
    turn.answer = answer = await live.witness.first(
        PlainAnswer,
        site,
        since=since,
        where=lambda answer: answer.turn_id == turn_id,
        timeout_s=ANSWER_TIMEOUT_S,
    )
    if answer.data.utterance_id is not None:
        turn.sound = await live.witness.first(
            Sound,
            site,
            since=since,
            where=lambda sound: sound.utterance_id == answer.data.utterance_id,
            timeout_s=ANSWER_TIMEOUT_S,
        )
    # Only what came of this turn: nothing else is asked in this room meanwhile.
    for name, kind in (
        ("asked the model", LlmRequest),
        ("model's first words", LlmStream),
        ("first clause", TtsSay),
    ):
        passed = live.witness.all(kind, site, since=since)
        if passed:
            turn.stages[name] = passed[0].at


async def quiet_again(live: LiveHouse, room: Room) -> None:
    """Return when a room's answer is over, and nothing goes on there any more."""
    await live.idle(room.site)


def waterfall(turns: Sequence[Turn]) -> dict[str, float]:
    """Return the median of each moment, in ms after the last sample of speech, in order."""
    found: dict[str, list[float]] = {}
    for turn in turns:
        for name, ms in turn.times_ms():
            found.setdefault(name, []).append(ms)
    medians = {name: round(spread(times).p50, 1) for name, times in found.items()}
    return dict(sorted(medians.items(), key=lambda item: item[1]))


def first_word_kept(wanted: str, heard: str) -> bool:
    """Whether a transcript begins as what was said does: `what's` is as good as `what is`."""
    first, found = words(wanted)[:1], words(heard)[:1]
    return [word.partition("'")[0] for word in first] == [w.partition("'")[0] for w in found]


def has_wake_phrase(text: str) -> bool:
    """Whether a transcript has something of the wake phrase in it."""
    return WAKE_WORDS.search(text) is not None
