"""What only a real broker can do to the connection."""

import asyncio
import socket
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import aiomqtt
import pytest
from antiphon_contracts import BusError, new_id
from antiphon_runtime import BrokerOptions, Delivery, PahoTransport, PublishOptions
from antiphon_runtime.broker import BrokerAddress, EmbeddedBroker, embedded_broker
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.paho_transport import connection, unheard
from antiphon_runtime.testing import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(40)]

WAIT_S = 5.0
QOS1 = PublishOptions(qos=1)


@pytest.fixture
def topic() -> str:
    return f"paho/{new_id()}"


class Ear:
    """What one transport received, acknowledged at once."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.states: list[bool] = []
        self._changed = asyncio.Event()

    def on_delivery(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        delivery.ack()
        self._changed.set()

    def on_state(self, connected: bool) -> None:
        self.states.append(connected)
        self._changed.set()

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    async def until_heard(self, payload: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            while payload not in self.payloads:
                self._changed.clear()
                await self._changed.wait()

    async def until_states(self, *states: bool) -> None:
        async with asyncio.timeout(2 * WAIT_S):
            while self.states != list(states):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def opened(
    transport: PahoTransport, filters: dict[str, int] | None = None
) -> AsyncIterator[Ear]:
    ear = Ear()
    await transport.subscribe(filters or {})
    async with transport.open(ear.on_delivery, ear.on_state):
        await transport.wait_connected(WAIT_S)
        yield ear


async def outcome(future: asyncio.Future[None]) -> BaseException | None:
    async with asyncio.timeout(WAIT_S):
        await asyncio.wait([future])
    return future.exception()


def with_login(address: BrokerAddress) -> BrokerOptions:
    return BrokerOptions(
        port=address.port,
        username=address.username,
        password=address.password,
        backoff_s=(0.01, 0.1),
    )


# Which MQTT


async def test_mosquitto_is_spoken_to_in_mqtt_5_and_amqtt_in_3_1_1(
    mosquitto: BrokerAddress, amqtt: BrokerAddress
) -> None:
    for address, version in ((mosquitto, "5"), (amqtt, "3.1.1")):
        transport = PahoTransport(with_login(address))
        async with opened(transport):
            assert transport.protocol == version


async def test_a_broker_that_only_speaks_5_or_only_3_1_1_is_refused_when_told_so(
    amqtt: BrokerAddress,
) -> None:
    transport = PahoTransport(BrokerOptions(port=amqtt.port, protocol="5"))
    ear = Ear()
    async with transport.open(ear.on_delivery, ear.on_state):
        with pytest.raises(BusError, match="Unsupported protocol version"):
            await transport.wait_connected(0.5)
    assert transport.protocol == "5"


class OldBroker:
    """Knows no MQTT 5: it is silent, hangs up, or answers as 3.1.1 does; then it speaks 3.1.1."""

    def __init__(self, answer_to_v5: bytes | None, *, hangs_up: bool) -> None:
        self.versions: list[int] = []
        self._answer = answer_to_v5
        self._hangs_up = hangs_up
        self._over = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                self._over.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(2)
        body = await reader.readexactly(head[1])
        version = body[6]
        self.versions.append(version)
        if version == 4:
            writer.write(b"\x20\x02\x00\x00")
        elif self._answer is not None:
            writer.write(self._answer)
        if version == 4 or not self._hangs_up:
            await self._over.wait()
        writer.close()


@pytest.mark.parametrize(
    ("answer_to_v5", "hangs_up"),
    [(None, False), (None, True), (b"\x20\x02\x00\x01", True), (b"\x20\x03\x00\x84\x00", True)],
    ids=["silent", "hangs up", "answers as 3.1.1", "answers 0x84"],
)
async def test_a_broker_without_mqtt_5_gets_3_1_1(
    monkeypatch: pytest.MonkeyPatch, answer_to_v5: bytes | None, hangs_up: bool
) -> None:
    monkeypatch.setattr(connection, "V5_CONNACK_TIMEOUT_S", 0.2)
    broker = OldBroker(answer_to_v5, hangs_up=hangs_up)
    async with broker.listening() as port:
        # A long pause between attempts: the second version must be tried at once.
        transport = PahoTransport(BrokerOptions(port=port, backoff_s=(60, 60)))
        async with opened(transport):
            assert transport.protocol == "3.1.1"
    assert broker.versions == [5, 4]


async def test_a_broker_that_never_answers_is_said_to_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "V5_CONNACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        transport, ear = PahoTransport(BrokerOptions(port=port)), Ear()
        async with transport.open(ear.on_delivery, ear.on_state):
            with pytest.raises(BusError, match=f"127.0.0.1:{port} sent no CONNACK"):
                await transport.wait_connected(0.5)


# Refusals


async def test_a_wrong_password_is_said_to_be_wrong(
    mosquitto: BrokerAddress, amqtt: BrokerAddress
) -> None:
    for address in (mosquitto, amqtt):
        options = BrokerOptions(port=address.port, username="antiphon", password="sesame")
        transport, ear = PahoTransport(options), Ear()
        async with transport.open(ear.on_delivery, ear.on_state):
            with pytest.raises(BusError, match="ANTIPHON_PASSWORD") as refused:
                await transport.wait_connected(0.5)
        assert f"127.0.0.1:{address.port}" in str(refused.value)
        assert "sesame" not in str(refused.value) + repr(options)


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "bad host"])
async def test_an_absent_broker_is_named(host: str) -> None:
    port = free_port()
    transport, ear = PahoTransport(BrokerOptions(host=host, port=port)), Ear()
    async with transport.open(ear.on_delivery, ear.on_state):
        with pytest.raises(BusError, match=f"{host}:{port}"):
            await transport.wait_connected(0.5)


async def test_leaving_while_the_name_server_hangs_is_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered, asked = threading.Event(), threading.Event()

    def hang(*_args: object, **_keywords: object) -> socket.socket:
        asked.set()
        answered.wait(WAIT_S)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    transport, ear = PahoTransport(BrokerOptions(port=free_port())), Ear()
    try:
        async with asyncio.timeout(1):
            async with transport.open(ear.on_delivery, ear.on_state):
                await asyncio.to_thread(asked.wait, 1)
                future = transport.publish("a", b"", QOS1)
        assert isinstance(future.exception(), BusError)
    finally:
        answered.set()


async def test_a_connection_that_comes_after_leaving_is_closed(
    monkeypatch: pytest.MonkeyPatch, mosquitto: BrokerAddress
) -> None:
    go_on, asked = threading.Event(), threading.Event()
    connect = socket.create_connection
    made: list[socket.socket] = []

    def late(*args: tuple[str, int], **_keywords: object) -> socket.socket:
        asked.set()
        go_on.wait(WAIT_S)
        made.append(connect(("127.0.0.1", mosquitto.port)))
        return made[0]

    monkeypatch.setattr(socket, "create_connection", late)
    transport, ear = PahoTransport(with_login(mosquitto)), Ear()
    async with transport.open(ear.on_delivery, ear.on_state):
        await asyncio.to_thread(asked.wait, 1)
        dialling = [t for t in threading.enumerate() if t.name == "mqtt-dial"]
    go_on.set()
    for thread in dialling:
        await asyncio.to_thread(thread.join, WAIT_S)
    assert [sock.fileno() for sock in made] == [-1]


async def test_a_denied_message_is_seen_in_mqtt_5_and_unseen_in_3_1_1(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite allowed/#\n")
    acl.chmod(0o600)
    lines = [f"acl_file {acl}"]
    async with embedded_broker(
        tmp_path / "broker", kind="mosquitto", anonymous=True, extra_config=lines
    ) as broker:
        port = broker.address.port
        new = PahoTransport(BrokerOptions(port=port, protocol="5"))
        old = PahoTransport(BrokerOptions(port=port, protocol="3.1.1"))
        async with opened(new), opened(old):
            denied = await outcome(new.publish("forbidden", b"", QOS1))
            unseen = await outcome(old.publish("forbidden", b"", QOS1))
            allowed = await outcome(new.publish("allowed/a", b"", QOS1))
    assert isinstance(denied, BusError)
    assert "Not authorized" in str(denied)
    assert unseen is None
    assert allowed is None


async def test_a_brokers_own_smaller_limit_is_kept(tmp_path: Path) -> None:
    lines = ["max_packet_size 20000"]
    async with embedded_broker(
        tmp_path, kind="mosquitto", anonymous=True, extra_config=lines
    ) as broker:
        transport = PahoTransport(BrokerOptions(port=broker.address.port))
        async with opened(transport, {"a": 1}) as ear:
            refused = await outcome(transport.publish("a", bytes(20_000), QOS1))
            passed = await outcome(transport.publish("a", bytes(9_000), QOS1))
            await ear.until_heard(bytes(9_000))
    assert isinstance(refused, BusError)
    assert "10000" in str(refused)
    assert passed is None
    assert ear.states == [True]


async def test_a_message_that_the_broker_always_hangs_up_on_is_given_up(tmp_path: Path) -> None:
    lines = ["max_packet_size 20000"]
    async with embedded_broker(
        tmp_path, kind="mosquitto", anonymous=True, extra_config=lines
    ) as broker:
        # MQTT 3.1.1 does not tell the limit.
        options = BrokerOptions(port=broker.address.port, protocol="3.1.1", backoff_s=(0.01, 0.02))
        transport = PahoTransport(options)
        async with opened(transport, {"a": 1}) as ear:
            poison = await outcome(transport.publish("a", bytes(30_000), QOS1))
            async with asyncio.timeout(WAIT_S):
                await transport.publish("a", b"next", QOS1)
            await ear.until_heard(b"next")
    assert isinstance(poison, BusError)
    assert "given up" in str(poison)


# Outages


async def test_a_broker_killed_with_messages_in_flight_ends_every_future_and_comes_back(
    tmp_path: Path,
) -> None:
    async with embedded_broker(
        tmp_path, kind="mosquitto", persistence=False, anonymous=True
    ) as broker:
        options = BrokerOptions(port=broker.address.port, backoff_s=(0.01, 0.1))
        sender, receiver = PahoTransport(options), PahoTransport(options)
        async with opened(receiver, {"a": 1}) as ear, opened(sender):
            futures = [sender.publish("a", b"%d" % n, QOS1) for n in range(2_000)]
            await broker.kill()
            futures += [sender.publish("a", b"%d" % n, QOS1) for n in range(2_000, 2_100)]
            await broker.restart()
            async with asyncio.timeout(2 * WAIT_S):
                await asyncio.wait(futures)
            assert all(
                future.exception() is None or isinstance(future.exception(), BusError)
                for future in futures
            )
            await receiver.wait_connected(WAIT_S)
            await sender.wait_connected(WAIT_S)
            sender.publish("a", b"after", QOS1)
            await ear.until_heard(b"after")
        assert sender.in_flight == 0


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A broker that forgets everything when it dies."""
    async with embedded_broker(
        tmp_path, kind="mosquitto", persistence=False, anonymous=True
    ) as made:
        yield made


