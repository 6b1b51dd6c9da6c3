"""Answers: published once for each turn, and again for a question that comes again."""

from __future__ import annotations

from collections import OrderedDict

from antiphon_contracts import ANSWER, PlainAnswer, PlainAsk
from antiphon_runtime import Bus
from antiphon_runtime.replies import SeenIds

ANSWER_TTL_S = 60.0
KEPT_ANSWERS = 256


class Answers:
    """Publishes answers and knows which questions were asked before.

    A plain question is the same one if site, id, text and `speak` are the same.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._given: OrderedDict[tuple[str, PlainAsk], PlainAnswer] = OrderedDict()
        self._under_way: set[tuple[str, PlainAsk]] = set()
        self._utterances = SeenIds()

    def is_new_utterance(self, site_id: str, utterance_id: str) -> bool:
        """Note an utterance; false if it was answered or is being answered."""
        return self._utterances.is_new(f"{site_id}/{utterance_id}")

    def is_new(self, site_id: str, asked: PlainAsk) -> bool:
        """Note a question; one that comes again gets its answer again, when there is one."""
        question = (site_id, asked)
        if asked.id is None:
            return True
        if question in self._under_way:
            return False
        if question in self._given:
            self.publish(site_id, self._given[question])
            return False
        self._under_way.add(question)
        return True

    def give(
        self, site_id: str, answer: PlainAnswer, asked: PlainAsk | None, *, may_retry: bool
    ) -> None:
        """Publish the answer to a turn; with `may_retry` the same question may be asked again."""
        if asked is not None and asked.id is not None:
            question = (site_id, asked)
            self._under_way.discard(question)
            if not may_retry:
                self._given[question] = answer
            if len(self._given) > KEPT_ANSWERS:
                self._given.popitem(last=False)
        self.publish(site_id, answer)

    def publish(self, site_id: str, answer: PlainAnswer) -> None:
        """Publish an answer."""
        payload = answer.model_dump_json().encode()
        self._bus.publish_raw(ANSWER, payload, ttl_s=ANSWER_TTL_S, site=site_id)
