"""Preparing: an answer's first words are made ready before it is sure that they will be said."""

from __future__ import annotations

from collections.abc import Callable

from antiphon_contracts import TTS_PREPARE, TtsPrepare
from antiphon_runtime import Bus

from antiphon_router.clauses import SpokenClauses, first_clause
from antiphon_router.commands import Commands
from antiphon_router.intents import Intent
from antiphon_router.rules import SiteRules

PREPARE_TTL_S = 5.0
"""The final comes within a second: what the TTS worker gets later than this is of no use."""


class Preparing:
    """Tells the TTS worker what will probably be said.

    Args:
        bus: for the message, and counts them: `preparations`.
        commands: knows the fast path's answers.
        rules_of: a site's rules: its voice.
    """

    def __init__(self, bus: Bus, commands: Commands, rules_of: Callable[[str], SiteRules]) -> None:
        self._bus = bus
        self._commands = commands
        self._rules_of = rules_of

    def answer(self, site_id: str, turn_id: str, intent: Intent, *, last_answer: str) -> None:
        """Prepare the answer to an intent that asks nobody and changes nothing; no other."""
        answer = self._commands.known_answer(intent.name, intent.slots, last_answer=last_answer)
        if answer is not None and not (intent.then or intent.rest):
            self.clause(site_id, turn_id, first_clause(answer))

    def clause(self, site_id: str, turn_id: str, text: str) -> None:
        """Prepare a first clause, just as it would be said."""
        if not text:
            return
        rules = self._rules_of(site_id)
        self._bus.publish(
            TTS_PREPARE,
            TtsPrepare(text=text, voice=rules.voice, speed=rules.speed),
            site_id=site_id,
            turn_id=turn_id,
            ttl_s=PREPARE_TTL_S,
        )
        self._bus.counters["preparations"] += 1


class FirstClause:
    """Waits for the first clause of a reply that grows, and hands it on, once.

    Args:
        on_clause: gets it.
    """

    def __init__(self, on_clause: Callable[[str], None]) -> None:
        self._on_clause = on_clause
        self._clauses = SpokenClauses()
        self._is_over = False

    def feed(self, text: str) -> None:
        """Take the next piece of the reply."""
        if not self._is_over:
            self._hand_on(next(iter(self._clauses.feed(text)), ""))

    def finish(self, rest: str) -> None:
        """Take the end of the reply."""
        self.feed(rest)
        if not self._is_over:
            self._hand_on(self._clauses.flush())

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._is_over = True

    def _hand_on(self, clause: str) -> None:
        if clause:
            self._is_over = True
            self._on_clause(clause)
