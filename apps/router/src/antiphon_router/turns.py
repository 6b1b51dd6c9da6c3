"""Turns, and the sites where they take place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from antiphon_contracts import PlainAsk, Route, Stage

from antiphon_router.intents import Intent
from antiphon_router.speech import Speech


@dataclass(eq=False)
class Turn:
    """Everything that one utterance causes.

    Attributes:
        turn_id: its id; the utterance's, where there is one.
        site_id: where it was said.
        transcript: what was understood.
        voice: whether it was spoken: a spoken turn interrupts the one before.
        asked: the plain question; None if it was spoken.
        before_ms: what the STT worker spent before the router heard of it.
        intent: what the fast path understood; None is for the language model.
        route: who answers.
        stages: what took how long, in ms since the recording or text came in.
        entry: its name in the journal; None if it is not in it.
        answered: whether its one answer was given.
        interrupted: whether another turn put an end to it.
        begin: set when the turns before it have ended.
        task: what runs it.
    """

    turn_id: str
    site_id: str
    transcript: str
    voice: bool = False
    asked: PlainAsk | None = None
    before_ms: float = 0.0
    intent: Intent | None = None
    route: Route = "none"
    stages: list[Stage] = field(default_factory=list)
    entry: str | None = None
    answered: bool = False
    interrupted: bool = False
    begin: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def speak(self) -> bool:
        """Whether the answer is spoken."""
        return self.asked is None or self.asked.speak

    @property
    def stops(self) -> bool:
        """Whether it is a `stop` or a `never mind`."""
        return self.intent is not None and self.intent.interrupts

    @property
    def interrupts(self) -> bool:
        """Whether it puts an end to the turn before it."""
        return self.voice or self.stops

    def interrupt(self) -> None:
        """Another turn puts an end to this one."""
        self.interrupted = True
        if self.task is not None:
            self.task.cancel()

    def now_ms(self, at: float | None = None) -> float:
        """Return ms since the turn's input came in."""
        moment = asyncio.get_running_loop().time() if at is None else at
        return self.before_ms + (moment - self.began) * 1000

    def stage(self, name: str, start_ms: float, end_ms: float | None = None) -> None:
        """Note a stage that ends now, or at `end_ms`."""
        end = self.now_ms() if end_ms is None else end_ms
        self.stages.append(Stage(name=name, start_ms=round(start_ms, 2), end_ms=round(end, 2)))


@dataclass(eq=False)
class Site:
    """One place's dialogue.

    Attributes:
        site_id: its name.
        turns: the turn under way, and those that wait behind it.
        speeches: what is being spoken or waits for it, by utterance id.
        last_answer: for `repeat`.
        former_speech: whether something that an earlier life of the router said may still sound.
    """

    site_id: str
    turns: list[Turn] = field(default_factory=list)
    speeches: dict[str, Speech] = field(default_factory=dict)
    last_answer: str = ""
    former_speech: bool = False

    def enter(self, turn: Turn) -> None:
        """Let a turn wait for its `begin`; one that interrupts goes before those that wait.

        It puts an end to the turn under way and to spoken ones that wait; `stop` also to written
        ones whose answers would be spoken, for after a `stop` nothing is to be heard. A `stop` or
        a `never mind` is over in a moment and is never interrupted itself.
        """
        if not turn.interrupts:
            self.turns.append(turn)
        else:
            for place, other in enumerate(self.turns):
                hushed = turn.stops and other.speak
                if not other.stops and (place == 0 or other.voice or hushed):
                    other.interrupt()
            self.turns.insert(1, turn)
        self.turns[0].begin.set()

    def leave(self, turn: Turn) -> None:
        """The turn has ended: the next one begins."""
        if turn in self.turns:
            self.turns.remove(turn)
        if self.turns:
            self.turns[0].begin.set()
