"""Turns, and the sites where they take place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from antiphon_contracts import Route, Stage

from antiphon_router.speech import Speech


@dataclass
class Turn:
    """Everything that one utterance causes.

    Attributes:
        turn_id: its id; the utterance's, where there is one.
        site_id: where it was said.
        transcript: what was understood.
        voice: whether it was spoken: a spoken turn interrupts the one before.
        speak: whether the answer is spoken.
        ask_id: the plain question's id, repeated in the answer.
        stages: what took how long, in ms since the recording or text came in.
        before_ms: what the STT worker spent before the router heard of it.
    """

    turn_id: str
    site_id: str
    transcript: str
    voice: bool = False
    speak: bool = True
    ask_id: str | None = None
    stages: list[Stage] = field(default_factory=list)
    before_ms: float = 0.0
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    route: Route = "none"

    def now_ms(self, at: float | None = None) -> float:
        """Return ms since the turn's input came in."""
        moment = asyncio.get_running_loop().time() if at is None else at
        return self.before_ms + (moment - self.began) * 1000

    def stage(self, name: str, start_ms: float, end_ms: float | None = None) -> None:
        """Note a stage that ends now, or at `end_ms`."""
        end = self.now_ms() if end_ms is None else end_ms
        self.stages.append(Stage(name=name, start_ms=round(start_ms, 2), end_ms=round(end, 2)))


@dataclass
class Site:
    """One place's dialogue."""

    site_id: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    current: asyncio.Task[None] | None = None
    last_answer: str = ""
    speeches: dict[str, Speech] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether nothing is going on here."""
        return not self.waiting and not self.speeches
