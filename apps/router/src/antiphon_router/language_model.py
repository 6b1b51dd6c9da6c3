"""The language model, as the router talks to it: a request, a stream of deltas, a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from antiphon_contracts import (
    LLM_CANCEL,
    LLM_REQUEST,
    AntiphonError,
    BusError,
    EngineError,
    LlmCancel,
    LlmNotice,
    LlmRequest,
    LlmResponse,
    LlmStream,
    Message,
    WorkerGone,
    new_id,
)
from antiphon_runtime import Bus, running

MAX_DELTAS = 8192
MAX_REPLY_CHARS = 100_000
GONE_FOR_S = 5.0
"""A worker that dies is started again by its supervisor, and gets the request again: give it time.
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whoever made it.

    Attributes:
        text: all of it.
        rest: what of it was not streamed.
        replaces: whether something else was streamed instead of it.
        error: why it came to an early end.
    """

    text: str
    rest: str
    replaces: bool = False
    error: AntiphonError | None = None


def _ignored(_text: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears a reply while it is made.

    Attributes:
        on_text: gets the reply piece by piece, but for its `rest`.
        on_notice: gets what is said beside it, e.g. that a tool takes its time.
    """

    on_text: Callable[[str], None] = _ignored
    on_notice: Callable[[str], None] = _ignored


NOBODY = Listener()


class ToolsNeededError(EngineError):
    """A tentative request came to where a tool would have to be called."""


class _Stream:
    """Deltas of one reply, in order; after a gap none, for the reply itself brings the rest."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._deltas: list[str] = []
        self._is_broken = False

    @property
    def text(self) -> str:
        return "".join(self._deltas)

    def add(self, seq: int, delta: str) -> None:
        count = len(self._deltas)
        if seq < count:
            # The request was begun anew, and the model says something else now.
            self._is_broken = self._is_broken or self._deltas[seq] != delta
        elif seq == count < MAX_DELTAS and not self._is_broken:
            self._deltas.append(delta)
            self.listener.on_text(delta)


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

    def on_notice(self, message: Message[LlmNotice]) -> None:
        """Hand on what is said beside a reply; late and foreign notices are dropped."""
        stream = self._streams.get(message.correlation_id or "")
        if stream is not None:
            stream.listener.on_notice(message.data.text)

    async def reply(
        self,
        text: str,
        *,
        site_id: str,
        turn_id: str,
        listener: Listener,
        tentative: bool = False,
    ) -> Reply:
        """Return the reply; the listener hears it as it is made, but for its `rest`.

        When cancelled or out of time, the LLM worker is told to stop. What was streamed before an
        error is the reply, with the error in it.

        Raises:
            BusError: nothing came: the worker is away, busy or too slow.
            EngineError: there is no reply at all; the text is a sentence for people.
            ToolsNeededError: the request was `tentative`, and a tool is needed.
        """
        request_id = new_id()
        stream = self._streams[request_id] = _Stream(listener)
        answered = False
        try:
            outcome = await self._ask(
                LlmRequest(
                    text=text, use_rag=self._use_rag, tools=self._tools, tentative=tentative
                ),
                site_id,
                turn_id,
                request_id,
            )
            answered = True
        except BusError as error:
            if not stream.text.strip():
                raise
            return Reply(stream.text, rest="", error=error)
        finally:
            del self._streams[request_id]
            if not answered:
                self._bus.publish(
                    LLM_CANCEL,
                    LlmCancel(request_id=request_id),
                    turn_id=turn_id,
                    site_id=site_id,
                )
        return _concluded(outcome, stream.text)

    async def _ask(
        self, request: LlmRequest, site_id: str, turn_id: str, request_id: str
    ) -> LlmResponse:
        async with running(presence=self._until_gone()):
            return await self._bus.request(
                LLM_REQUEST,
                request,
                timeout_s=self._timeout_s,
                turn_id=turn_id,
                site_id=site_id,
                message_id=request_id,
            )

    async def _until_gone(self) -> None:
        """Wait until the LLM worker has been gone for a while.

        Raises:
            WorkerGone: that is now.
        """
        kind, steps = LLM_REQUEST.receiver, 10
        gone = 0
        while gone < steps:
            await asyncio.sleep(GONE_FOR_S / steps)
            gone = gone + 1 if self._bus.presence.is_gone(kind) else 0
        msg = f"the {kind} worker went offline"
        raise WorkerGone(msg)


def _concluded(outcome: LlmResponse, streamed: str) -> Reply:
    if outcome.finish_reason == "needs_tools":
        msg = "I would need a tool for that"
        raise ToolsNeededError(msg)
    text = outcome.reply[:MAX_REPLY_CHARS]
    error = None
    if outcome.error is not None:
        error = EngineError(outcome.error)
    elif outcome.finish_reason == "cancelled":
        error = EngineError("my answer was stopped before its end")
    elif not text.strip():
        error = EngineError("I have no answer to that")
    if error is not None and not text.strip():
        raise error
    rest = rest_after(streamed, text)
    return Reply(text, rest=rest or "", replaces=rest is None, error=error)


def rest_after(streamed: str, text: str) -> str | None:
    """Return what of `text` follows after `streamed`, white space aside; None if it is another."""
    if text.startswith(streamed):
        return text[len(streamed) :]
    at = 0
    for char in "".join(streamed.split()):
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return ""
        if text[at] != char:
            return None
        at += 1
    return text[at:]


def without_prefix(said: str, listener: Listener) -> Listener:
    """Return who takes a reply that is made anew and hands on what follows after `said`.

    A reply that begins otherwise is handed on whole.
    """
    if not said:
        return listener
    taken: list[str] = []
    decided = False

    def take(delta: str) -> None:
        nonlocal decided
        if decided:
            listener.on_text(delta)
            return
        taken.append(delta)
        text = "".join(taken)
        if not said.startswith(text):
            decided = True
            listener.on_text(text.removeprefix(said))

    return replace(listener, on_text=take)
