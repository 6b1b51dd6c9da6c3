"""Answers: published once for each turn, and again for a question that comes again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from hashlib import sha256

from antiphon_contracts import ANSWER, PlainAnswer, PlainAsk
from antiphon_runtime import Bus
from antiphon_runtime.replies import SeenIds

from antiphon_router.journal import Journal
from antiphon_router.journal_file import OpenTurn

ANSWER_TTL_S = 60.0
KEPT_ANSWERS = 256


def digest(site_id: str, asked: PlainAsk | str) -> str:
    """Return what a question is known by: where it was asked, and its words or utterance id."""
    words = asked if isinstance(asked, str) else asked.model_dump_json()
    return sha256(f"{site_id}/{words}".encode()).hexdigest()


class Answers:
    """Publishes answers and knows which questions were asked before.

    A plain question is the same one if site, id, text and `speak` are the same.
    """

    def __init__(self, bus: Bus, journal: Journal) -> None:
        self._bus = bus
        self._journal = journal
        self._given: OrderedDict[str, PlainAnswer] = OrderedDict()
        self._under_way: set[str] = set()
        self._utterances = SeenIds()

    def is_new_utterance(self, site_id: str, utterance_id: str) -> bool:
        """Note an utterance; false if it was answered or is being answered."""
        return self._utterances.is_new(digest(site_id, utterance_id))

    def is_new(self, site_id: str, asked: PlainAsk) -> bool:
        """Note a question; one that comes again gets its answer again, when there is one."""
        if asked.id is None:
            return True
        question = digest(site_id, asked)
        if question in self._under_way:
            return False
        if question in self._given:
            self.publish(site_id, self._given[question])
            return False
        self._under_way.add(question)
        return True

    def forget(self, site_id: str, asked: PlainAsk | str) -> None:
        """Take the same question, or the same utterance, for a new one when it comes again."""
        self._given.pop(digest(site_id, asked), None)
        self._utterances.forget(digest(site_id, asked))

    def resume(self, turn: OpenTurn) -> None:
        """Take a question of an earlier life for one that is under way."""
        if turn.ask_id is None:
            self._utterances.is_new(turn.question)
        else:
            self._under_way.add(turn.question)

    def give(
        self,
        site_id: str,
        answer: PlainAnswer,
        asked: PlainAsk | None,
        *,
        may_retry: bool,
        entry: str | None = None,
    ) -> None:
        """Publish the answer to a turn; with `may_retry` the same question may be asked again.

        Args:
            site_id: where it was asked.
            answer: the answer.
            asked: the plain question; None if it was spoken.
            may_retry: whether the same question is a new one when it comes again.
            entry: the turn's, in the journal.
        """
        if asked is not None and asked.id is not None:
            question = digest(site_id, asked)
            self._under_way.discard(question)
            if not may_retry:
                self._given[question] = answer
            if len(self._given) > KEPT_ANSWERS:
                self._given.popitem(last=False)
        self.publish(site_id, answer, entry)

    def apologise(self, turn: OpenTurn, answer: PlainAnswer) -> None:
        """Publish what there is to say to a question of an earlier life; it may be asked again."""
        self._under_way.discard(turn.question)
        self.publish(turn.site_id, answer, turn.entry)

    def publish(self, site_id: str, answer: PlainAnswer, entry: str | None = None) -> None:
        """Publish an answer, but not before its turn is in the journal."""
        send = partial(self._send, site_id, answer.model_dump_json().encode(), entry)
        if entry is not None:
            self._journal.spare(entry)
        written = self._journal.written(entry)
        if written is None:
            send()
        else:
            # The question is acknowledged then: the broker cannot bring it again after its answer.
            written.add_done_callback(lambda _written: send())

    def _send(self, site_id: str, payload: bytes, entry: str | None) -> None:
        sent = self._bus.publish_raw(ANSWER, payload, ttl_s=ANSWER_TTL_S, site=site_id)
        if entry is not None:
            sent.add_done_callback(partial(self._on_sent, entry))

    def _on_sent(self, entry: str, sent: asyncio.Future[None]) -> None:
        """The broker has the answer: the turn is over for good."""
        if not sent.cancelled() and sent.exception() is None:
            self._journal.end(entry)