def transport_to(broker: EmbeddedBroker) -> PahoTransport:
    return PahoTransport(BrokerOptions(port=broker.address.port, backoff_s=(0.01, 0.1)))


async def come_back(broker: EmbeddedBroker, ear: Ear) -> None:
    """Have the broker die and return, and with it whoever has this ear."""
    await broker.kill()
    await broker.restart()
    await ear.until_states(True, False, True)


async def test_who_comes_back_late_still_hears_what_was_said_meanwhile(
    broker: EmbeddedBroker,
) -> None:
    heard = PublishOptions(qos=1, until_heard=True)
    sender, late = transport_to(broker), transport_to(broker)
    async with opened(sender) as own:
        await broker.kill()
        waited = sender.publish("a", b"0", heard)
        await broker.restart()
        await own.until_states(True, False, True)
        assert await outcome(waited) is None
        sent = [waited, *(sender.publish("a", b"%d" % n, heard) for n in range(1, 50))]
        lost = sender.publish("a", b"lost", QOS1)
        assert [await outcome(future) for future in (*sent, lost)] == [None] * 51
        async with opened(late, {"a": 1}) as ear:
            await ear.until_heard(b"49")
            assert ear.payloads == [b"%d" % n for n in range(50)]
    assert sender.in_flight == 0


