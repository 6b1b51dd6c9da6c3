"""Speech: what the router has spoken, clause by clause, and what of it was heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from antiphon_contracts import (
    TTS_SAY,
    PlaybackStatus,
    TtsSay,
    TtsStatus,
    new_id,
)
from antiphon_runtime import Bus

from antiphon_router.clauses import ClauseChunker, speakable

SAY_TTL_S = 60.0
UNPLAYED_AFTER_S = 5.0
"""Synthesised speech that no satellite starts to play within this time has no listener."""


@dataclass
class Speech:
    """One spoken answer.

    Attributes:
        site_id: where it is spoken.
        turn_id: the turn that it answers.
        question: what the person had said; empty for announcements.
        clauses: what was sent to the TTS worker so far.
        playing: whether a satellite has begun to play it.
        settled: set when what was heard is known and in the history.
    """

    bus: Bus
    site_id: str
    turn_id: str
    question: str
    priority: int = 10
    utterance_id: str = field(default_factory=new_id)
    clauses: list[str] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    first_said_at: float | None = None
    playing: bool = False
    _chunker: ClauseChunker = field(default_factory=ClauseChunker)
    _closed: bool = False
    _audio_ms: int = 0
    _heard_seq: int | None = None
    _unplayed_at: float = float("inf")

    # Speaking

    def feed(self, text: str) -> None:
        """Speak what of the growing text makes clauses."""
        for clause in self._chunker.feed(text):
            self._say(clause, last=False)

    def finish(self, rest: str = "") -> None:
        """Speak what is left and close the answer."""
        self.feed(rest)
        for clause in self._chunker.flush():
            self._say(clause, last=True)
        if not self._closed:
            self._say("", last=True)
        self._unplayed_at = asyncio.get_running_loop().time() + SAY_TTL_S

    def _say(self, clause: str, *, last: bool) -> None:
        text = speakable(clause)
        if not text and not last:
            return
        if self.first_said_at is None:
            self.first_said_at = asyncio.get_running_loop().time()
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
        self._closed = self._closed or last

    # Hearing

    @property
    def text(self) -> str:
        """All that was sent to be spoken."""
        return " ".join(clause for clause in self.clauses if clause)

    def on_synthesis(self, status: TtsStatus) -> None:
        """Note how much audio there is."""
        self._audio_ms = status.audio_ms
        if status.state in {"cancelled", "failed"}:
            self._heard_seq = status.seq
        if status.state != "started":
            self._unplayed_at = asyncio.get_running_loop().time() + UNPLAYED_AFTER_S

    def on_playback_started(self) -> None:
        """A satellite plays it: only its word counts from now on."""
        self.playing = True

    def is_unplayed(self, now: float) -> bool:
        """Whether nobody has begun to play it in good time."""
        return not self.playing and now > self._unplayed_at

    def heard(self, status: PlaybackStatus) -> tuple[str, bool]:
        """Return what of the text was heard, and whether it was cut short.

        The share of the audio that was played gives the share of the text, cut at a word.
        """
        spoken = self.clauses if self._heard_seq is None else self.clauses[: self._heard_seq + 1]
        text = " ".join(clause for clause in spoken if clause)
        if status.state == "finished" or not text:
            return text, False
        if not self._audio_ms or status.played_ms >= self._audio_ms:
            return (text, True) if status.played_ms else ("", True)
        cut = round(len(text) * status.played_ms / self._audio_ms)
        whole_words, _, _ = text[: cut + 1].rpartition(" ")
        return whole_words, True
