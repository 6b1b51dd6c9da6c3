"""A room for tests: its satellite, wake worker and recogniser are scripted by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from antiphon_contracts import (
    DIALOGUE_CONTROL,
    DIALOGUE_STATE,
    HEALTH,
    PLAYBACK_CONTROL,
    SITE_STATUS,
    STT_CONTROL,
    STT_FINAL,
    STT_PARTIAL,
    TTS_STATUS,
    WAKE_EVENT,
    DialogueControl,
    DialogueState,
    Health,
    Message,
    PlaybackControl,
    PlaybackStatus,
    SiteStatus,
    SttControl,
    SttFinal,
    SttPartial,
    TtsSay,
    TtsStatus,
    WakeEvent,
)
from antiphon_contracts.payloads.speech import Rejection
from antiphon_runtime import listen
from antiphon_runtime.testing import Heard

from antiphon_router.testing import Home

STEPS = 100
WAKE_MS = 900


class Room:
    """One site of a `Home`, with a microphone that streams.

    Attributes:
        home: the house.
        site: the room's name.
        windows: the windows that the recogniser was told to open (`SttControl`).
        closed: the windows that it was told to close.
        gates: for how long it was told to be deaf, in seconds.
        playback: what the satellite was told (`PlaybackControl`).
        states: what was published about the dialogue (`DialogueState`).
    """

    def __init__(self, home: Home, site: str = "kitchen") -> None:
        self.home = home
        self.site = site
        self.windows = Heard()
        self.closed = Heard()
        self.gates = Heard()
        self.playback = Heard()
        self.states = Heard()
        self._at_ms = 10_000

    async def begin(self, *, streaming: bool = True, echo_cancelled: bool = False) -> Room:
        """Begin to listen to the router, and have the satellite appear."""
        await self.home.house.serve(
            listen(STT_CONTROL, self._on_order, queue_limit=10_000),
            listen(PLAYBACK_CONTROL, self._on_playback, queue_limit=10_000),
            listen(DIALOGUE_STATE, self._on_state, queue_limit=10_000),
        )
        self.appear(streaming=streaming, echo_cancelled=echo_cancelled)
        await self.states.until(1)
        return self

    # What the router told

    async def _on_order(self, message: Message[SttControl]) -> None:
        if message.site_id != self.site:
            return
        order = message.data
        if order.action == "listen":
            self.windows.add(order)
        elif order.action == "stop":
            self.closed.add(order.utterance_id)
        else:
            self.gates.add(order.window_s)

    async def _on_playback(self, message: Message[PlaybackControl]) -> None:
        if message.site_id == self.site:
            self.playback.add(message.data)

    async def _on_state(self, message: Message[DialogueState]) -> None:
        if message.site_id == self.site:
            self.states.add(message.data)

    @property
    def state(self) -> str:
        """What goes on, e.g. `listening wake`."""
        newest: DialogueState = self.states[-1]
        return f"{newest.state} {newest.reason}".strip()

    async def until_state(self, state: str) -> None:
        """Return when that goes on."""
        await self.states.until(lambda _all: self.state == state)

    async def until_window(self, reason: str, count: int = 1) -> SttControl:
        """Return the newest window, when there are so many of that reason."""

        def enough(windows: Heard) -> bool:
            return [order.reason for order in windows].count(reason) >= count

        await self.windows.until(enough)
        await settled()
        order: SttControl = self.windows[-1]
        return order

    @property
    def actions(self) -> list[str]:
        """What the satellite was told, oldest first."""
        return [order.action for order in self.playback]

    async def until_told(self, action: str, count: int = 1) -> None:
        """Return when the satellite was told so, so often."""
        await self.playback.until(lambda _all: self.actions.count(action) >= count)

    # What is in the room

    def appear(
        self, *, streaming: bool = True, echo_cancelled: bool = False, stream: str = "s1"
    ) -> None:
        """Be a satellite that says what its microphone is for."""
        status = SiteStatus(
            streaming=streaming,
            stream=stream if streaming else "",
            echo_cancelled=echo_cancelled,
        )
        self.home.house.say(SITE_STATUS, status, site_id=self.site)

    def wake(self, *, level_dbfs: float | None = None, again: bool = False) -> None:
        """Say the wake word; `again` reports the same one twice."""
        self._at_ms += 0 if again else 5_000
        event = WakeEvent(
            phrase="okay_nabu",
            score=0.99,
            stream="s1",
            begin_ms=self._at_ms - WAKE_MS,
            offset_ms=self._at_ms,
            detected_ms=self._at_ms + 80,
            level_dbfs=level_dbfs,
        )
        self.home.house.say(WAKE_EVENT, event, site_id=self.site)

    def partial(
        self, text: str, window: SttControl, seq: int = 0, *, candidate: bool = False
    ) -> None:
        """Tell what is understood so far."""
        said = SttPartial(utterance_id=window.utterance_id, seq=seq, text=text, candidate=candidate)
        self.home.house.say(STT_PARTIAL, said, site_id=self.site, turn_id=window.utterance_id)

    def final(
        self,
        text: str,
        window: SttControl,
        *,
        rejected: Rejection | None = None,
        speech_ms: int = 900,
    ) -> None:
        """Answer a window."""
        said = SttFinal(
            utterance_id=window.utterance_id,
            text=text,
            rejected=rejected,
            reason=window.reason,
            speech_ms=speech_ms,
            confidence=0.9,
            endpoint_ms=300,
            final_ms=10,
        )
        self.home.house.say(STT_FINAL, said, site_id=self.site, turn_id=window.utterance_id)

    def control(self, action: Literal["pause", "resume", "stop", "repeat", "listen"]) -> None:
        """Press a button."""
        self.home.house.say(DIALOGUE_CONTROL, DialogueControl(action=action), site_id=self.site)

    def synthesised(self, audio_ms: int = 1000) -> None:
        """Tell that the newest answer has been made."""
        status = TtsStatus(utterance_id=self.utterance_id, state="synthesised", audio_ms=audio_ms)
        self.home.house.say(TTS_STATUS, status, site_id=self.site)

    def plays(
        self,
        state: Literal["started", "finished", "stopped", "failed"],
        played_ms: int = 0,
        utterance_id: str | None = None,
    ) -> None:
        """Tell what becomes of the newest answer, or of another one."""
        status = PlaybackStatus(
            utterance_id=utterance_id or self.utterance_id, state=state, played_ms=played_ms
        )
        self.home.playback(status, self.site)

    def beat(self, state: Literal["ready", "gone"], worker: str = "test") -> None:
        """Tell the satellite's health."""
        health = Health(worker=worker, kind="satellite", state=state, pid=1)
        self.home.house.say(HEALTH, health, worker=worker)

    # What is said there

    @property
    def clauses(self) -> list[TtsSay]:
        """What was sent to be spoken here."""
        return [message.data for message in self.home.said if message.site_id == self.site]

    @property
    def utterance_id(self) -> str:
        """The newest answer."""
        return self.clauses[-1].utterance_id

    @property
    def spoken(self) -> str:
        """The newest answer's words."""
        newest = [clause for clause in self.clauses if clause.utterance_id == self.utterance_id]
        return " ".join(clause.text for clause in newest if clause.text)

    async def until_spoken(self, is_enough: Callable[[Room], bool]) -> None:
        """Return when enough was sent to be spoken."""
        await self.home.said.until(lambda _all: bool(self.clauses) and is_enough(self))

    async def ask(self, text: str) -> SttControl:
        """Say the wake word and a question; returns its window."""
        self.wake()
        before = len(self.windows)
        await self.windows.until(before + 1)
        window: SttControl = self.windows[-1]
        self.final(text, window)
        return window

    async def hear_answer(self, text: str) -> str:
        """Ask, and hear the beginning of the whole answer; returns its utterance."""
        answers = len(self.home.answers)
        await self.ask(text)
        await self.home.answers.until(answers + 1)
        await self.until_spoken(lambda room: room.clauses[-1].last)
        self.synthesised()
        self.plays("started")
        await self.until_state("speaking")
        return self.utterance_id


async def settled() -> None:
    """Return when everything that was said in the house has had its effect."""
    for _ in range(STEPS):
        await asyncio.sleep(0)