async def test_what_nobody_ever_hears_is_given_up(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unheard, "GRACE_S", 0.5)
    heard = PublishOptions(qos=1, until_heard=True)
    sender = transport_to(broker)
    async with opened(sender) as own:
        await come_back(broker, own)
        assert await outcome(sender.publish("a", b"early", heard)) is None
        assert await outcome(sender.publish("a", b"later", heard)) is None
        await asyncio.sleep(1.0)
        async with opened(transport_to(broker), {"a": 1}) as ear:
            sender.publish("a", b"after", heard)
            await ear.until_heard(b"after")
            assert ear.payloads == [b"after"]


async def test_what_nobody_heard_lives_no_longer_for_it_and_leaves_no_future(
    broker: EmbeddedBroker,
) -> None:
    sender = transport_to(broker)
    heard = PublishOptions(qos=1, until_heard=True)
    brief = PublishOptions(qos=1, until_heard=True, expiry_s=0.5)
    futures: list[asyncio.Future[None]] = []
    async with opened(sender) as own:
        await come_back(broker, own)
        assert await outcome(sender.publish("a", b"brief", brief)) is None
        assert await outcome(sender.publish("a", b"lasting", heard)) is None
        taken_back = sender.publish("a", b"taken back", heard)
        taken_back.cancel()
        await asyncio.sleep(1.0)
        async with opened(transport_to(broker), {"a": 1}) as ear:
            await ear.until_heard(b"lasting")
            assert ear.payloads == [b"lasting"]
        for number in range(20):
            futures.append(sender.publish("b", b"%d" % number, heard))
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    assert all(future.done() for future in futures)


