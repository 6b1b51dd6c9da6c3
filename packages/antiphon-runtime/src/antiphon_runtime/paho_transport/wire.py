"""One paho client and its socket, driven by the loop.

The loop watches the socket; reads and writes happen on it. Connecting blocks on DNS and TCP, so it
happens in a thread, whose callbacks are handed over to the loop.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import paho.mqtt.client as paho
from antiphon_contracts import MAX_MESSAGE_BYTES, BusError
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from antiphon_runtime.paho_transport.options import BrokerOptions
from antiphon_runtime.paho_transport.refusals import tls_refusal
from antiphon_runtime.tasks import in_daemon_thread
from antiphon_runtime.transport import PACKET_OVERHEAD_BYTES

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
# Acknowledgements are not urgent: they go along with the next message, or after this long.
ACK_DELAY_S = 0.002
RECEIVE_MAXIMUM = 65_535  # redelivery after an outage must not stall behind a small window


class WireEvents(Protocol):
    """What a wire tells; always on the loop."""

    def on_connack(self, reason: ReasonCode, properties: Properties | None) -> None:
        """The broker answered CONNECT."""

    def on_loss(self, reason: str) -> None:
        """The connection is gone."""

    def on_message(self, wire: Wire, message: paho.MQTTMessage) -> None:
        """A message came in."""

    def on_puback(self, mid: int, reason: ReasonCode) -> None:
        """The broker answered a PUBLISH."""

    def on_suback(self, mid: int, reasons: list[ReasonCode]) -> None:
        """The broker answered a SUBSCRIBE."""


class Wire:
    """A paho client, made for one MQTT version, which may be dialled again and again.

    Attributes:
        v5: whether it speaks MQTT 5, else 3.1.1.
        epoch: another number on every connection, and while there is none.
        heard_at: when something last came from the broker, on the loop's clock.
    """

    def __init__(self, options: BrokerOptions, *, v5: bool, events: WireEvents) -> None:
        self.v5 = v5
        self.epoch = 0
        self._options = options
        self._events = events
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._dialled = False
        self._abandoned = False
        self._in_paho = False
        self._write_due = False
        self._ack_due = False
        self._flush_due = False
        self._unwritten = 0  # packets given to paho since the last write
        self._watched_fd = -1
        self._writer_watched = False
        self._client = self._new_client()

    def _new_client(self) -> paho.Client:
        options = self._options
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=paho.MQTTv5 if self.v5 else paho.MQTTv311,
            clean_session=None if self.v5 else not options.session_expiry_s,
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
        events = self._events
        client.on_connect = lambda _c, _u, _f, reason, props: events.on_connack(reason, props)
        client.on_disconnect = self._on_disconnect
        client.on_message = lambda _c, _u, message: events.on_message(self, message)
        client.on_publish = lambda _c, _u, mid, reason, _p: events.on_puback(mid, reason)
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: events.on_suback(mid, reasons)
        return client

    # Connecting

    async def dial(self) -> None:
        """Open the TCP connection and send CONNECT; the answer is an event.

        Raises:
            BusError: nobody listens there, or the name is not known.
        """
        try:
            await in_daemon_thread(self._dial, name="mqtt-dial")
        except ssl.SSLError as error:
            raise tls_refusal(self._options, error) from error
        except (OSError, ValueError) as error:
            msg = (
                f"no MQTT broker answers at {self._options.where} ({error}); start one, or set "
                "ANTIPHON_HOST and ANTIPHON_PORT"
            )
            raise BusError(msg) from error
        except asyncio.CancelledError:
            self._abandoned = True
            raise

    def _dial(self) -> None:
        if self._dialled:
            self._client.reconnect()
        else:
            self._first_dial()
        sock = self._client.socket()
        if self._abandoned and sock is not None:
            sock.close()

    def _first_dial(self) -> None:
        self._dialled = True
        options = self._options
        if not self.v5:
            self._client.connect(options.host, options.port, options.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_MESSAGE_BYTES + PACKET_OVERHEAD_BYTES
        if options.session_expiry_s:
            properties.SessionExpiryInterval = options.session_expiry_s
        self._client.connect(
            options.host,
            options.port,
            options.keepalive_s,
            clean_start=not options.session_expiry_s,
            properties=properties,
        )

    def hang_up(self) -> None:
        """Close in good order, or at once where the socket does not take a DISCONNECT."""
        self.epoch += 1
        self._call(self._client.disconnect)
        self._write()  # paho closes the socket once the DISCONNECT is written
        sock = self._client.socket()
        if sock is not None:
            self._unwatch(sock.fileno())
            sock.close()

    def keep_alive(self) -> None:
        """Ask whether the broker is there, or give it up; to be called at least once a second."""
        self._call(self._client.loop_misc)
        self._write()

    # Sending

    def publish(
        self, topic: str, payload: bytes, qos: int, *, retain: bool, properties: Properties | None
    ) -> int:
        """Send a message; returns its packet id.

        Raises:
            BusError: paho cannot send it, or has no packet id left.
        """
        try:
            info = self._call(
                partial(self._client.publish, topic, payload, qos, retain, properties)
            )
        except ValueError as error:
            msg = f"the message cannot be sent: {error}"
            raise BusError(msg) from error
        if info.rc == paho.MQTT_ERR_QUEUE_SIZE:
            msg = "the broker leaves too many messages without an answer"
            raise BusError(msg)
        self._unwritten += 1
        self._write_first()
        return info.mid

    def subscribe(self, wanted: list[Any]) -> int | None:
        """Send a SUBSCRIBE; returns its packet id, None if there is no connection.

        Raises:
            BusError: paho refuses a filter.
        """
        try:
            _, mid = self._call(partial(self._client.subscribe, wanted))
        except ValueError as error:
            msg = f"cannot subscribe: {error}"
            raise BusError(msg) from error
        self._write()
        return mid

    def acknowledge(self, epoch: int, mid: int) -> None:
        """Send a PUBACK, unless the connection that the message came on is gone."""
        if epoch != self.epoch:
            return
        self._call(partial(self._client.ack, mid, 1))
        self._unwritten += 1
        if not self._ack_due:
            self._ack_due = True
            self._loop.call_later(ACK_DELAY_S, self._write_acks)

    def _write_first(self) -> None:
        """Write now; what else is sent in this turn of the loop is written together after it."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
            self._write()

    def _flush(self) -> None:
        self._flush_due = False
        if self._unwritten:
            self._write()

    def _write_acks(self) -> None:
        self._ack_due = False
        if self._unwritten:
            self._write()

    def _call(self, action: Callable[[], T]) -> T:
        """Call into paho. Its callback lock is not re-entrant: nobody writes from below here."""
        outer, self._in_paho = self._in_paho, True
        try:
            return action()
        finally:
            self._in_paho = outer

    # The socket, on the loop

    def _write(self) -> None:
        """Write now, and let the loop finish what the socket does not take."""
        if self._in_paho:
            self._write_due = True
            return
        self._write_due = False
        several, self._unwritten = self._unwritten > 1, 0
        with _one_segment(self._client.socket() if several else None):
            self._call(self._client.loop_write)
        sock = self._client.socket()
        if sock is not None and not self._writer_watched and self._client.want_write():
            self._writer_watched = True
            self._loop.add_writer(sock, self._write)

    def _read(self, sock: socket.socket) -> None:
        self.heard_at = self._loop.time()
        if hasattr(socket, "TCP_QUICKACK"):
            # Without it a broker that leaves Nagle on answers 44 ms late (measured).
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._call(self._client.loop_read)
        while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():
            self._call(self._client.loop_read)
        if self._write_due:
            self._write()

    def _watch(self, sock: socket.socket) -> None:
        if self._abandoned or sock.fileno() < 0:
            return
        self.epoch += 1
        self._watched_fd = sock.fileno()
        self._loop.add_reader(self._watched_fd, self._read, sock)

    def _unwatch(self, fd: int) -> None:
        if fd < 0 or fd != self._watched_fd:
            return
        self.epoch += 1
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        self._watched_fd = -1
        self._writer_watched = False

    def _on_socket_open(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_loop(partial(self._watch, sock))

    def _on_socket_close(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        self._on_loop(partial(self._unwatch, sock.fileno()))

    def _on_wants_write(self, _client: paho.Client, _userdata: object, _sock: Any) -> None:
        if not self._in_paho:
            self._on_loop(self._write)

    def _on_wrote_all(self, _client: paho.Client, _userdata: object, sock: Any) -> None:
        if self._writer_watched and sock.fileno() >= 0:
            self._writer_watched = False
            self._loop.remove_writer(sock)

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: object,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._on_loop(partial(self._events.on_loss, str(reason)))

    def _on_loop(self, action: Callable[[], None]) -> None:
        """Run `action` on the loop: now if we are there, else handed over."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            action()
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(action)


@contextmanager
def _one_segment(sock: Any) -> Iterator[None]:
    """Hold back what is sent on `sock` until the block ends (Linux): one segment, one wake-up.

    paho sends packet by packet. With an acknowledgement and the next message in one segment a call
    costs a tenth less processor time on both sides (measured).
    """
    if sock is None or not hasattr(socket, "TCP_CORK"):
        yield
        return
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    try:
        yield
    finally:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
