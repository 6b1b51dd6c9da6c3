"""The connection that keeps itself up: back-off, MQTT version, subscriptions, send window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import paho.mqtt.client as paho
import structlog
from antiphon_contracts import BusError
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from antiphon_runtime.logs import crash
from antiphon_runtime.paho_transport.backoff import Backoff
from antiphon_runtime.paho_transport.options import BrokerOptions
from antiphon_runtime.paho_transport.outbox import Item, Outbox, fail
from antiphon_runtime.paho_transport.publish_properties import publish_properties
from antiphon_runtime.paho_transport.refusals import LostError, OtherVersionError, refusal
from antiphon_runtime.paho_transport.subscribing import Subscribing
from antiphon_runtime.paho_transport.unheard import NO_MATCHING_SUBSCRIBERS, Unheard
from antiphon_runtime.paho_transport.wire import CONNECT_TIMEOUT_S, RECEIVE_MAXIMUM, Wire
from antiphon_runtime.tasks import running
from antiphon_runtime.transport import (
    PACKET_OVERHEAD_BYTES,
    Delivery,
    PublishOptions,
    Sink,
    StateListener,
    matches,
    why_not_a_filter,
    why_not_a_message,
)

log = structlog.get_logger(__name__)

V5_CONNACK_TIMEOUT_S = 2.0  # stock amqtt hangs on a v5 CONNECT with a user name
CLOSE_FLUSH_S = 1.0
WATCH_EVERY_S = 0.25
IDLE_WATCH_EVERY_S = 1.0  # nothing waits for the broker; a connected, idle worker hardly wakes
# A worker that beats once a second finds a frozen broker out within 3 s. To be wrong costs a
# reconnect and no message.
SILENT_AFTER_S = 1.75
SENT_PER_TURN = 100  # a full queue must not stall the loop when the broker is back
# After so many connections in a row that were lost before the broker acknowledged anything, what
# is in flight is given up: something in it is what the broker hangs up on.
FRUITLESS_CONNECTIONS = 5


class PahoTransport:
    """See `antiphon_runtime.transport.Transport`."""

    def __init__(self, options: BrokerOptions) -> None:
        self._options = options
        self._v5 = options.protocol != "3.1.1"
        self._wire: Wire | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sink: Sink = lambda _delivery: None
        self._on_state: StateListener = lambda _connected: None
        self._filters: dict[str, int] = {}
        self._outbox = Outbox(max_waiting=options.max_queued, window=RECEIVE_MAXIMUM)
        self._unheard = Unheard(self._send_or_wait)
        self._subscribing = Subscribing()
        self._connack: asyncio.Future[None] | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._closed = False
        self._ever_connected = False
        self._packet_limit_bytes: int | None = None
        self._progress = False
        self._fruitless = 0
        self._last_failure = ""

    # The port

    @property
    def connected(self) -> bool:
        """Whether messages go through now."""
        return self._ready.is_set()

    @property
    def protocol(self) -> str:
        """The MQTT version in use, `5` or `3.1.1`; before the first connect, the next to try."""
        return "5" if self._v5 else "3.1.1"

    @property
    def in_flight(self) -> int:
        """How many messages were sent and not acknowledged."""
        return self._outbox.in_flight

    @asynccontextmanager
    async def open(self, sink: Sink, on_state: StateListener) -> AsyncIterator[None]:
        """See the port."""
        self._loop = asyncio.get_running_loop()
        self._sink, self._on_state = sink, on_state
        try:
            async with running(mqtt_connection=self._stay_connected()):
                try:
                    yield
                finally:
                    await self._flush_before_close()
        finally:
            self._close()

    async def wait_connected(self, timeout_s: float | None) -> None:
        """See the port."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            silent = f"the MQTT broker at {self._options.where} has not answered yet"
            raise BusError(self._last_failure or silent) from None

    async def subscribe(self, filters: dict[str, int]) -> None:
        """See the port."""
        for name in filters:
            if reason := why_not_a_filter(name):
                raise BusError(reason)
        self._filters.update(filters)
        if not self._ready.is_set():
            return
        try:
            await self._send_subscribe(filters)
        except LostError:
            return  # the next connection restores it
        except BusError:
            for name in filters:
                self._filters.pop(name, None)
            raise

    def publish(self, topic: str, payload: bytes, options: PublishOptions) -> asyncio.Future[None]:
        """See the port."""
        loop = self._loop
        if loop is None:
            msg = "the connection to the broker is not open yet"
            raise BusError(msg)
        done: asyncio.Future[None] = loop.create_future()
        reason = self._why_not(topic, payload)
        if reason is not None:
            fail(done, BusError(reason))
            return done
        deadline = None if options.expiry_s is None else loop.time() + options.expiry_s
        item = Item(topic, payload, options, deadline, done)
        if not self._unheard.keep_behind(item):
            self._send_or_wait(item)
        return done

    def _send_or_wait(self, item: Item) -> None:
        ready = self._ready.is_set()
        if ready and not self._outbox.waiting and self._outbox.may_pass(item.options):
            self._send(item)
        elif item.options.qos == 0 and not ready:
            fail(item.done, BusError("the broker is away; a QoS 0 message was dropped"))
        else:
            self._outbox.add(item)

    def _why_not(self, topic: str, payload: bytes) -> str | None:
        if self._closed:
            return "the connection to the broker is closed"
        limit = self._packet_limit_bytes
        reason = why_not_a_message(topic, payload)
        if reason is None and limit is not None:
            room = limit - min(PACKET_OVERHEAD_BYTES, limit // 2)
            if len(payload) > room:
                return f"a message of {len(payload)} bytes exceeds this broker's limit of {room}"
        return reason

    # Connecting

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(*self._options.backoff_s, now=loop.time)
        while True:
            try:
                wire = await self._connect()
                connected_at = loop.time()
                await self._until_lost(wire)
                backoff.on_loss(loop.time() - connected_at)
            except BusError as error:
                if isinstance(error, OtherVersionError):
                    log.info("broker.speaks_mqtt_3.1.1", detail=str(error))
                    continue
                backoff.on_failure()
                if str(error) != self._last_failure:
                    log.warning("broker.unreachable", detail=str(error))
                self._last_failure = str(error)
            await asyncio.sleep(backoff.pause_s())

    async def _connect(self) -> Wire:
        self._lost = asyncio.Event()
        self._progress = False
        self._give_up_what_the_broker_hangs_up_on()
        if self._wire is None:
            self._wire = Wire(self._options, v5=self._v5, events=self)
        wire = self._wire
        self._connack = asyncio.get_running_loop().create_future()
        try:
            await wire.dial()
            await self._await_connack(self._connack)
            await self._subscribe_all()
        except BusError:
            wire.hang_up()
            if not self._ever_connected:
                self._wire = None  # nothing was in flight on it
            raise
        if self._ever_connected:
            self._unheard.reconnected()
        self._ever_connected = True
        self._last_failure = ""
        self._ready.set()
        self._on_state(True)  # noqa: FBT003  (the listener's only argument)
        self._send_waiting()
        return wire

    def _give_up_what_the_broker_hangs_up_on(self) -> None:
        if self._fruitless >= FRUITLESS_CONNECTIONS:
            self._fruitless = 0
            self._wire = None  # paho would send it again
            self._outbox.fail_in_flight(
                BusError("the broker hung up each time that this message was sent; it is given up")
            )

    async def _await_connack(self, connack: asyncio.Future[None]) -> None:
        undecided = self._options.protocol == "auto" and not self._ever_connected
        timeout_s = V5_CONNACK_TIMEOUT_S if undecided and self._v5 else CONNECT_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                await connack
        except TimeoutError:
            failure: BusError = LostError(
                f"the MQTT broker at {self._options.where} sent no CONNACK within {timeout_s:g} s"
            )
        except (LostError, OtherVersionError) as error:
            failure = error
        else:
            return
        if undecided:
            self._v5 = not self._v5
            if not self._v5:
                raise OtherVersionError(str(failure)) from None
        raise BusError(str(failure)) from None

    async def _subscribe_all(self) -> None:
        asked: dict[str, int] = {}
        while missing := {n: qos for n, qos in self._filters.items() if asked.get(n) != qos}:
            asked |= missing
            await self._send_subscribe(missing)
        if self._lost.is_set():
            msg = "the broker closed the connection at once"
            raise LostError(msg)

    async def _send_subscribe(self, filters: dict[str, int]) -> None:
        if self._wire is not None:
            await self._subscribing.ask(self._wire, filters, self._lost)

    async def _until_lost(self, wire: Wire) -> None:
        while not self._lost.is_set():
            waits = self._outbox.oldest_sent_at() is not None
            try:
                async with asyncio.timeout(WATCH_EVERY_S if waits else IDLE_WATCH_EVERY_S):
                    await self._lost.wait()
            except TimeoutError:
                if self._is_silent(wire):
                    wire.hang_up()
                    self.on_loss("it no longer answers")
                else:
                    wire.keep_alive()

    def _is_silent(self, wire: Wire) -> bool:
        """Whether a message waits for its acknowledgement and not a byte comes."""
        sent_at = self._outbox.oldest_sent_at()
        if sent_at is None:
            return False
        now = asyncio.get_running_loop().time()
        return now - max(sent_at, wire.heard_at) > SILENT_AFTER_S

    async def _flush_before_close(self) -> None:
        self._unheard.send_all()
        unsent = self._outbox.open_futures()
        if unsent and self._ready.is_set():
            await asyncio.wait(unsent, timeout=CLOSE_FLUSH_S)

    def _close(self) -> None:
        self._closed = True
        self._ready.clear()
        if self._wire is not None:
            self._wire.hang_up()
        closed = BusError("the connection to the broker was closed before it acknowledged")
        self._unheard.fail_all(closed)
        self._outbox.fail_all(closed)
        self._subscribing.fail_all(closed)

    # Sending

    def _send(self, item: Item) -> None:
        wire, options = self._wire, item.options
        if wire is None:
            return
        try:
            mid = wire.publish(
                item.topic,
                item.payload,
                options.qos,
                retain=options.retain,
                properties=publish_properties(options) if wire.v5 else None,
            )
        except BusError as error:
            fail(item.done, error)
            return
        if options.qos == 0:
            item.done.set_result(None)
        else:
            self._outbox.sent(mid, item, asyncio.get_running_loop().time())

    def _send_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(SENT_PER_TURN):
            item = self._outbox.next_due(loop.time()) if self._ready.is_set() else None
            if item is None:
                return
            self._send(item)
        loop.call_soon(self._send_waiting)

    # WireEvents

    def on_connack(self, reason: ReasonCode, properties: Properties | None) -> None:
        """See `WireEvents`."""
        if self._connack is None or self._connack.done():
            return
        if reason.is_failure:
            fail(self._connack, refusal(self._options, reason))
            return
        self._outbox.window = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
        self._packet_limit_bytes = getattr(properties, "MaximumPacketSize", None)
        self._connack.set_result(None)

    def on_loss(self, reason: str) -> None:
        """See `WireEvents`."""
        was_ready = self._ready.is_set()
        self._ready.clear()
        self._lost.set()
        if self._connack is not None and self._connack.done():
            in_vain = self._outbox.in_flight > 0 and not self._progress
            self._fruitless = self._fruitless + 1 if in_vain else 0
        lost = LostError(f"the broker at {self._options.where} closed the connection: {reason}")
        if self._connack is not None:
            fail(self._connack, lost)
        self._subscribing.fail_all(lost)
        if was_ready and not self._closed:
            log.warning("broker.lost", reason=reason)
            self._on_state(False)  # noqa: FBT003  (the listener's only argument)

    def on_message(self, wire: Wire, message: paho.MQTTMessage) -> None:
        """See `WireEvents`."""
        ack = partial(wire.acknowledge, wire.epoch, message.mid) if message.qos else _no_ack
        try:
            topic = message.topic
        except UnicodeDecodeError:
            ack()
            return
        if message.retain and not any(matches(name, topic) for name in self._filters):
            ack()  # amqtt sends what is retained for other people's subscriptions
            return
        delivery = Delivery(
            topic=topic,
            payload=bytes(message.payload),
            qos=message.qos,
            retain=message.retain,
            expiry_s=getattr(message.properties, "MessageExpiryInterval", None),
            ack=ack,
            redelivered=message.dup,
        )
        try:
            self._sink(delivery)
        except Exception as error:  # noqa: BLE001  (message boundary)
            # paho would hand us this packet again for ever.
            log.error("message.sink_crashed", topic=topic, **crash(error))  # noqa: TRY400  (no text)

    def on_puback(self, mid: int, reason: ReasonCode) -> None:
        """See `WireEvents`."""
        self._progress = True
        refused = reason.is_failure
        error = BusError(f"the broker denied a message: {reason}") if refused else None
        item = self._outbox.acknowledged(mid, error)
        if item is not None and reason.value == NO_MATCHING_SUBSCRIBERS:
            self._unheard.keep(item)
        if self._outbox.waiting and self._loop is not None:
            self._loop.call_soon(self._send_waiting)

    def on_suback(self, mid: int, reasons: list[ReasonCode]) -> None:
        """See `WireEvents`."""
        self._subscribing.answered(mid, reasons)


def _no_ack() -> None:
    """QoS 0 has no acknowledgement."""
