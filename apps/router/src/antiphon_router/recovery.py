"""Recovery: turns that were open when an earlier life of the router ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import structlog
from antiphon_contracts import PlainAnswer
from antiphon_runtime import Bus

from antiphon_router import phrases
from antiphon_router.answers import Answers
from antiphon_router.hearing import Hearing
from antiphon_router.journal import Journal
from antiphon_router.journal_file import OpenTurn

OWN_ANSWERS_S = 1.0
"""How long after connecting the router listens for answers that it gave just before the crash."""

log = structlog.get_logger(__name__)


class Recovery:
    """Apologises for turns that were left over, once each.

    The answer of a turn may have left in the very moment of the crash. The router listens to its
    own answers: the broker kept them for it, as it keeps all that it subscribes to.

    Args:
        bus: for the apologies.
        journal: knows what was left over.
        answers: where the apologies are published.
        hearing: the sites.
    """

    def __init__(self, bus: Bus, journal: Journal, answers: Answers, hearing: Hearing) -> None:
        self._bus = bus
        self._journal = journal
        self._answers = answers
        self._hearing = hearing
        self._overtaken: set[str] = set()
        self._is_due = False

    def begin(self) -> None:
        """Take up what was left over; to be called before any question is handled."""
        self._is_due = bool(self._journal.left_over)
        for turn in self._journal.left_over:
            self._answers.resume(turn)
            if turn.spoken:
                self._hearing.site(turn.site_id).former_speech = True

    def overtake(self, site_id: str) -> None:
        """A newer turn begins at a site: nothing is said there any more of those before it."""
        if self._is_due:
            self._overtaken.add(site_id)

    async def apologise(self) -> None:
        """Apologise for what was left over, when what can have an answer has shown it."""
        if not self._journal.left_over:
            return
        await self._bus.wait_connected()
        await asyncio.sleep(OWN_ANSWERS_S)
        sites = defaultdict(list)
        for turn in self._journal.left_over:
            if self._journal.is_open(turn.entry):
                sites[turn.site_id].append(turn)
        log.warning("turns.left_over", sites=len(sites))
        self._is_due = False
        for site_id, turns in sites.items():
            self._apologise_at(site_id, turns)

    def _apologise_at(self, site_id: str, turns: list[OpenTurn]) -> None:
        """Publish one answer for each turn, and say one sentence for all of them."""
        site = self._hearing.site(site_id)
        self._hearing.hush_former(site)
        utterances: dict[str, str] = {}
        heard = [turn for turn in turns if turn.spoken]
        if heard and site_id not in self._overtaken:
            speech = self._hearing.compose(site, heard[-1].turn_id)
            self._hearing.announce(site, speech, phrases.LOST_IN_CRASH)
            utterances[heard[-1].turn_id] = speech.utterance_id
        for turn in turns:
            answer = PlainAnswer(
                id=turn.ask_id,
                turn_id=turn.turn_id,
                transcript="",
                answer=phrases.LOST_IN_CRASH,
                route="none",
                error="the router was restarted before it had an answer: ask again",
                utterance_id=utterances.get(turn.turn_id),
            )
            self._answers.apologise(turn, answer)
