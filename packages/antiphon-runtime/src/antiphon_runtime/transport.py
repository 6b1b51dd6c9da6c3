"""The transport port: what the bus needs of an MQTT client.

`PahoTransport` is the real one, `antiphon_runtime.testing.MemoryTransport` its twin; both pass the
same conformance suite.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from antiphon_contracts import MAX_MESSAGE_BYTES, RawTopic, Topic

PACKET_OVERHEAD_BYTES = 64 * 1024
"""What topic and properties may add to a message of `MAX_MESSAGE_BYTES`."""

_TOPIC_LIMIT_BYTES = 65_535
# MQTT 5, sections 1.5.4 and 4.7: brokers hang up on these, and clients send them again.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_FILTER = re.compile(r"(?:(?:\+|[^+#/]*)/)*(?:#|\+|[^+#/]*)")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received message.

    Attributes:
        topic: full topic, the base included.
        payload: bytes as they came.
        qos: 0 or 1.
        retain: whether the broker had kept it; false for a message as it is published.
        expiry_s: what the broker says is left of its life, in seconds; None if it said nothing.
        ack: tells the broker that the message was taken over; to be called once, at any time. On a
            connection that is gone it does nothing: the broker delivers again.
        redelivered: whether the broker says that it sent it before.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry_s: float | None
    ack: Callable[[], None]
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes (retained, QoS 1) when this client disappears."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """What goes along with a published message.

    Attributes:
        qos: 0 is dropped while the broker is away, 1 waits for it.
        retain: whether the broker keeps it for later subscribers.
        expiry_s: how long the broker may keep it for an absent receiver (MQTT 5).
        response_topic: for foreign tools to see (MQTT 5); we never answer there.
        correlation_data: likewise.
        until_heard: send it again for some seconds if a broker that was away says that nobody is
            subscribed to it (MQTT 5); the future is done when the broker took it the first time.
    """

    qos: int = 0
    retain: bool = False
    expiry_s: float | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    until_heard: bool = False

    @classmethod
    def event(cls, topic: Topic[Any] | RawTopic, ttl_s: float | None) -> PublishOptions:
        """How an event of this topic goes: what the broker does not keep goes until it is heard."""
        heard = not topic.retain
        return cls(topic.qos, topic.retain, expiry_s=ttl_s, until_heard=heard)


Sink = Callable[[Delivery], None]
StateListener = Callable[[bool], None]


class Transport(Protocol):
    """An MQTT connection that keeps itself up.

    The sink is called on the event loop and must return at once: it only routes (see ADR 0002).
    """

    @property
    def connected(self) -> bool:
        """Whether messages go through now."""

    def open(self, sink: Sink, on_state: StateListener) -> AbstractAsyncContextManager[None]:
        """Connect in the background and stay connected while the block runs.

        `on_state` hears of every connect and every loss. On leaving, what was published is sent
        for at most a second, then the connection is closed in good order (no will).
        """

    async def wait_connected(self, timeout_s: float | None) -> None:
        """Return when connected and subscribed.

        Raises:
            BusError: not within `timeout_s`; the text carries the last failure.
        """

    async def subscribe(self, filters: dict[str, int]) -> None:
        """Subscribe to filters with their QoS, now and after every reconnect.

        Returns at once while the broker is away.

        Raises:
            BusError: the broker refused one of them.
        """

    def publish(self, topic: str, payload: bytes, options: PublishOptions) -> asyncio.Future[None]:
        """Start to send; messages leave in the order of the calls.

        The future is done when the broker has acknowledged (QoS 1) or when the message was handed
        to the system (QoS 0). It fails with BusError if the message cannot be sent (over
        `MAX_MESSAGE_BYTES`, or no topic), if the broker denies it (MQTT 3.1.1 brokers do not say
        so), if too much is waiting already, if it expired in the queue, or when the transport is
        closed first. Cancelling it takes a message that was not sent out of the queue.
        """


def why_not_a_message(topic: str, payload: bytes) -> str | None:
    """Return why a broker would hang up on the message, None if it would not."""
    if len(payload) > MAX_MESSAGE_BYTES:
        return f"a message of {len(payload)} bytes exceeds the limit of {MAX_MESSAGE_BYTES}"
    if not topic or "+" in topic or "#" in topic or _is_no_text(topic):
        return f"{topic!r} is no topic to publish to"
    return None


def why_not_a_filter(name: str) -> str | None:
    """Return why a broker would refuse the subscription filter, None if it would not."""
    if not name or _is_no_text(name) or not _FILTER.fullmatch(name):
        return f"{name!r} is no subscription filter"
    return None


def shared_filter(group: str, name: str) -> str:
    """Return the filter by which the members of a group take turns (MQTT 5, section 4.8.2)."""
    return f"$share/{group}/{name}"


def plain_filter(name: str) -> str | None:
    """Return what a shared filter matches; None if it is not shared."""
    return name.split("/", 2)[2] if name.startswith("$share/") else None


def matches(name: str, topic: str) -> bool:
    """Return whether an MQTT subscription filter matches a topic."""
    wanted, levels = name.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


def _is_no_text(topic: str) -> bool:
    if topic.isascii() and topic.isprintable():
        return len(topic) > _TOPIC_LIMIT_BYTES
    return _FORBIDDEN.search(topic) is not None or len(topic.encode()) > _TOPIC_LIMIT_BYTES
