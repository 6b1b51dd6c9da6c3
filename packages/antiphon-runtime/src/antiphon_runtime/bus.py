"""The bus: typed messages over a transport.

`publish` sends events, `request` asks and waits for the one reply, handlers take what comes in.
The receive path only routes (rule 1 of the design): it decodes, drops, resolves a Future or admits
the message to its handler's bounded queue, and acknowledges.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from antiphon_contracts import (
    HEALTH,
    MAX_MESSAGE_BYTES,
    REFUSAL_MODEL,
    REFUSAL_TYPE,
    ContractError,
    Message,
    Payload,
    RawTopic,
    RequestTopic,
    Topic,
    encode,
    new_id,
    parse,
    validate,
)

from antiphon_runtime.foreign_topics import require_foreign
from antiphon_runtime.handlers import Handler, Lane
from antiphon_runtime.presence import Presence
from antiphon_runtime.replies import Pending, PendingReplies, ReplyStore, offline
from antiphon_runtime.resending import Resend
from antiphon_runtime.tasks import running
from antiphon_runtime.transport import Delivery, PublishOptions, Transport, shared_filter

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)

log = structlog.get_logger(__name__)


class Bus:
    """Typed messages over `transport`.

    Args:
        transport: the connection; it lives as long as the bus is open.
        source: this worker's id, e.g. `stt-1`.
        base: first level(s) of every topic; may be empty.
        group: whose members take turns at the messages of shared handlers; empty is alone.
        presence: who is there, if not by the usual rules.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        source: str,
        base: str = "antiphon",
        group: str = "",
        presence: Presence | None = None,
    ) -> None:
        self.source = source
        self.counters: Counter[str] = Counter()
        self.presence = presence or Presence()
        self._transport = transport
        self._group = group
        self._prefix = f"{base}/" if base else ""
        self._lanes: dict[str, Lane] = {}
        self._wildcard_lanes: list[Lane] = []
        self._replies: dict[str, RequestTopic[Any, Any]] = {}
        self._pending = PendingReplies(self.counters, self.presence.is_absent)
        self._store = ReplyStore()
        self._filters: dict[str, int] = {}
        self._subscribed: dict[str, int] = {}
        self._at_connect: list[Callable[[], None]] = []
        self.on_crash: Callable[[str, bytes, Exception], None] = _no_letter
        self._health_prefix = self._prefix + HEALTH.pattern.split("{", 1)[0]

    # Set-up

    def install(
        self,
        handlers: Iterable[Handler] = (),
        requests: Iterable[RequestTopic[P, R]] = (),
    ) -> None:
        """Declare what is handled and which requests will be made.

        To be called before `open`; again (after a reload) it replaces the functions of handlers
        and keeps what waits in their queues.
        """
        for request in requests:
            path = self._prefix + request.reply.pattern
            self._replies[path] = request
            self._filters[path] = request.reply.qos
            self._filters[self._prefix + HEALTH.filter] = HEALTH.qos
        for handler in handlers:
            self._install_handler(handler)

    def _install_handler(self, handler: Handler) -> None:
        name = self._prefix + handler.topic.filter
        lane = self._lanes.get(name)
        if lane is not None:
            lane.handler = handler
            return
        lane = Lane(handler, self.source, self._store, self.counters, self._post_reply, self._bury)
        self._lanes[name] = lane
        if handler.topic.slots:
            self._wildcard_lanes.append(lane)
        shared = self._group and handler.shared
        self._filters[shared_filter(self._group, name) if shared else name] = handler.topic.qos

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Bus]:
        """Connect, subscribe and receive while the block runs; handlers run in `handling`."""
        await self._subscribe()
        try:
            async with self._transport.open(self._route, self._on_state):
                yield self
        finally:
            self._pending.close()

    async def _subscribe(self) -> None:
        missing = {name: qos for name, qos in self._filters.items() if name not in self._subscribed}
        if missing:
            await self._transport.subscribe(missing)
            self._subscribed |= missing
        if self.connected and self._prefix + HEALTH.filter in missing:
            self.presence.on_connect()

    def at_connect(self, action: Callable[[], None]) -> None:
        """Call `action` at every connect."""
        self._at_connect.append(action)

    async def wait_connected(self, timeout_s: float | None = None) -> None:
        """Return when connected and subscribed.

        Raises:
            BusError: not within `timeout_s`.
        """
        await self._transport.wait_connected(timeout_s)

    @property
    def connected(self) -> bool:
        """Whether messages go through now."""
        return self._transport.connected

    @asynccontextmanager
    async def handling(self, *, drain_s: float = 5.0) -> AsyncIterator[None]:
        """Run the handlers while the block runs.

        On leaving no further message is taken from the queues; what is being handled has `drain_s`
        to finish.

        Raises:
            BusError: the broker refused the subscription of a handler that a reload added.
        """
        await self._subscribe()
        consumers = {
            f"handle:{name}:{number}": lane.consume()
            for name, lane in self._lanes.items()
            for number in range(lane.handler.concurrency)
        }
        async with running(**consumers):
            try:
                yield
            finally:
                await self._drain(drain_s)

    async def _drain(self, drain_s: float) -> None:
        for lane in self._lanes.values():
            lane.pause()
        try:
            async with asyncio.timeout(drain_s):
                for lane in self._lanes.values():
                    await lane.idle()
        except TimeoutError:
            log.warning("bus.drain_cut_short", drain_s=drain_s)
        finally:
            for lane in self._lanes.values():
                lane.resume()

    @property
    def queue_depths(self) -> dict[str, int]:
        """Messages waiting, by topic pattern."""
        return {lane.handler.topic.pattern: lane.depth for lane in self._lanes.values()}

    @property
    def pending_requests(self) -> int:
        """Requests that wait for their reply."""
        return len(self._pending)

    # Sending

    def path(self, topic: RawTopic, **slots: str) -> str:
        """Return the topic's full path, base included."""
        return self._prefix + topic.at(**slots)

    def publish(
        self,
        topic: Topic[P],
        data: P,
        *,
        turn_id: str | None = None,
        site_id: str = "default",
        correlation_id: str | None = None,
        ttl_s: float | None = None,
        **slots: str,
    ) -> asyncio.Future[None]:
        """Start to send an event; see `Transport.publish` for the future.

        Slots of the topic other than `site` are given by keyword; `site` is `site_id`.
        """
        message = topic.message(
            data,
            source=self.source,
            correlation_id=correlation_id,
            turn_id=turn_id,
            site_id=site_id,
            ttl_s=ttl_s,
        )
        return self._transport.publish(
            self._prefix + topic.at(site=site_id, **slots),
            encode(message),
            PublishOptions.event(topic, ttl_s),
        )

    def publish_raw(
        self, topic: RawTopic, payload: bytes, *, ttl_s: float | None = None, **slots: str
    ) -> asyncio.Future[None]:
        """Start to send bytes as they are."""
        return self._transport.publish(
            self._prefix + topic.at(**slots),
            payload,
            PublishOptions.event(topic, ttl_s),
        )

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        """Start to send bytes, QoS 1, to a full topic; raises ContractError if it is ours."""
        require_foreign(topic, self._prefix)
        return self._transport.publish(topic, payload, PublishOptions(qos=1, until_heard=True))

    async def request(
        self,
        topic: RequestTopic[P, R],
        data: P,
        *,
        timeout_s: float,
        turn_id: str | None = None,
        site_id: str = "default",
        message_id: str | None = None,
    ) -> R:
        """Ask, and return the reply's payload.

        The same message is sent again (after 1 s, then ever less often, and when this side or the
        worker is connected anew) until the reply is there; the worker carries it out once.

        Raises:
            RequestTimeout: no reply within `timeout_s`.
            WorkerGone: the worker asked is known to be gone; or none was ever heard of, which takes
                some 3 s to know after a connect.
            Busy: its queue is full.
            RemoteError: it answered with an error.
            BusError: the broker denied the request.
        """
        reply_path = self._prefix + topic.reply.pattern
        if reply_path not in self._replies:
            msg = f"requests on {topic.pattern} were not declared to the bus"
            raise ContractError(msg)
        kind = topic.receiver
        if self.presence.is_gone(kind) or self.presence.is_absent(kind):
            raise offline(kind)
        message = Message(
            data=data,
            type=topic.type,
            id=message_id or new_id(),
            source=self.source,
            turn_id=turn_id,
            site_id=site_id,
            ttl_s=timeout_s,
        )
        with self._pending.expect(message.id, topic) as pending:
            send = self._resender(topic, message, reply_path, pending)
            try:
                return await self._pending.wait(pending, send, timeout_s)
            finally:
                send.take_back()

    def _resender(
        self,
        topic: RequestTopic[P, R],
        message: Message[P],
        reply_path: str,
        pending: Pending[R],
    ) -> Resend:
        return Resend(
            self._transport,
            self._prefix + topic.pattern,
            encode(message),
            PublishOptions(
                qos=topic.qos,
                expiry_s=message.ttl_s,
                response_topic=reply_path,
                correlation_data=message.id.encode(),
            ),
            pending,
        )

    def _post_reply(self, topic: RawTopic, payload: bytes) -> None:
        self._transport.publish(self._prefix + topic.pattern, payload, PublishOptions(qos=1))

    def _bury(self, topic: str, payload: bytes, error: Exception) -> None:
        self.on_crash(topic.removeprefix(self._prefix), payload, error)

    # Receiving

    def take_in(self, topic: str, payload: bytes) -> None:
        """Take a message as if it had just come on `topic` (below the base)."""
        self._route(Delivery(self._prefix + topic, payload, 0, False, None, _no_ack))  # noqa: FBT003  (not retained)

    def _on_state(self, connected: bool) -> None:  # noqa: FBT001  (StateListener)
        if not connected:
            self.presence.on_loss()
            return
        self.counters["connects"] += 1
        self.presence.on_connect()
        self._pending.resend_all()
        for action in self._at_connect:
            action()

    def _route(self, delivery: Delivery) -> None:
        safe: asyncio.Future[None] | None = None
        try:
            safe = self._dispatch(delivery)
        except ContractError as error:
            self.counters["malformed"] += 1
            log.warning("message.dropped", topic=delivery.topic, reason=str(error))
        if safe is None or safe.done():
            delivery.ack()
        else:
            safe.add_done_callback(lambda _safe: delivery.ack())

    def _dispatch(self, delivery: Delivery) -> asyncio.Future[None] | None:
        if len(delivery.payload) > MAX_MESSAGE_BYTES:
            self.counters["oversize"] += 1
            msg = f"{len(delivery.payload)} bytes exceed the limit of {MAX_MESSAGE_BYTES}"
            raise ContractError(msg)
        request = self._replies.get(delivery.topic)
        if request is not None:
            self._on_reply(request, delivery)
        if delivery.topic.startswith(self._health_prefix):
            self._on_health(delivery)
        lane = self._lanes.get(delivery.topic)
        if lane is not None:
            return lane.admit(delivery, {})
        safe = None
        path = delivery.topic.removeprefix(self._prefix)
        for wildcard in self._wildcard_lanes:
            slots = wildcard.handler.topic.match(path)
            if slots is not None:
                safe = wildcard.admit(delivery, slots) or safe
        return safe

    def _on_health(self, delivery: Delivery) -> None:
        worker = delivery.topic.removeprefix(self._health_prefix)
        if delivery.payload:
            kind = self.presence.note(parse(delivery.payload), worker)
            if kind is not None:
                self._pending.resend_to(kind)
        else:
            self.presence.forget(worker)

    def _on_reply(self, request: RequestTopic[Any, Any], delivery: Delivery) -> None:
        raw = parse(delivery.payload)
        correlation_id = raw.get("correlation_id")
        pending = self._pending.find(correlation_id)
        if pending is None:
            return
        if raw.get("type") == REFUSAL_TYPE:
            pending.refuse(validate(raw, REFUSAL_MODEL, REFUSAL_TYPE).data)
        else:
            try:
                pending.resolve(validate(raw, request.reply.model, request.reply.type).data)
            except ContractError as error:
                pending.fail(error)
                raise


def _no_letter(_topic: str, _payload: bytes, _error: Exception) -> None:
    """Nobody keeps dead letters on this bus."""


def _no_ack() -> None:
    """The message did not come from the broker."""
