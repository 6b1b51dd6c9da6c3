"""Speech: what the router has spoken, clause by clause, and what of it was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from antiphon_contracts import TTS_SAY, PlaybackStatus, TtsSay, TtsStatus, new_id
from antiphon_runtime import Bus

from antiphon_router import phrases
from antiphon_router.clauses import SpokenClauses

SAY_TTL_S = 60.0
"""Speech that the TTS worker does not begin within this time is not spoken."""
UNPLAYED_AFTER_S = 5.0
"""Synthesised speech that no satellite starts to play within this time has no listener."""
PLAYED_AFTER_S = 600.0
"""A satellite that says nothing for this long while it plays is taken for dead."""
MAX_SPOKEN_CHARS = 10_000
MAX_CLAUSES = 400
CHARS_PER_S = 15.0
"""How fast a voice speaks, where the audio's length is not known yet: 150 words of 6 a minute."""


Outcome = Literal["heard", "interrupted", "unheard", "failed"]


@dataclass(eq=False)
class Hold:
    """Whether what is spoken at a site is held.

    Attributes:
        listening: because somebody speaks, or is about to.
        wanted: because a person said so.
        told: whether the satellite was told to pause.
    """

    listening: bool = False
    wanted: bool = False
    told: bool = False

    def __bool__(self) -> bool:
        return self.listening or self.wanted