async def test_nothing_leaks_over_100_outages(mosquitto: BrokerAddress, topic: str) -> None:
    options = BrokerOptions(backoff_s=(0.001, 0.02))
    async with TcpProxy(mosquitto.host, mosquitto.port) as proxy:
        transport = PahoTransport(
            BrokerOptions(port=proxy.port, backoff_s=options.backoff_s, client_id=new_id())
        )
        async with opened(transport, {topic: 1}) as ear:
            for outage in range(100):
                sent = [transport.publish(topic, b"%d-%d" % (outage, n), QOS1) for n in range(5)]
                asking = asyncio.ensure_future(transport.subscribe({f"{topic}/{outage % 3}": 1}))
                await asyncio.sleep(0)
                proxy.break_connections()
                await ear.until_states(*[True, False] * (outage + 1), True)
                async with asyncio.timeout(WAIT_S):
                    await asyncio.gather(*sent)
                    await asking
            assert transport.in_flight == 0
            wire = transport._wire
            assert wire is not None
            assert not wire._client._out_messages
            assert not transport._subscribing
            assert not transport._outbox.open_futures()
            await outcome(transport.publish(topic, b"last", QOS1))
            await ear.until_heard(b"last")
    assert proxy.connections >= 101


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_two_clients_of_one_id_do_not_push_each_other_out_without_end(
    mosquitto: BrokerAddress, protocol: Literal["5", "3.1.1"]
) -> None:
    options = BrokerOptions(
        port=mosquitto.port, client_id=new_id(), protocol=protocol, backoff_s=(0.02, 5.0)
    )
    async with opened(PahoTransport(options)) as first, opened(PahoTransport(options)) as second:
        await asyncio.sleep(2)
        connects = (first.states + second.states).count(True)
    # Without growing pauses it would be about 130.
    assert 2 <= connects <= 30


async def test_what_waits_for_the_broker_is_bounded() -> None:
    options = BrokerOptions(port=free_port(), max_queued=3)
    transport, ear = PahoTransport(options), Ear()
    async with transport.open(ear.on_delivery, ear.on_state):
        first = transport.publish("a", b"", QOS1)
        waiting = [transport.publish("a", b"", QOS1) for _ in range(2)]
        refused = transport.publish("a", b"", QOS1)
        first.cancel()
        taken = transport.publish("a", b"", QOS1)
        assert isinstance(refused.exception(), BusError)
        assert not taken.done()
        assert not any(future.done() for future in waiting)


async def test_a_small_window_is_kept_and_all_arrives(tmp_path: Path) -> None:
    lines = ["max_inflight_messages 2"]
    async with embedded_broker(
        tmp_path, kind="mosquitto", anonymous=True, extra_config=lines
    ) as broker:
        transport = PahoTransport(BrokerOptions(port=broker.address.port))
        async with opened(transport, {"a": 1}) as ear:
            futures = [transport.publish("a", b"%d" % n, QOS1) for n in range(300)]
            in_flight = transport.in_flight
            async with asyncio.timeout(WAIT_S):
                await asyncio.gather(*futures)
            await ear.until_heard(b"299")
    assert in_flight == 2
    assert ear.payloads == [b"%d" % n for n in range(300)]


async def test_an_idle_connection_stays_up_and_a_frozen_one_is_given_up(
    mosquitto: BrokerAddress,
) -> None:
    async with TcpProxy(mosquitto.host, mosquitto.port) as proxy:
        idle = PahoTransport(BrokerOptions(port=mosquitto.port, keepalive_s=1))
        frozen = PahoTransport(BrokerOptions(port=proxy.port, keepalive_s=1))
        async with opened(idle) as at_idle, opened(frozen) as at_frozen:
            proxy.freeze()
            await at_frozen.until_states(True, False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):  # longer than keep-alive and answer together
                    await at_idle.until_states(True, False)
            assert idle.connected
            assert not frozen.connected


