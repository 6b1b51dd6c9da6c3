"""The language model, as the router talks to it: a request, a stream of deltas, a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from antiphon_contracts import (
    LLM_CANCEL,
    LLM_REQUEST,
    BusError,
    EngineError,
    LlmCancel,
    LlmRequest,
    LlmResponse,
    LlmStream,
    Message,
    new_id,
)
from antiphon_runtime import Bus

MAX_DELTAS = 8192


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply's whole text, and one sentence for people if it came to an early end."""

    text: str
    error: str | None = None


class _Stream:
    """Deltas of one reply, in order; after a gap none, for the reply itself brings the rest."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue(MAX_DELTAS)
        self._next = 0

    def add(self, seq: int, delta: str) -> None:
        if seq == self._next and not self.queue.full():
            self._next += 1
            self.queue.put_nowait(delta)


class LanguageModel:
    """Asks the LLM worker.

    Args:
        bus: for the request and the cancel.
        timeout_s: how long a reply may take.
        use_rag: whether long-term memory is looked into.
        tools: whether tools may be called.
    """

    def __init__(self, bus: Bus, *, timeout_s: float, use_rag: bool, tools: bool) -> None:
        self._bus = bus
        self._timeout_s = timeout_s
        self._use_rag = use_rag
        self._tools = tools
        self._streams: dict[str, _Stream] = {}

    def on_delta(self, message: Message[LlmStream]) -> None:
        """Take in a piece of a reply; late and foreign ones are dropped."""
        stream = self._streams.get(message.correlation_id or "")
        if stream is not None:
            stream.add(message.data.seq, message.data.delta)

    async def reply(
        self,
        text: str,
        *,
        site_id: str,
        turn_id: str,
        on_text: Callable[[str], None] | None,
    ) -> Reply:
        """Return the reply; `on_text` gets it piece by piece as it is made, all of it.

        When cancelled, the LLM worker is told to stop.

        Raises:
            BusError: the worker is away, busy or too slow.
            EngineError: there is no reply at all; the text is a sentence for people.
        """
        request_id = new_id()
        stream = self._streams[request_id] = _Stream()
        answered = False
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(
                    self._ask(text, site_id, turn_id, request_id, stream),
                    name=f"llm:{request_id}",
                )
                fed = await self._forward(stream, on_text)
            outcome = asking.result()
            answered = True
        finally:
            del self._streams[request_id]
            if not answered:
                self._bus.publish(LLM_CANCEL, LlmCancel(request_id=request_id), turn_id=turn_id)
        if isinstance(outcome, BusError):
            if not fed:
                raise outcome
            return Reply(fed, error=str(outcome))
        if outcome.error is not None and not outcome.reply:
            raise EngineError(outcome.error)
        if on_text is not None and outcome.reply.startswith(fed):
            on_text(outcome.reply[len(fed) :])
        return Reply(outcome.reply, outcome.error)

    async def _ask(
        self, text: str, site_id: str, turn_id: str, request_id: str, stream: _Stream
    ) -> LlmResponse | BusError:
        try:
            return await self._bus.request(
                LLM_REQUEST,
                LlmRequest(text=text, use_rag=self._use_rag, tools=self._tools),
                timeout_s=self._timeout_s,
                turn_id=turn_id,
                site_id=site_id,
                message_id=request_id,
            )
        except BusError as error:
            return error
        finally:
            stream.queue.put_nowait(None)

    async def _forward(self, stream: _Stream, on_text: Callable[[str], None] | None) -> str:
        fed = []
        while (delta := await stream.queue.get()) is not None:
            fed.append(delta)
            if on_text is not None:
                on_text(delta)
        return "".join(fed)
