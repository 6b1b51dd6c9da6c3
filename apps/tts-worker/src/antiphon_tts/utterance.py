"""One answer's clauses, put in order. Plain values and a clock that the caller reads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Address:
    """Where an utterance is spoken; `turn_id` is what it belongs to."""

    site_id: str
    utterance_id: str
    turn_id: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells utterances apart: two sites may be told the same one."""
        return self.site_id, self.utterance_id


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of text to be spoken.

    Attributes:
        seq: its place in the utterance, from 0.
        text: as it came; may be blank.
        last: whether the utterance ends with it.
        voice: name of a voice; None is the engine's own.
        speed: 1.0 is the voice's own.
    """

    seq: int
    text: str
    last: bool = False
    voice: str | None = None
    speed: float = 1.0


@dataclass(slots=True)
class Utterance:
    """Clauses of one answer, which may come in any order, doubled, or not at all.

    All times are seconds on one monotonic clock.

    Attributes:
        address: where it is spoken.
        priority: higher goes first.
        begun_at: when its first clause came.
        gap_timeout_s: how long a missing clause is waited for.
        idle_timeout_s: how long more is waited for when everything that came was taken.
        closed: whether it has ended, in whatever way; set by whoever ends it.
        taken_seq: the last clause that was taken.
        skipped: how many clauses were given up as lost.
        audio_ms: length of the audio sent so far.
        first_audio_ms: from `begun_at` to the first audio; None before.
    """

    address: Address
    priority: int
    begun_at: float
    gap_timeout_s: float
    idle_timeout_s: float
    closed: bool = False
    taken_seq: int = 0
    skipped: int = 0
    audio_ms: float = 0.0
    first_audio_ms: float | None = None
    _waiting: dict[int, Clause] = field(default_factory=dict)
    _next_seq: int = 0
    _last_seq: int | None = None
    _touched_at: float = 0.0
    _gap_since: float | None = None

    def __post_init__(self) -> None:
        self._touched_at = self.begun_at

    def add(self, clause: Clause, now: float) -> bool:
        """Put a clause in its place; false if it was there already or comes too late."""
        beyond_end = self._last_seq is not None and clause.seq > self._last_seq
        if clause.seq < self._next_seq or clause.seq in self._waiting or beyond_end:
            return False
        self._waiting[clause.seq] = clause
        if clause.last:
            self._last_seq = clause.seq
        self._touch(now)
        return True

    def take(self, now: float) -> Clause | None:
        """Return the clause to be spoken now, or None if the utterance has ended.

        To be called when `due_at` has come.
        """
        end = self._last_seq
        if self._waiting and (end is None or min(self._waiting) <= end):
            seq = min(self._waiting)
            self.skipped += seq - self._next_seq
            self._next_seq = seq + 1
            self.taken_seq = seq
            clause = self._waiting.pop(seq)
            self._touch(now)
            return clause
        return None

    def due_at(self) -> float:
        """Return from when on `take` may be called if nothing more comes; in the past is now."""
        if self._next_seq in self._waiting or self.is_complete:
            return self.begun_at
        if self._gap_since is not None:
            return self._gap_since + self.gap_timeout_s
        return self._touched_at + self.idle_timeout_s

    @property
    def is_complete(self) -> bool:
        """Whether its last clause was taken."""
        return self._last_seq is not None and self._next_seq > self._last_seq

    @property
    def waiting_clauses(self) -> int:
        """Clauses not yet taken."""
        return len(self._waiting)

    @property
    def waiting_chars(self) -> int:
        """Characters not yet taken."""
        return sum(len(clause.text) for clause in self._waiting.values())

    def _touch(self, now: float) -> None:
        self._touched_at = now
        if not self._waiting or self._next_seq in self._waiting:
            self._gap_since = None
        elif self._gap_since is None:
            self._gap_since = now
