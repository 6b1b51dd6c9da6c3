"""What every transport does: the in-memory twin, and paho on mosquitto and amqtt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pytest
from antiphon_contracts import MAX_MESSAGE_BYTES, BusError, new_id
from antiphon_runtime import BrokerOptions, Delivery, PahoTransport, PublishOptions, Will
from antiphon_runtime.broker import BrokerAddress
from antiphon_runtime.testing import MemoryBroker, MemoryTransport, TcpProxy
from antiphon_runtime.transport import Transport, shared_filter

pytestmark = pytest.mark.timeout(30)

WAIT_S = 5.0
Version = Literal["auto", "5", "3.1.1"]
QOS1 = PublishOptions(qos=1)


class Place(Protocol):
    """A broker, and the means to disturb it.

    `go_offline` loses every connection, `lose` one; all may come back after `go_online`.
    """

    def transport(
        self, *, will: Will | None = None, client_id: str = "", session_expiry_s: int = 0
    ) -> Transport: ...

    def go_offline(self) -> None: ...

    def go_online(self) -> None: ...

    def lose(self, transport: Transport) -> None: ...


class MemoryPlace:
    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def transport(
        self, *, will: Will | None = None, client_id: str = "", session_expiry_s: int = 0
    ) -> Transport:
        return self.broker.transport(will=will)

    def go_offline(self) -> None:
        self.broker.go_offline()

    def go_online(self) -> None:
        self.broker.go_online()

    def lose(self, transport: Transport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.broker.kill(transport)


class RealPlace:
    """Each transport gets a TCP proxy of its own."""

    def __init__(self, proxies: list[TcpProxy], protocol: Version) -> None:
        self._idle = proxies
        self._used: dict[Transport, TcpProxy] = {}
        self._protocol = protocol

    def transport(
        self, *, will: Will | None = None, client_id: str = "", session_expiry_s: int = 0
    ) -> Transport:
        proxy = self._idle.pop()
        options = BrokerOptions(
            port=proxy.port,
            protocol=self._protocol,
            will=will,
            client_id=client_id,
            session_expiry_s=session_expiry_s,
            backoff_s=(0.01, 0.05),
        )
        transport = PahoTransport(options)
        self._used[transport] = proxy
        return transport

    def go_offline(self) -> None:
        for proxy in self._used.values():
            proxy.go_down()

    def go_online(self) -> None:
        for proxy in self._used.values():
            proxy.come_up()

    def lose(self, transport: Transport) -> None:
        self._used[transport].go_down()


REAL: dict[str, tuple[str, Version]] = {
    "mosquitto-5": ("mosquitto", "5"),
    "mosquitto-3.1.1": ("mosquitto", "3.1.1"),
    "amqtt-auto": ("amqtt", "auto"),
}
PLACES = {
    "memory": pytest.param("memory", marks=pytest.mark.unit),
    "mosquitto-5": pytest.param("mosquitto-5", marks=pytest.mark.integration),
    "mosquitto-3.1.1": pytest.param("mosquitto-3.1.1", marks=pytest.mark.integration),
    "amqtt-auto": pytest.param("amqtt-auto", marks=pytest.mark.integration),
}


@pytest.fixture(params=PLACES.values())
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    kind, version = REAL.get(request.param, ("", "auto"))
    if not kind:
        yield MemoryPlace()
        return
    address: BrokerAddress = request.getfixturevalue(kind)
    async with AsyncExitStack() as stack:
        proxies = [TcpProxy(address.host, address.port) for _ in range(3)]
        for proxy in proxies:
            await stack.enter_async_context(proxy)
        yield RealPlace(proxies, version)


@pytest.fixture
def topic() -> str:
    return f"conformance/{new_id()}"


@dataclass
class Inbox:
    """What one transport received, acknowledged unless told otherwise."""

    acknowledges: bool = True
    deliveries: list[Delivery] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_delivery(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.changed.set()
        if self.acknowledges:
            delivery.ack()

    def on_state(self, connected: bool) -> None:
        self.states.append(connected)
        self.changed.set()

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not enough():
                self.changed.clear()
                await self.changed.wait()

    async def heard(self, *payloads: bytes) -> None:
        await self.until(lambda: len(self.payloads) >= len(payloads))
        assert self.payloads == list(payloads)


@asynccontextmanager
async def opened(
    transport: Transport, filters: dict[str, int] | None = None, *, acknowledges: bool = True
) -> AsyncIterator[Inbox]:
    inbox = Inbox(acknowledges)
    await transport.subscribe(filters or {})
    async with transport.open(inbox.on_delivery, inbox.on_state):
        await transport.wait_connected(WAIT_S)
        yield inbox


async def until_done(*futures: asyncio.Future[None]) -> None:
    await asyncio.wait(futures, timeout=WAIT_S)
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("qos", [0, 1])
async def test_messages_arrive_in_order_with_their_qos(place: Place, topic: str, qos: int) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: qos}) as inbox, opened(sender):
        sent = [sender.publish(topic, b"%d" % n, PublishOptions(qos=qos)) for n in range(100)]
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*sent)
        await inbox.heard(*(b"%d" % n for n in range(100)))
    assert {(d.topic, d.qos, d.retain) for d in inbox.deliveries} == {(topic, qos, False)}


async def test_a_late_subscriber_gets_what_was_retained_and_is_told_so(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    async with opened(sender):
        async with asyncio.timeout(WAIT_S):
            await sender.publish(topic, b"kept", PublishOptions(qos=1, retain=True))
        async with opened(place.transport(), {topic: 1}) as inbox:
            await inbox.heard(b"kept")
            await until_done(sender.publish(topic, b"live", PublishOptions(qos=1, retain=True)))
            await inbox.heard(b"kept", b"live")
        await until_done(sender.publish(topic, b"", PublishOptions(qos=1, retain=True)))
    assert [delivery.retain for delivery in inbox.deliveries] == [True, False]


async def test_a_filter_with_wildcards_gets_its_topics_and_no_other(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    async with opened(place.transport(), {f"{topic}/+/in": 1}) as inbox, opened(sender):
        for name in ("in", "a/in/b", "a/out", "a/in"):
            sender.publish(f"{topic}/{name}", name.encode(), QOS1)
        await inbox.heard(b"a/in")


async def test_a_connection_that_dies_leaves_its_will_and_a_closed_one_does_not(
    place: Place, topic: str
) -> None:
    dying = place.transport(will=Will(f"{topic}/dying", b"gone"))
    closing = place.transport(will=Will(f"{topic}/closing", b"gone"))
    async with opened(place.transport(), {f"{topic}/+": 1}) as inbox:
        async with opened(closing):
            pass
        async with opened(dying):
            place.lose(dying)
            await inbox.heard(b"gone")
    assert inbox.deliveries[0].topic == f"{topic}/dying"


async def test_what_is_published_before_the_connection_is_there_arrives(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: 1}) as inbox:
        heard = Inbox()
        async with sender.open(heard.on_delivery, heard.on_state):
            early = sender.publish(topic, b"early", QOS1)
            async with asyncio.timeout(WAIT_S):
                await early
        await inbox.heard(b"early")


async def test_what_is_published_last_before_closing_arrives(place: Place, topic: str) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: 1}) as inbox:
        async with opened(sender):
            sent = [sender.publish(topic, b"%d" % n, QOS1) for n in range(50)]
        await inbox.heard(*(b"%d" % n for n in range(50)))
    assert all(future.exception() is None for future in sent)


async def test_what_is_published_during_an_outage_arrives_after_it(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: 1}) as inbox, opened(sender) as at_sender:
        place.lose(sender)
        await at_sender.until(lambda: at_sender.states == [True, False])
        assert not sender.connected
        dropped = sender.publish(topic, b"qos 0", PublishOptions(qos=0))
        waiting = [sender.publish(topic, b"%d" % n, QOS1) for n in range(300)]
        assert isinstance(dropped.exception(), BusError)
        assert not any(future.done() for future in waiting)
        place.go_online()
        await inbox.heard(*(b"%d" % n for n in range(300)))
        await until_done(*waiting)
    assert at_sender.states == [True, False, True]
    assert all(future.exception() is None for future in waiting)


async def test_subscriptions_outlive_an_outage_and_may_be_made_during_it(
    place: Place, topic: str
) -> None:
    sender, receiver = place.transport(), place.transport()
    async with opened(receiver, {f"{topic}/old": 1}) as inbox, opened(sender):
        place.go_offline()
        await inbox.until(lambda: inbox.states == [True, False])
        async with asyncio.timeout(1):
            await receiver.subscribe({f"{topic}/new": 1})
        place.go_online()
        await inbox.until(lambda: inbox.states == [True, False, True])
        await sender.wait_connected(WAIT_S)
        sender.publish(f"{topic}/old", b"old", QOS1)
        sender.publish(f"{topic}/new", b"new", QOS1)
        await inbox.heard(b"old", b"new")


async def test_a_subscription_made_while_open_gets_messages(place: Place, topic: str) -> None:
    sender, receiver = place.transport(), place.transport()
    async with opened(receiver) as inbox, opened(sender):
        async with asyncio.timeout(WAIT_S):
            await receiver.subscribe({topic: 1})
        sender.publish(topic, b"hello", QOS1)
        await inbox.heard(b"hello")


async def test_what_was_given_up_or_expired_in_an_outage_is_not_sent(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: 1}) as inbox, opened(sender) as at_sender:
        place.lose(sender)
        await at_sender.until(lambda: at_sender.states == [True, False])
        sender.publish(topic, b"given up", QOS1).cancel()
        expired = sender.publish(topic, b"expired", PublishOptions(qos=1, expiry_s=0.0))
        wanted = sender.publish(topic, b"wanted", PublishOptions(qos=1, expiry_s=60))
        place.go_online()
        await until_done(expired, wanted)
        await inbox.heard(b"wanted")
    assert isinstance(expired.exception(), BusError)


async def test_leaving_during_an_outage_is_quick_and_fails_what_waits(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    begun = asyncio.get_running_loop().time()
    async with opened(sender) as inbox:
        place.go_offline()
        await inbox.until(lambda: inbox.states == [True, False])
        waiting = [sender.publish(topic, b"%d" % n, QOS1) for n in range(3)]
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 2
    assert all(isinstance(future.exception(), BusError) for future in waiting)
    assert isinstance(sender.publish(topic, b"late", QOS1).exception(), BusError)


async def test_an_error_inside_comes_out_as_itself(place: Place) -> None:
    async def fail() -> None:
        async with opened(place.transport()):
            raise LookupError

    with pytest.raises(LookupError):
        await fail()


@pytest.mark.parametrize(
    "place",
    [PLACES["memory"], PLACES["mosquitto-5"], PLACES["mosquitto-3.1.1"]],
    indirect=True,
)
async def test_what_was_not_acknowledged_comes_again_after_a_reconnect(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    receiver = place.transport(client_id=f"c-{new_id()}", session_expiry_s=60)
    async with opened(receiver, {topic: 1}, acknowledges=False) as inbox, opened(sender):
        sender.publish(topic, b"kept", QOS1)
        sender.publish(topic, b"done", QOS1)
        await inbox.heard(b"kept", b"done")
        first, second = inbox.deliveries
        second.ack()
        # The broker answers in order: once it has a later message, it has the acknowledgement.
        await until_done(receiver.publish(f"{topic}/later", b"", QOS1))
        place.lose(receiver)
        await inbox.until(lambda: inbox.states == [True, False])
        first.ack()
        place.go_online()
        await inbox.heard(b"kept", b"done", b"kept")
        first.ack()
        inbox.deliveries[-1].ack()
        await receiver.wait_connected(WAIT_S)
        sender.publish(topic, b"more", QOS1)
        await inbox.heard(b"kept", b"done", b"kept", b"more")


async def test_a_message_that_is_too_large_is_refused_and_the_next_one_passes(
    place: Place, topic: str
) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: 1}) as inbox, opened(sender) as at_sender:
        refused = sender.publish(topic, bytes(MAX_MESSAGE_BYTES + 1), QOS1)
        passed = sender.publish(topic, b"small", QOS1)
        await until_done(refused, passed)
        await inbox.heard(b"small")
    assert isinstance(refused.exception(), BusError)
    assert str(MAX_MESSAGE_BYTES) in str(refused.exception())
    assert at_sender.states == [True]


BAD_TOPICS = ["", "a/+", "#", "a\0b", "a\x01b", "a\x7fb", "a\ud800b", "a\uffffb", "x" * 65_536]


@pytest.mark.parametrize("bad", BAD_TOPICS, ids=ascii)
async def test_a_topic_that_brokers_hang_up_on_is_refused(
    place: Place, topic: str, bad: str
) -> None:
    sender = place.transport()
    async with opened(place.transport(), {topic: 1}) as inbox, opened(sender) as at_sender:
        refused = sender.publish(bad, b"", QOS1)
        sender.publish(topic, b"good", QOS1)
        await inbox.heard(b"good")
    assert isinstance(refused.exception(), BusError)
    assert at_sender.states == [True]


@pytest.mark.parametrize("bad", ["", "a#", "a/#/b", "a+", "a\0"], ids=ascii)
async def test_a_bad_filter_is_refused_before_and_after_connecting(place: Place, bad: str) -> None:
    transport = place.transport()
    with pytest.raises(BusError, match="no subscription filter"):
        await transport.subscribe({bad: 1})
    async with opened(transport):
        with pytest.raises(BusError, match="no subscription filter"):
            await transport.subscribe({bad: 1})


async def test_publishing_before_opening_is_refused(place: Place, topic: str) -> None:
    with pytest.raises(BusError, match="not open"):
        place.transport().publish(topic, b"", QOS1)


async def test_waiting_for_a_broker_that_is_away_ends_with_a_sentence(place: Place) -> None:
    transport, inbox = place.transport(), Inbox()
    place.go_offline()
    async with transport.open(inbox.on_delivery, inbox.on_state):
        with pytest.raises(BusError, match="broker"):
            await transport.wait_connected(0.2)


@pytest.mark.parametrize(
    "place",
    [PLACES["memory"], PLACES["mosquitto-5"], PLACES["mosquitto-3.1.1"]],
    indirect=True,
)
async def test_members_of_a_group_take_turns(place: Place, topic: str) -> None:
    one, other, sender = (place.transport() for _ in range(3))
    ours = {shared_filter("group", topic): 1}
    sent = [b"%d" % number for number in range(20)]
    async with opened(one, ours) as at_one, opened(other, ours) as at_other, opened(sender):
        for payload in sent:
            sender.publish(topic, payload, QOS1)
        await at_one.until(lambda: len(at_one.payloads) == 10)
        await at_other.until(lambda: len(at_other.payloads) == 10)
    assert sorted(at_one.payloads + at_other.payloads) == sorted(sent)


@pytest.mark.parametrize("place", [PLACES["amqtt-auto"]], indirect=True)
async def test_what_amqtt_retains_for_others_is_dropped(place: Place, topic: str) -> None:
    sender = place.transport()
    async with opened(sender):
        sender.publish(f"{topic}/theirs", b"theirs", PublishOptions(qos=1, retain=True))
        sender.publish(f"{topic}/ours", b"ours", PublishOptions(qos=1, retain=True))
        async with (
            opened(place.transport(), {f"{topic}/theirs": 1}) as theirs,
            opened(place.transport(), {f"{topic}/ours": 1}) as ours,
        ):
            await theirs.heard(b"theirs")
            await ours.heard(b"ours")
            sender.publish(f"{topic}/ours", b"last", QOS1)
            await ours.heard(b"ours", b"last")
