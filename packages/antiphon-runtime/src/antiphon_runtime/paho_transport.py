"""paho-mqtt 2 driven by the event loop itself, through its public API only (ADR 0001).

The loop watches paho's socket; reads and writes happen on the loop, connects in a thread because
they block on DNS and TCP. paho's callbacks end here.

The send window is ours, not paho's: a bounded queue holds what is published while the broker is
away or its receive maximum is used up. What was sent and not acknowledged stays in paho, which
sends it again after a reconnect.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import paho.mqtt.client as paho
import structlog
from antiphon_contracts import MAX_MESSAGE_BYTES, BusError
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from antiphon_runtime.tasks import running
from antiphon_runtime.transport import Delivery, PublishOptions, Sink, StateListener, Will

log = structlog.get_logger(__name__)
T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
V5_CONNACK_TIMEOUT_S = 2.0  # amqtt hangs on a v5 CONNECT with a user name
BACKOFF_S = (0.1, 5.0)
CLOSE_FLUSH_S = 1.0
RECEIVE_MAXIMUM = 65_535  # redelivery after an outage must not stall behind a small window
_PACKET_OVERHEAD_BYTES = 64 * 1024
_FAILURE_CODE = 0x80

_NO_CALLBACK_LOOP = "transport is not open"


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is and how to be known to it.

    Attributes:
        client_id: unique at the broker; empty lets the broker choose.
        session_expiry_s: how long the broker keeps what arrives while this client is away; 0 is a
            clean session.
        protocol: `auto` tries MQTT 5, then 3.1.1.
        tls: a TLS context; None is plain TCP.
        max_queued: publishes that may wait for the broker; more are refused.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = ""
    client_id: str = ""
    session_expiry_s: int = 0
    keepalive_s: int = 15
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    tls: ssl.SSLContext | None = None
    will: Will | None = None
    max_queued: int = 10_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    topic: str
    payload: bytes
    options: PublishOptions
    done: asyncio.Future[None]


class PahoTransport:
    """See `antiphon_runtime.transport.Transport`."""

    def __init__(self, options: BrokerOptions) -> None:
        self._options = options
        self._v5 = options.protocol != "3.1.1"
        self._client: paho.Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sink: Sink = lambda _delivery: None
        self._on_state: StateListener = lambda _connected: None
        self._filters: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._unacknowledged: dict[int, asyncio.Future[None]] = {}
        self._subscribing: dict[int, asyncio.Future[None]] = {}
        self._window = RECEIVE_MAXIMUM
        self._connack: asyncio.Future[None] | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._generation = 0
        self._in_paho = False
        self._writer_watched = False
        self._watched_fd = -1
        self._closed = False
        self._ever_connected = False
        self._last_failure = ""

    # The port

    @property
    def connected(self) -> bool:
        """Whether messages go through now."""
        return self._ready.is_set()

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
            where = f"{self._options.host}:{self._options.port}"
            msg = f"no MQTT broker answers at {where} ({self._last_failure or 'no answer yet'})"
            raise BusError(msg) from None

    async def subscribe(self, filters: dict[str, int]) -> None:
        """See the port."""
        self._filters.update(filters)
        if self._ready.is_set():
            await self._send_subscribe(filters)

    def publish(self, topic: str, payload: bytes, options: PublishOptions) -> asyncio.Future[None]:
        """See the port."""
        if self._loop is None:
            raise BusError(_NO_CALLBACK_LOOP)
        done: asyncio.Future[None] = self._loop.create_future()
        done.add_done_callback(_observe)
        item = _Waiting(topic, payload, options, done)
        if self._closed:
            done.set_exception(BusError("the connection to the broker is closed"))
        elif self._ready.is_set() and not self._waiting and self._has_window(options):
            self._send(item)
        elif options.qos == 0 and not self._ready.is_set():
            done.set_exception(BusError("the broker is away; a QoS 0 message was dropped"))
        elif len(self._waiting) >= self._options.max_queued:
            done.set_exception(BusError("too many messages wait for the broker"))
        else:
            self._waiting.append(item)
        return done

    # Connecting

    async def _stay_connected(self) -> None:
        delay_s = BACKOFF_S[0]
        while True:
            try:
                await self._connect()
                delay_s = BACKOFF_S[0]
                await self._until_lost()
            except BusError as error:
                if str(error) != self._last_failure:
                    log.warning("broker.unreachable", detail=str(error))
                self._last_failure = str(error)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)
            delay_s = min(delay_s * 2, BACKOFF_S[1])

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._connack = loop.create_future()
        self._connack.add_done_callback(_observe)
        fresh = self._client is None
        client = self._client or self._new_client()
        self._client = client
        try:
            await asyncio.to_thread(self._dial, client, fresh=fresh)
        except (OSError, ValueError) as error:
            msg = f"cannot reach the broker: {error}"
            raise BusError(msg) from error
        try:
            await self._await_connack(self._connack)
            await self._send_subscribe(self._filters)
        except BusError:
            self._hang_up()
            if not self._ever_connected:
                self._client = None  # nothing was in flight on it
            raise
        self._ever_connected = True
        self._last_failure = ""
        self._ready.set()
        self._on_state(True)  # noqa: FBT003  (the listener's only argument)
        self._send_waiting()

    async def _await_connack(self, connack: asyncio.Future[None]) -> None:
        undecided = self._options.protocol == "auto" and not self._ever_connected
        timeout_s = V5_CONNACK_TIMEOUT_S if undecided and self._v5 else CONNECT_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                await connack
        except TimeoutError:
            if undecided:
                self._v5 = not self._v5
            msg = f"the broker sent no CONNACK within {timeout_s:g} s"
            raise BusError(msg) from None

    def _dial(self, client: paho.Client, *, fresh: bool) -> None:
        if not fresh:
            client.reconnect()
            return
        options = self._options
        if not self._v5:
            client.connect(options.host, options.port, options.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_MESSAGE_BYTES + _PACKET_OVERHEAD_BYTES
        if options.session_expiry_s:
            properties.SessionExpiryInterval = options.session_expiry_s
        client.connect(
            options.host,
            options.port,
            options.keepalive_s,
            clean_start=not options.session_expiry_s,
            properties=properties,
        )

    def _new_client(self) -> paho.Client:
        options = self._options
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=paho.MQTTv5 if self._v5 else paho.MQTTv311,
            clean_session=None if self._v5 else not options.session_expiry_s,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(0)
        if options.username:
            client.username_pw_set(options.username, options.password)
        if options.tls is not None:
            client.tls_set_context(options.tls)
        if options.will is not None:
            client.will_set(options.will.topic, options.will.payload, qos=1, retain=True)
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_wants_write
        client.on_socket_unregister_write = self._on_wrote_all
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    async def _until_lost(self) -> None:
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(1.0):
                    await self._lost.wait()
            except TimeoutError:
                if self._client is not None:
                    self._call(self._client.loop_misc)

    def _hang_up(self) -> None:
        client = self._client
        if client is None:
            return
        self._call(client.disconnect)
        self._write()  # paho closes the socket once the DISCONNECT is written
        sock = client.socket()
        if sock is not None:
            self._unwatch(sock.fileno())
            sock.close()

    async def _flush_before_close(self) -> None:
        unsent = [item.done for item in self._waiting] + list(self._unacknowledged.values())
        if unsent and self._ready.is_set():
            await asyncio.wait(unsent, timeout=CLOSE_FLUSH_S)

    def _close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._hang_up()
        closed = BusError("the connection to the broker was closed before it acknowledged")
        unsent = [item.done for item in self._waiting]
        for future in (*unsent, *self._unacknowledged.values(), *self._subscribing.values()):
            if not future.done():
                future.set_exception(closed)
        self._waiting.clear()
        self._unacknowledged.clear()
        self._subscribing.clear()

    # Sending

    def _has_window(self, options: PublishOptions) -> bool:
        return options.qos == 0 or len(self._unacknowledged) < self._window

    def _send(self, item: _Waiting) -> None:
        client, options = self._client, item.options
        if client is None or item.done.done():
            return
        info = self._call(
            partial(
                client.publish,
                item.topic,
                item.payload,
                options.qos,
                options.retain,
                _properties(options) if self._v5 else None,
            )
        )
        if options.qos == 0:
            item.done.set_result(None)
        else:
            self._unacknowledged[info.mid] = item.done
        self._write()

    def _send_waiting(self) -> None:
        while self._waiting and self._ready.is_set() and self._has_window(self._waiting[0].options):
            self._send(self._waiting.popleft())

    async def _send_subscribe(self, filters: dict[str, int]) -> None:
        client, loop = self._client, self._loop
        if client is None or loop is None or not filters:
            return
        wanted: list[Any] = [
            (name, SubscribeOptions(qos=qos) if self._v5 else qos) for name, qos in filters.items()
        ]
        _, mid = self._call(partial(client.subscribe, wanted))
        if mid is None:
            msg = "the connection was lost while subscribing"
            raise BusError(msg)
        done = loop.create_future()
        done.add_done_callback(_observe)
        self._subscribing[mid] = done
        self._write()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await done
        except TimeoutError:
            msg = "the broker did not answer a SUBSCRIBE"
            raise BusError(msg) from None
        finally:
            self._subscribing.pop(mid, None)

    # The socket, on the loop

    def _on_socket_open(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_loop(partial(self._watch, sock))

    def _on_socket_close(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        self._on_loop(partial(self._unwatch, sock.fileno()))

    def _on_wants_write(self, _client: paho.Client, _userdata: object, _sock: Any) -> None:
        self._on_loop(self._write)

    def _on_wrote_all(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        if self._writer_watched and self._loop is not None and sock.fileno() >= 0:
            self._writer_watched = False
            self._loop.remove_writer(sock)

    def _on_loop(self, action: Callable[[], None]) -> None:
        """Run `action` on the loop: now if we are there, else handed over."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            action()
        else:
            loop.call_soon_threadsafe(action)

    def _watch(self, sock: socket.socket) -> None:
        if self._closed or sock.fileno() < 0 or self._loop is None:
            return
        self._generation += 1
        self._watched_fd = sock.fileno()
        self._loop.add_reader(self._watched_fd, self._read, sock)

    def _unwatch(self, fd: int) -> None:
        if self._loop is not None and fd == self._watched_fd:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            self._watched_fd = -1
        self._writer_watched = False

    def _read(self, sock: socket.socket) -> None:
        client = self._client
        if client is None:
            return
        if hasattr(socket, "TCP_QUICKACK"):
            # Without it a broker that leaves Nagle on answers 44 ms late (measured).
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._call(client.loop_read)
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():
            self._call(client.loop_read)
        self._write()

    def _write(self) -> None:
        """Write now, and let the loop finish what the socket does not take."""
        client = self._client
        if client is None or self._in_paho or self._loop is None:
            return
        self._call(client.loop_write)
        sock = client.socket()
        if sock is not None and client.want_write() and not self._writer_watched:
            self._writer_watched = True
            self._loop.add_writer(sock, self._write)

    def _call(self, action: Callable[[], T]) -> T:
        """Call into paho. Its callback lock is not re-entrant: nobody writes from below here."""
        outer, self._in_paho = self._in_paho, True
        try:
            return action()
        finally:
            self._in_paho = outer

    # paho's callbacks

    def _on_connect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._connack is None or self._connack.done():
            return
        if reason.is_failure:
            msg = f"the broker refused the connection: {reason}"
            self._connack.set_exception(BusError(msg))
            return
        self._window = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
        self._connack.set_result(None)

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._on_loop(partial(self._note_loss, str(reason)))

    def _note_loss(self, reason: str) -> None:
        was_ready = self._ready.is_set()
        self._ready.clear()
        self._lost.set()
        lost = BusError(f"the broker closed the connection: {reason}")
        if self._connack is not None and not self._connack.done():
            self._connack.set_exception(lost)
        for future in self._subscribing.values():
            if not future.done():
                future.set_exception(lost)
        if was_ready and not self._closed:
            log.warning("broker.lost", reason=reason)
            self._on_state(False)  # noqa: FBT003  (the listener's only argument)

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        expiry: int | None = getattr(message.properties, "MessageExpiryInterval", None)
        self._sink(
            Delivery(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retain=message.retain,
                expiry_s=expiry,
                ack=partial(self._ack, self._generation, message.mid, message.qos),
            )
        )

    def _ack(self, generation: int, mid: int, qos: int) -> None:
        if qos and generation == self._generation and self._client is not None:
            self._client.ack(mid, qos)
            self._write()

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        done = self._unacknowledged.pop(mid, None)
        if done is not None and not done.done():
            if reason.value >= _FAILURE_CODE:
                done.set_exception(BusError(f"the broker denied a message: {reason}"))
            else:
                done.set_result(None)
        if self._waiting and self._loop is not None:
            self._loop.call_soon(self._send_waiting)

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        done = self._subscribing.get(mid)
        if done is None or done.done():
            return
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            done.set_exception(BusError(f"the broker refused a subscription: {refused[0]}"))
        else:
            done.set_result(None)


def _properties(options: PublishOptions) -> Properties | None:
    if options.expiry_s is None and options.response_topic is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if options.expiry_s is not None:
        properties.MessageExpiryInterval = max(1, round(options.expiry_s))
    if options.response_topic is not None:
        properties.ResponseTopic = options.response_topic
    if options.correlation_data is not None:
        properties.CorrelationData = options.correlation_data
    return properties


def _observe(future: asyncio.Future[None]) -> None:
    """Mark the future's error as seen: not everyone waits for an acknowledgement."""
    if not future.cancelled():
        future.exception()