@dataclass(eq=False)
class Speech:
    """One spoken answer.

    Attributes:
        bus: to the TTS worker.
        site_id: where it is spoken.
        turn_id: the turn that it answers.
        question: what the person had said; empty for what does not belong into the history.
        priority: higher goes first.
        voice: name of a voice; None is the TTS worker's own.
        speed: rate of speech.
        live: whether a follow-up may be said without a wake word.
        hold: the site's.
        before_first: called before the first clause goes out.
        utterance_id: the answer's id.
        clauses: what was sent to the TTS worker so far, asides too.
        settled: set when what was heard is known.
        outcome: how it ended, once it is settled.
        detail: one sentence for people about a failure.
        muted: whether nothing more of it is sent.
        recorded: whether it is in the history already.
        first_said_at: loop time of the first clause.
        playing_since: loop time at which a satellite began to play it.
        sounding: whether its first sound has been made.
    """

    bus: Bus
    site_id: str
    turn_id: str
    question: str
    priority: int = 10
    voice: str | None = None
    speed: float = 1.0
    live: bool = False
    hold: Hold = field(default_factory=Hold)
    before_first: Callable[[], None] = lambda: None
    utterance_id: str = field(default_factory=new_id)
    clauses: list[str] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Outcome = "unheard"
    detail: str = ""
    muted: bool = False
    recorded: bool = False
    first_said_at: float | None = None
    playing_since: float | None = None
    sounding: bool = False
    _asides: set[int] = field(default_factory=set)
    _unsaid: SpokenClauses = field(default_factory=SpokenClauses)
    _chars: int = 0
    _audio_ms: int = 0
    _audio_is_complete: bool = False
    _cut_after: int | None = None
    _overdue_at: float = float("inf")
    _waiting: list[TtsSay] = field(default_factory=list)
    _sent: int = 0
    _held_since: float | None = None
    _held_s: float = 0.0

    # Speaking

    def feed(self, text: str) -> None:
        """Speak what of the growing text makes clauses, up to a bound."""
        room = max(0, MAX_SPOKEN_CHARS - self._chars)
        self._chars += len(text)
        for clause in self._unsaid.feed(text[:room]):
            if len(self.clauses) < MAX_CLAUSES:
                self._publish(clause, last=False)

    def aside(self, text: str) -> None:
        """Say something that is no part of the answer; only before the answer begins."""
        if self._chars == 0 and not self.muted:
            self._asides.add(len(self.clauses))
            self._publish(text, last=False)

    def drop_unsaid(self) -> None:
        """Forget what makes no whole clause yet: it will not be continued."""
        self._unsaid = SpokenClauses()

    def finish(self, rest: str = "") -> None:
        """Speak what is left and close the answer; nothing is sent if there was nothing to say."""
        self.feed(rest)
        if self._is_too_long:
            self.drop_unsaid()
            self._publish(phrases.REST_IN_WRITING, last=True)
        else:
            text = self._unsaid.flush()
            if text or self.clauses:
                self._publish(text, last=True)
        self._expect_within(SAY_TTL_S)

    @property
    def _is_too_long(self) -> bool:
        return self._chars > MAX_SPOKEN_CHARS or len(self.clauses) >= MAX_CLAUSES

    def _publish(self, text: str, *, last: bool) -> None:
        if self.muted:
            return
        clause = TtsSay(
            utterance_id=self.utterance_id,
            seq=len(self.clauses),
            text=text,
            last=last,
            voice=self.voice,
            speed=self.speed,
            priority=self.priority,
        )
        self.clauses.append(text)
        if self.hold and not self._sent:
            # A satellite that plays nothing has nothing to pause: it must not get the first sound.
            self._waiting.append(clause)
        else:
            self._send(clause)

    def _send(self, clause: TtsSay) -> None:
        if self.first_said_at is None:
            self.first_said_at = _now()
            self.before_first()
        self._sent += 1
        self.bus.publish(
            TTS_SAY, clause, site_id=self.site_id, turn_id=self.turn_id, ttl_s=SAY_TTL_S
        )

    def mute(self) -> None:
        """Send nothing more of it."""
        self.muted = True
        self._waiting.clear()

    def on_held(self) -> None:
        """Its site is held: time does not count."""
        if self._held_since is None:
            self._held_since = _now()

    def on_released(self) -> None:
        """Its site goes on: what waited is sent."""
        if self._held_since is not None:
            held_s = _now() - self._held_since
            self._overdue_at += held_s
            self._held_s += held_s if self.playing else 0.0
            self._held_since = None
        waiting, self._waiting = self._waiting, []
        for clause in waiting:
            self._send(clause)

    # Hearing

    @property
    def text(self) -> str:
        """All that was sent to be spoken."""
        return " ".join(clause for clause in self.clauses if clause)

    @property
    def answer(self) -> str:
        """What of it is the answer."""
        return self._without_asides(self.text)

    @property
    def is_sent(self) -> bool:
        """Whether any of it was sent to the TTS worker."""
        return self._sent > 0

    @property
    def playing(self) -> bool:
        """Whether a satellite has begun to play it."""
        return self.playing_since is not None

    def on_synthesis(self, status: TtsStatus) -> None:
        """Note how much audio there is."""
        self._audio_ms = status.audio_ms
        self._audio_is_complete = status.state != "started"
        self.sounding = status.state in {"started", "synthesised"}
        if status.state in {"cancelled", "failed"}:
            self._cut_after = status.seq
            self.detail = status.detail
        if self._audio_is_complete and not self.playing:
            self._expect_within(UNPLAYED_AFTER_S)

    def on_playback_started(self) -> None:
        """A satellite plays it: only its word counts from now on."""
        if not self.playing:
            self.playing_since = _now()
            self._expect_within(PLAYED_AFTER_S)

    def postpone(self) -> None:
        """Something else is being played before it."""
        self._overdue_at = max(self._overdue_at, _now() + UNPLAYED_AFTER_S)

    @property
    def is_overdue(self) -> bool:
        """Whether nothing more will be heard of it."""
        return self._held_since is None and _now() > self._overdue_at

    def _expect_within(self, time_s: float) -> None:
        self._overdue_at = _now() + time_s

    def heard(self, status: PlaybackStatus) -> tuple[str, bool]:
        """Return what of the answer was heard, and whether it was cut short."""
        if status.state == "finished":
            return self._without_asides(self._synthesised), self._cut_after is not None
        return self._without_asides(self._heard_in(status.played_ms)), True

    def heard_so_far(self) -> str:
        """Return what of the answer was probably heard by now, where no satellite says so."""
        if self.playing_since is None:
            return ""
        return self._without_asides(self._heard_in(self._playing_ms))

    @property
    def _playing_ms(self) -> float:
        if self.playing_since is None:
            return 0.0
        until = _now() if self._held_since is None else max(self._held_since, self.playing_since)
        return max(0.0, until - self.playing_since - self._held_s) * 1000

    @property
    def _synthesised(self) -> str:
        if self._cut_after is None:
            return self.text
        return " ".join(clause for clause in self.clauses[: self._cut_after + 1] if clause)

    def _without_asides(self, heard: str) -> str:
        """Return what of the beginning of `text` is the answer."""
        kept, at = [], 0
        for seq, clause in enumerate(self.clauses):
            if not clause:
                continue
            piece = heard[at : at + len(clause)].strip()
            at += len(clause) + 1
            if piece and seq not in self._asides:
                kept.append(piece)
        return " ".join(kept)

    def _heard_in(self, played_ms: float) -> str:
        """The share of the audio that was played gives the share of the text, cut at a word."""
        text = self._synthesised
        length_ms = float(self._audio_ms)
        if not self._audio_is_complete:
            length_ms = max(length_ms, len(text) / CHARS_PER_S * 1000)
        if played_ms >= length_ms:
            return text if played_ms else ""
        cut = round(len(text) * played_ms / length_ms)
        whole_words, _, _ = text[: cut + 1].rpartition(" ")
        return whole_words


def _now() -> float:
    return asyncio.get_running_loop().time()
