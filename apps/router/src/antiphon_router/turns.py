"""Turns, and the sites where they take place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from antiphon_contracts import DialogueState, PlainAsk, Route, SiteStatus, Stage

from antiphon_router.intents import Intent
from antiphon_router.speculation import Tentative
from antiphon_router.speech import Hold, Speech
from antiphon_router.windows import Window


@dataclass(eq=False)
class Turn:
    """Everything that one utterance causes.

    Attributes:
        turn_id: its id; the utterance's, where there is one.
        site_id: where it was said.
        transcript: what was understood.
        voice: whether it was spoken: a spoken turn interrupts the one before.
        asked: the plain question; None if it was spoken.
        live: whether it was spoken into a site's open window, and not recorded.
        before_ms: what the STT worker spent before the router heard of it.
        tentative: a request to the language model that was begun before the final.
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
    live: bool = False
    before_ms: float = 0.0
    tentative: Tentative | None = None
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
    def holds(self) -> bool:
        """Whether it holds what is spoken, or goes on with it."""
        return self.intent is not None and self.intent.holds

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
        hold: whether what is spoken is held.
        window: through which the site is listened to now.
        status: what its microphone is for; None if no satellite said so.
        satellite: the worker that serves it; empty if not known.
        follow_up_due: whether a live answer was just heard to its end.
        gated_until: loop time until which the STT worker is deaf to the site.
        not_before: loop time before which no window opens by itself.
        away: whether its satellite is known to be gone.
        arriving: ids of turns that were heard and are about to be entered.
        calm: set when its conversation pauses; cleared by who waits for it.
        told: the state that was published last.
    """

    site_id: str
    turns: list[Turn] = field(default_factory=list)
    speeches: dict[str, Speech] = field(default_factory=dict)
    last_answer: str = ""
    former_speech: bool = False
    hold: Hold = field(default_factory=Hold)
    window: Window | None = None
    status: SiteStatus | None = None
    satellite: str = ""
    follow_up_due: bool = False
    gated_until: float = 0.0
    not_before: float = 0.0
    away: bool = False
    arriving: list[str] = field(default_factory=list)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    told: DialogueState | None = None

    @property
    def speaking(self) -> bool:
        """Whether something is spoken, or on its way to be."""
        return any(speech.clauses for speech in self.speeches.values())

    @property
    def busy(self) -> bool:
        """Whether a turn is under way, or something is spoken."""
        return bool(self.turns) or bool(self.arriving) or self.speaking

    @property
    def is_calm(self) -> bool:
        """Whether nobody speaks, and nobody is expected to."""
        window = self.window
        listening = window is not None and (window.reason != "open" or window.is_attentive)
        return not (self.busy or self.hold or listening or self.follow_up_due)

    @property
    def streams(self) -> bool:
        """Whether its microphone is known to stream."""
        return self.status is not None and self.status.streaming and not self.away

    @property
    def echo_cancelled(self) -> bool:
        """Whether people may speak while it speaks."""
        return self.streams and self.status is not None and self.status.echo_cancelled

    def interrupt_all(self) -> None:
        """Put an end to every turn whose answer would be heard."""
        for turn in list(self.turns):
            if turn.speak and not turn.stops:
                turn.interrupt()

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