async def test_a_broker_that_leaves_a_message_without_a_word_is_given_up(
    mosquitto: BrokerAddress, topic: str
) -> None:
    async with TcpProxy("127.0.0.1", mosquitto.port) as proxy:
        options = BrokerOptions(port=proxy.port, keepalive_s=60, backoff_s=(0.01, 0.1))
        transport = PahoTransport(options)
        async with opened(transport) as ear:
            proxy.freeze()
            sent = transport.publish(topic, b"1", QOS1)
            await ear.until_states(True, False)
            proxy.come_up()
            await ear.until_states(True, False, True)
            assert await outcome(sent) is None


async def test_a_sink_that_crashes_costs_one_message(
    mosquitto: BrokerAddress, topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    transport = PahoTransport(BrokerOptions(port=mosquitto.port))
    heard: list[bytes] = []
    over = asyncio.Event()

    def crash(delivery: Delivery) -> None:
        if delivery.payload == b"secret words":
            raise LookupError(delivery.payload)
        heard.append(delivery.payload)
        over.set()

    await transport.subscribe({topic: 0})
    async with transport.open(crash, lambda _connected: None), asyncio.timeout(WAIT_S):
        await transport.wait_connected(WAIT_S)
        transport.publish(topic, b"secret words", PublishOptions())
        transport.publish(topic, b"good", PublishOptions())
        await over.wait()
    assert heard == [b"good"]
    log = capsys.readouterr().out
    assert "LookupError" in log
    assert "secret words" not in log


async def test_a_large_message_passes_while_small_ones_do(
    mosquitto: BrokerAddress, topic: str
) -> None:
    sender, receiver = (PahoTransport(BrokerOptions(port=mosquitto.port)) for _ in range(2))
    large = bytes(4 * 1024 * 1024)
    async with opened(receiver, {topic: 1}) as ear, opened(sender):
        sent = [sender.publish(topic, payload, QOS1) for payload in (b"a", large, b"b")]
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*sent)
        await ear.until_heard(b"b")
    assert ear.payloads == [b"a", large, b"b"]


# Foreign clients


async def test_aiomqtt_and_we_hear_each_other(mosquitto: BrokerAddress, topic: str) -> None:
    transport = PahoTransport(BrokerOptions(port=mosquitto.port))
    async with (
        asyncio.timeout(WAIT_S),
        opened(transport, {f"{topic}/to-us": 1}) as ear,
        aiomqtt.Client("127.0.0.1", mosquitto.port) as foreign,
    ):
        await foreign.subscribe(f"{topic}/to-them", qos=1)
        await foreign.publish(f"{topic}/to-us", b"hello", qos=1)
        await ear.until_heard(b"hello")
        transport.publish(f"{topic}/to-them", b"welcome", QOS1)
        message = await anext(aiter(foreign.messages))
    assert message.payload == b"welcome"


async def test_mosquittos_tools_and_we_hear_each_other(
    mosquitto: BrokerAddress, topic: str
) -> None:
    where = ("-h", "127.0.0.1", "-p", str(mosquitto.port), "-q", "1")
    transport = PahoTransport(BrokerOptions(port=mosquitto.port))
    async with asyncio.timeout(2 * WAIT_S), opened(transport, {f"{topic}/to-us": 1}) as ear:
        await outcome(
            transport.publish(f"{topic}/kept", b"kept", PublishOptions(qos=1, retain=True))
        )
        listener = await asyncio.create_subprocess_exec(
            "mosquitto_sub", *where, "-t", f"{topic}/kept", "-C", "1", stdout=PIPE
        )
        speaker = await asyncio.create_subprocess_exec(
            "mosquitto_pub", *where, "-t", f"{topic}/to-us", "-m", "what time is it"
        )
        heard, _ = await listener.communicate()
        assert await speaker.wait() == 0
        await ear.until_heard(b"what time is it")
        await outcome(transport.publish(f"{topic}/kept", b"", PublishOptions(qos=1, retain=True)))
    assert heard == b"kept\n"


async def test_mqtt_5_properties_are_there_for_foreign_tools(
    mosquitto: BrokerAddress, topic: str
) -> None:
    transport = PahoTransport(BrokerOptions(port=mosquitto.port))
    async with opened(transport, {topic: 1}) as ear:
        options = PublishOptions(
            qos=1, expiry_s=1e300, response_topic="answers", correlation_data=b"id"
        )
        assert await outcome(transport.publish(topic, b"long", options)) is None
        short = PublishOptions(qos=1, expiry_s=7.2)
        assert await outcome(transport.publish(topic, b"short", short)) is None
        await ear.until_heard(b"short")
    assert [delivery.expiry_s for delivery in ear.deliveries] == [0xFFFF_FFFF, 7]
