"""Plain answers: whoever asked waits for the one with the right id."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from antiphon_contracts import ContractError, PlainAnswer
from antiphon_runtime import RawMessage
from pydantic import ValidationError


class PlainAnswers:
    """Hands answers to those who wait for them."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[PlainAnswer]] = {}

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
    def expecting(self, key: str) -> Iterator[asyncio.Future[PlainAnswer]]:
        """Wait for the answer with this id or turn while the block runs."""
        answer: asyncio.Future[PlainAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        try:
            yield answer
        finally:
            del self._waiting[key]
            answer.cancel()
