"""Speech: what the router has spoken, clause by clause, and what of it was heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from antiphon_contracts import TTS_SAY, PlaybackStatus, TtsSay, TtsStatus, new_id
from antiphon_runtime import Bus

from antiphon_router import phrases
from antiphon_router.clauses import ClauseChunker, speakable

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
FENCE = "```"


@dataclass(eq=False)
class Speech:
    """One spoken answer.

    Attributes:
        bus: to the TTS worker.
        site_id: where it is spoken.
        turn_id: the turn that it answers.
        question: what the person had said; empty for what does not belong into the history.
        priority: higher goes first.
        utterance_id: the answer's id.
        clauses: what was sent to the TTS worker so far.
        settled: set when what was heard is known.
        recorded: whether it is in the history already.
        first_said_at: loop time of the first clause.
        playing_since: loop time at which a satellite began to play it.
    """

    bus: Bus
    site_id: str
    turn_id: str
    question: str
    priority: int = 10
    utterance_id: str = field(default_factory=new_id)
    clauses: list[str] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    recorded: bool = False
    first_said_at: float | None = None
    playing_since: float | None = None
    _chunker: ClauseChunker = field(default_factory=ClauseChunker)
    _chars: int = 0
    _in_code: bool = False
    _audio_ms: int = 0
    _audio_is_complete: bool = False
    _cut_after: int | None = None
    _overdue_at: float = float("inf")

    # Speaking

    def feed(self, text: str) -> None:
        """Speak what of the growing text makes clauses, up to a bound."""
        room = max(0, MAX_SPOKEN_CHARS - self._chars)
        self._chars += len(text)
        for clause in self._chunker.feed(text[:room]):
            self._say(clause)

    def drop_unsaid(self) -> None:
        """Forget what makes no whole clause yet: it will not be continued."""
        self._chunker = ClauseChunker()
        self._in_code = False

    def finish(self, rest: str = "") -> None:
        """Speak what is left and close the answer; nothing is sent if there was nothing to say."""
        self.feed(rest)
        if self._is_too_long:
            self.drop_unsaid()
            self._publish(phrases.REST_IN_WRITING, last=True)
        else:
            text = " ".join(self._speakable(clause) for clause in self._chunker.flush())
            if text or self.clauses:
                self._publish(text, last=True)
        self._expect_within(SAY_TTL_S)

    @property
    def _is_too_long(self) -> bool:
        return self._chars > MAX_SPOKEN_CHARS or len(self.clauses) >= MAX_CLAUSES

    def _say(self, clause: str) -> None:
        text = self._speakable(clause)
        if text and len(self.clauses) < MAX_CLAUSES:
            self._publish(text, last=False)

    def _speakable(self, clause: str) -> str:
        """Return what of a clause can be spoken; a block of code may span several."""
        if self._in_code:
            _, closing, clause = clause.partition(FENCE)
            self._in_code = not closing
        if clause.count(FENCE) % 2:
            self._in_code = True
        return speakable(clause)

    def _publish(self, text: str, *, last: bool) -> None:
        if self.first_said_at is None:
            self.first_said_at = _now()
        self.bus.publish(
            TTS_SAY,
            TtsSay(
                utterance_id=self.utterance_id,
                seq=len(self.clauses),
                text=text,
                last=last,
                priority=self.priority,
            ),
            site_id=self.site_id,
            turn_id=self.turn_id,
            ttl_s=SAY_TTL_S,
        )
        self.clauses.append(text)

    # Hearing

    @property
    def text(self) -> str:
        """All that was sent to be spoken."""
        return " ".join(clause for clause in self.clauses if clause)

    @property
    def playing(self) -> bool:
        """Whether a satellite has begun to play it."""
        return self.playing_since is not None

    def on_synthesis(self, status: TtsStatus) -> None:
        """Note how much audio there is."""
        self._audio_ms = status.audio_ms
        self._audio_is_complete = status.state != "started"
        if status.state in {"cancelled", "failed"}:
            self._cut_after = status.seq
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
        return _now() > self._overdue_at

    def _expect_within(self, time_s: float) -> None:
        self._overdue_at = _now() + time_s

    def heard(self, status: PlaybackStatus) -> tuple[str, bool]:
        """Return what of the text was heard, and whether it was cut short."""
        if status.state == "finished":
            return self._synthesised, self._cut_after is not None
        return self._heard_in(status.played_ms), True

    def heard_so_far(self) -> str:
        """Return what was probably heard by now, where no satellite says so."""
        return "" if self.playing_since is None else self._heard_in(self._playing_ms)

    @property
    def _playing_ms(self) -> float:
        return 0.0 if self.playing_since is None else (_now() - self.playing_since) * 1000

    @property
    def _synthesised(self) -> str:
        if self._cut_after is None:
            return self.text
        return " ".join(clause for clause in self.clauses[: self._cut_after + 1] if clause)

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
