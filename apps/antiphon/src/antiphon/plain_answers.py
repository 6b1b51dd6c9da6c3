"""Plain questions and answers: whoever asked waits for the answer with the right id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import orjson
from antiphon_contracts import ASK_SITE, ContractError, PlainAnswer, new_id
from antiphon_runtime import Bus, RawMessage
from pydantic import ValidationError

ANSWER_TIMEOUT_S = 75.0


@dataclass(frozen=True)
class Question:
    """A written question that was sent.

    Attributes:
        sent: done when the broker has it.
        answer: done when the answer is there.
    """

    sent: asyncio.Future[None]
    answer: asyncio.Future[PlainAnswer]


class PlainAnswers:
    """Asks, and hands answers to those who wait for them.

    A broker that died may have lost an answer before this side was connected anew. Every written
    question that waits is asked again then, under its id: the router repeats an answer it has
    given and drops a question that is under way.

    Args:
        bus: of the caller, not yet open.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, asyncio.Future[PlainAnswer]] = {}
        self._questions: dict[str, Callable[[], asyncio.Future[None]]] = {}
        bus.at_connect(self._ask_again)

    async def on_answer(self, message: RawMessage) -> None:
        """Take in an answer.

        Raises:
            ContractError: it is none.
        """
        try:
            answer = PlainAnswer.model_validate(orjson.loads(message.payload))
        except (ValidationError, orjson.JSONDecodeError) as error:
            msg = "an answer that is none"
            raise ContractError(msg) from error
        for key in (answer.id, answer.turn_id):
            future = self._waiting.get(key or "")
            if future is not None and not future.done():
                future.set_result(answer)

    @contextmanager
    def asking(self, text: str, site_id: str, *, speak: bool) -> Iterator[Question]:
        """Ask at a site; the question waits for its answer while the block runs."""
        ask_id = new_id()
        payload = orjson.dumps({"text": text, "id": ask_id, "speak": speak})
        publish = partial(
            self._bus.publish_raw, ASK_SITE, payload, ttl_s=ANSWER_TIMEOUT_S, site=site_id
        )
        with self.expecting(ask_id) as answer:
            self._questions[ask_id] = publish
            try:
                yield Question(publish(), answer)
            finally:
                del self._questions[ask_id]

    def _ask_again(self) -> None:
        for ask_id, publish in self._questions.items():
            if not self._waiting[ask_id].done():
                publish()

    @contextmanager
    def expecting(self, key: str) -> Iterator[asyncio.Future[PlainAnswer]]:
        """Wait for the answer with this id or turn while the block runs."""
        answer: asyncio.Future[PlainAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        try:
            yield answer
        finally:
            del self._waiting[key]
            answer.cancel()
