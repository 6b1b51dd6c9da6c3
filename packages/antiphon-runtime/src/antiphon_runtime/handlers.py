"""Handlers: what a worker does with the messages of a topic.

Each handler has a lane of its own: a bounded queue and a number of consumers. Replies have none,
and control topics have their own lanes, so neither ever waits behind work.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import structlog
from antiphon_contracts import (
    REFUSAL_TYPE,
    AntiphonError,
    Busy,
    ContractError,
    EngineError,
    Message,
    Payload,
    RawTopic,
    Refusal,
    RequestTopic,
    Topic,
    encode,
    new_id,
    parse,
    validate,
)

from antiphon_runtime.logs import crash
from antiphon_runtime.replies import ReplyStore, SeenIds
from antiphon_runtime.transport import Delivery

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)

Overflow = Literal["refuse", "drop_oldest"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RawMessage:
    """Bytes that came without an envelope.

    Attributes:
        slots: values of the topic's variable levels, e.g. `{"site": "kitchen"}`.
        payload: the bytes.
        id: given at receipt; the same bytes, delivered again, get another.
        redelivered: whether the broker says that it sent them before.
    """

    slots: dict[str, str]
    payload: bytes
    id: str = field(default_factory=new_id)
    redelivered: bool = False

    @property
    def site_id(self) -> str:
        """The site that the topic names, else the default one."""
        return self.slots.get("site", "default")


TakeOver = Callable[[Any], "asyncio.Future[None] | None"]
"""Takes a message over at receipt; the future is done when it is safe from a crash."""


@dataclass(frozen=True)
class Handler:
    """A topic and what is done with its messages; made by `serve`, `listen` and `listen_raw`.

    Attributes:
        topic: the topic.
        call: takes the message; its return value is the reply where the topic has one.
        concurrency: how many messages are handled at once; 1 keeps their order.
        queue_limit: how many may wait.
        overflow: a full queue refuses the newest (requests are told "busy") or drops the oldest.
        shared: whether the members of a group take turns at the messages.
        take_over: called at receipt, before `call`; the message is acknowledged when the future
            that it returns is done (None: now). It must not block and not fail.
    """

    topic: RawTopic
    call: Callable[[Any], Awaitable[Payload | None]]
    concurrency: int = 1
    queue_limit: int = 64
    overflow: Overflow = "refuse"
    shared: bool = False
    take_over: TakeOver | None = None


def serve(
    topic: RequestTopic[P, R],
    call: Callable[[Message[P]], Awaitable[R]],
    *,
    concurrency: int = 1,
    queue_limit: int = 64,
    shared: bool = False,
) -> Handler:
    """Answer requests: what `call` returns is the reply, what it raises is a refusal.

    A repeated request is answered from the store, or joined while it is carried out. `shared` is
    for what may be carried out twice: each member of a group has a store of its own, and a repeated
    request may reach another one.
    """
    return Handler(topic, call, concurrency, queue_limit, shared=shared)


def listen(
    topic: Topic[P],
    call: Callable[[Message[P]], Awaitable[None]],
    *,
    concurrency: int = 1,
    queue_limit: int = 256,
    take_over: TakeOver | None = None,
) -> Handler:
    """Take events; a doubled one is dropped.

    Requests may be listened to as well: whoever does answers and refuses nothing.
    """
    if isinstance(topic, RequestTopic):
        topic = topic.overheard
    return Handler(topic, call, concurrency, queue_limit, take_over=take_over)


def listen_raw(
    topic: RawTopic,
    call: Callable[[RawMessage], Awaitable[None]],
    *,
    concurrency: int = 1,
    queue_limit: int = 64,
    overflow: Overflow = "refuse",
    shared: bool = False,
    take_over: TakeOver | None = None,
) -> Handler:
    """Take bytes without an envelope."""
    return Handler(topic, call, concurrency, queue_limit, overflow, shared, take_over)


@dataclass(frozen=True, slots=True)
class _Admitted:
    message: Message[Payload] | RawMessage
    path: str
    deadline: float | None  # on the loop's clock


class Lane:
    """One handler's queue and consumers."""

    def __init__(
        self,
        handler: Handler,
        source: str,
        store: ReplyStore,
        counters: Counter[str],
        post_reply: Callable[[RawTopic, bytes], None],
        bury: Callable[[str, bytes, Exception], None],
    ) -> None:
        self.handler = handler
        self._source = source
        self._store = store
        self._counters = counters
        self._post_reply = post_reply
        self._bury = bury
        self._seen = SeenIds()
        self._items: deque[_Admitted] = deque()
        # One permit for each item: a message wakes one consumer, not all that are idle.
        self._permits = asyncio.Semaphore(0)
        self._running = asyncio.Event()
        self._running.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._active = 0

    @property
    def depth(self) -> int:
        """Messages waiting."""
        return len(self._items)

    # On the receive path

    def admit(self, delivery: Delivery, slots: dict[str, str]) -> asyncio.Future[None] | None:
        """Queue the message, or answer, refuse or drop it at once.

        Returns:
            What the acknowledgement has to wait for; None if for nothing.

        Raises:
            ContractError: it does not keep the contract; a request with an id was told so.
        """
        topic = self.handler.topic
        if delivery.retain and not topic.retain:
            self._counters["retained_ignored"] += 1
            log.warning("message.retained_ignored", topic=delivery.topic)
            return None
        message: Message[Payload] | RawMessage
        if isinstance(topic, Topic):
            decoded = self._decode(topic, delivery.payload)
            if decoded.site_id != slots.get("site", decoded.site_id):
                # A broker binds a satellite to its site by the topic; the envelope is its own word.
                raise ContractError("the message names another site than its topic")
            if not self._is_due(decoded):
                return None
            message, ttl_s = decoded, decoded.ttl_s
        else:
            again = delivery.redelivered
            message, ttl_s = RawMessage(slots, delivery.payload, redelivered=again), None
        if delivery.expiry_s is not None:
            ttl_s = min(ttl_s or delivery.expiry_s, delivery.expiry_s)
        deadline = None if ttl_s is None else asyncio.get_running_loop().time() + ttl_s
        admitted = _Admitted(message, delivery.topic, deadline)
        if len(self._items) >= self.handler.queue_limit:
            self._overflow(admitted)
            return None
        self._items.append(admitted)
        self._permits.release()
        return None if self.handler.take_over is None else self.handler.take_over(message)

    def _decode(self, topic: Topic[Payload], payload: bytes) -> Message[Payload]:
        raw = parse(payload)
        try:
            return validate(raw, topic.model, topic.type)
        except ContractError as error:
            message_id = raw.get("id")
            if isinstance(topic, RequestTopic) and isinstance(message_id, str):
                turn_id = raw.get("turn_id")
                self._refuse(
                    topic,
                    Refusal(code="bad_request", detail=str(error)),
                    message_id,
                    turn_id if isinstance(turn_id, str) else None,
                )
            raise

    def _is_due(self, message: Message[Payload]) -> bool:
        """Whether the message is new; repeated requests are answered or joined here."""
        topic = self.handler.topic
        if not isinstance(topic, RequestTopic):
            if self._seen.is_new(message.id):
                return True
            self._counters["events_doubled"] += 1
            return False
        known = self._store.begin(message.id)
        if known == "new":
            return True
        self._counters["requests_repeated"] += 1
        if isinstance(known, bytes):
            self._post_reply(topic.reply, known)
        return False

    def _overflow(self, admitted: _Admitted) -> None:
        self._counters["overflow"] += 1
        if self.handler.overflow == "drop_oldest":
            self._items.popleft()
            self._items.append(admitted)
            return
        topic, message = self.handler.topic, admitted.message
        if isinstance(message, Message) and isinstance(topic, RequestTopic):
            self._store.abandon(message.id)
            refusal = Refusal(code="busy", detail=f"{topic.receiver} has too much to do")
            self._refuse(topic, refusal, message.id, message.turn_id)
        log.warning("message.overflow", topic=topic.pattern)

    # In the consumers

    async def consume(self) -> None:
        """Handle what comes, for ever."""
        while True:
            item = await self._next()
            self._active += 1
            self._quiet.clear()
            try:
                await self._handle(item)
            finally:
                self._active -= 1
                if not self._active:
                    self._quiet.set()

    async def _next(self) -> _Admitted:
        while True:
            await self._running.wait()
            await self._permits.acquire()
            if self._running.is_set():
                return self._items.popleft()
            self._permits.release()

    def pause(self) -> None:
        """Take nothing more from the queue."""
        self._running.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._running.set()

    async def idle(self) -> None:
        """Return when nothing is being handled."""
        await self._quiet.wait()

    async def _handle(self, item: _Admitted) -> None:
        message = item.message
        if item.deadline is not None and asyncio.get_running_loop().time() > item.deadline:
            self._counters["expired"] += 1
            if isinstance(message, Message):
                self._store.abandon(message.id)
            return
        turn_id = message.turn_id if isinstance(message, Message) else None
        structlog.contextvars.bind_contextvars(turn_id=turn_id, site_id=message.site_id)
        try:
            outcome = await self._call(message, item.path)
        except asyncio.CancelledError:
            if isinstance(message, Message):
                self._store.abandon(message.id)
            raise
        topic = self.handler.topic
        if isinstance(message, Message) and isinstance(topic, RequestTopic):
            self._reply(topic, message, outcome)

    async def _call(self, message: Message[Payload] | RawMessage, path: str) -> Payload | None:
        """Call the handler: the message boundary, where every error becomes a refusal."""
        try:
            return await self.handler.call(message)
        except AntiphonError as error:
            log.warning(
                "handler.failed",
                topic=self.handler.topic.pattern,
                error=type(error).__name__,
                detail=str(error),
            )
            return Refusal(code=_code(error), detail=str(error))
        except Exception as error:
            self._counters["handler_errors"] += 1
            log.error("handler.crashed", topic=self.handler.topic.pattern, **crash(error))  # noqa: TRY400  (no text)
            log.debug("handler.crash_text", exc_info=error)
            self._seen.forget(message.id)  # somebody may want to try it again
            payload = message.payload if isinstance(message, RawMessage) else encode(message)
            self._bury(path, payload, error)
            return Refusal(code="internal", detail=f"internal error ({type(error).__name__})")

    def _reply(
        self,
        topic: RequestTopic[Payload, Payload],
        request: Message[Payload],
        outcome: Payload | None,
    ) -> None:
        if outcome is None or isinstance(outcome, Refusal):
            # A failed request may be tried again: nothing is kept for it.
            self._store.abandon(request.id)
            refusal = outcome or Refusal(code="internal", detail="the handler gave no reply")
            self._refuse(topic, refusal, request.id, request.turn_id)
            return
        try:
            payload = encode(
                topic.reply.message(
                    outcome,
                    source=self._source,
                    correlation_id=request.id,
                    turn_id=request.turn_id,
                    site_id=request.site_id,
                )
            )
        except ContractError as error:
            self._store.abandon(request.id)
            refusal = Refusal(code="internal", detail=str(error))
            self._refuse(topic, refusal, request.id, request.turn_id)
            return
        self._store.finish(request.id, payload)
        self._post_reply(topic.reply, payload)

    def _refuse(
        self,
        topic: RequestTopic[Payload, Payload],
        refusal: Refusal,
        message_id: str,
        turn_id: str | None,
    ) -> None:
        message = Message(
            data=refusal,
            type=REFUSAL_TYPE,
            source=self._source,
            correlation_id=message_id,
            turn_id=turn_id,
        )
        self._post_reply(topic.reply, encode(message))


def _code(error: AntiphonError) -> Literal["busy", "bad_request", "engine", "internal"]:
    if isinstance(error, Busy):
        return "busy"
    if isinstance(error, ContractError):
        return "bad_request"
    return "engine" if isinstance(error, EngineError) else "internal"
