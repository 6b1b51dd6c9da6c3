"""The embedded broker: real mosquitto and amqtt processes on loopback."""

import asyncio
import hashlib
import os
import queue
import signal
import stat
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
import psutil
import pytest
from antiphon_contracts.errors import ConfigError
from antiphon_runtime.broker import BrokerAddress, embedded, embedded_broker
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.broker.mosquitto import password_line
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

pytestmark = pytest.mark.integration

Kind = Literal["mosquitto", "amqtt"]
KINDS: tuple[Kind, ...] = ("mosquitto", "amqtt")
WAIT_S = 10.0
MIB = 1024 * 1024


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a state directory"


class Visitor:
    """A paho client in its own thread, driven from the test's thread."""

    def __init__(self, address: BrokerAddress, protocol: MQTTProtocolVersion) -> None:
        self.connacks: queue.Queue[ReasonCode] = queue.Queue()
        self.payloads: queue.Queue[bytes] = queue.Queue()
        self.properties: Properties | None = None
        self.subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.client.on_connect = self.on_connect
        self.client.on_message = lambda _c, _u, message: self.payloads.put(bytes(message.payload))
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.address = address

    def on_connect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.properties = properties
        self.connacks.put(reason)

    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        assert self.subscribed.wait(WAIT_S)


@contextmanager
def visit(
    address: BrokerAddress,
    username: str | None,
    password: str | None,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
) -> Iterator[Visitor]:
    visitor = Visitor(address, protocol)
    if username is not None:
        visitor.client.username_pw_set(username, password)
    visitor.client.connect(address.host, address.port)
    visitor.client.loop_start()
    try:
        yield visitor
    finally:
        visitor.client.disconnect()
        visitor.client.loop_stop()


def answer_to(
    address: BrokerAddress,
    username: str | None,
    password: str | None,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
) -> str:
    with visit(address, username, password, protocol) as visitor:
        return str(visitor.connacks.get(timeout=WAIT_S))


def round_trip(address: BrokerAddress, payload: bytes) -> bytes:
    with visit(address, address.username, address.password) as visitor:
        assert not visitor.connacks.get(timeout=WAIT_S).is_failure
        visitor.subscribe("test/echo")
        visitor.client.publish("test/echo", payload, qos=1)
        return visitor.payloads.get(timeout=WAIT_S)


async def is_gone(pid: int) -> bool:
    """Whether the process ends within the bound; a zombie has ended."""
    try:
        async with asyncio.timeout(WAIT_S):
            while psutil.pid_exists(pid):
                if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                    return True
                await asyncio.sleep(0.02)
    except psutil.NoSuchProcess:
        return True
    except TimeoutError:
        return False
    return True


async def test_the_password_lets_in_and_nothing_else_does(kind: Kind, directory: Path) -> None:
    async with embedded_broker(directory, kind=kind) as broker:
        address = broker.address
        right = await asyncio.to_thread(answer_to, address, address.username, address.password)
        wrong = await asyncio.to_thread(answer_to, address, address.username, "wrong")
        other = await asyncio.to_thread(answer_to, address, "other", address.password)
        nobody = await asyncio.to_thread(answer_to, address, None, None)
    assert broker.kind == kind
    assert right == "Success"
    assert {wrong, other, nobody} == {"Not authorized"}


async def test_anonymous_is_let_in_only_when_asked_for(kind: Kind, directory: Path) -> None:
    async with embedded_broker(directory, kind=kind, anonymous=True) as broker:
        address = broker.address
        nobody = await asyncio.to_thread(answer_to, address, None, None)
        wrong = await asyncio.to_thread(answer_to, address, address.username, "wrong")
    assert nobody == "Success"
    assert wrong == "Not authorized"


@pytest.mark.parametrize("size_bytes", [5, 4 * MIB])
async def test_messages_up_to_four_mib_pass(kind: Kind, directory: Path, size_bytes: int) -> None:
    payload = os.urandom(size_bytes)
    async with embedded_broker(directory, kind=kind) as broker:
        assert await asyncio.to_thread(round_trip, broker.address, payload) == payload


def two_messages(address: BrokerAddress, first: bytes, second: bytes) -> bytes:
    with (
        visit(address, address.username, address.password) as listener,
        visit(address, address.username, address.password) as sender,
    ):
        listener.subscribe("test/echo")
        sender.connacks.get(timeout=WAIT_S)
        sender.client.publish("test/echo", first, qos=0)
        # The broker may cut the sender off for the first one: the second waits until it is back.
        sender.client.publish("test/echo", second, qos=1)
        return listener.payloads.get(timeout=WAIT_S)


async def test_a_bigger_message_reaches_nobody(kind: Kind, directory: Path) -> None:
    too_big = bytes(4 * MIB + 65 * 1024)
    async with embedded_broker(directory, kind=kind) as broker:
        first = await asyncio.to_thread(two_messages, broker.address, too_big, b"small")
    assert first == b"small"


def announced_limit_bytes(address: BrokerAddress) -> int:
    v5 = MQTTProtocolVersion.MQTTv5
    with visit(address, address.username, address.password, v5) as visitor:
        visitor.connacks.get(timeout=WAIT_S)
        assert visitor.properties is not None
        limit_bytes: int = vars(visitor.properties)["MaximumPacketSize"]
        return limit_bytes


async def test_mosquitto_tells_mqtt_5_clients_the_limit(directory: Path) -> None:
    async with embedded_broker(directory, kind="mosquitto") as broker:
        limit_bytes = await asyncio.to_thread(announced_limit_bytes, broker.address)
    assert limit_bytes == 4 * MIB + 64 * 1024


async def test_amqtt_tells_an_mqtt_5_client_to_speak_3_1_1(directory: Path) -> None:
    async with embedded_broker(directory, kind="amqtt") as broker:
        address = broker.address
        answer = await asyncio.to_thread(
            answer_to, address, address.username, address.password, MQTTProtocolVersion.MQTTv5
        )
    assert answer == "Unsupported protocol version"


async def test_it_listens_on_loopback_alone(kind: Kind, directory: Path) -> None:
    async with embedded_broker(directory, kind=kind) as broker:
        listening = [
            (entry.laddr.ip, entry.laddr.port)
            for entry in psutil.Process(broker.pid).net_connections(kind="inet")
            if entry.status == psutil.CONN_LISTEN
        ]
        assert listening == [("127.0.0.1", broker.address.port)]


def modes_below(directory: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}


async def test_its_files_are_the_owners_alone_and_its_command_line_holds_no_secret(
    kind: Kind, directory: Path
) -> None:
    async with embedded_broker(directory, kind=kind) as broker:
        command_line = " ".join(psutil.Process(broker.pid).cmdline())
        modes = await asyncio.to_thread(modes_below, directory)
    assert str(directory) in command_line
    assert broker.address.password not in command_line
    assert broker.address.password not in repr(broker.address)
    assert modes.pop(directory) == 0o700
    assert broker.log_path in modes
    assert set(modes.values()) == {0o600}


async def test_after_a_crash_it_comes_back_with_the_same_address(
    kind: Kind, directory: Path
) -> None:
    async with embedded_broker(directory, kind=kind) as broker:
        address, first_pid = broker.address, broker.pid
        watching = asyncio.ensure_future(broker.wait())
        await broker.kill()
        assert await watching == -signal.SIGKILL
        await broker.restart()
        assert broker.pid != first_pid
        assert broker.address == address
        assert await asyncio.to_thread(round_trip, address, b"again") == b"again"


@pytest.mark.parametrize("switch", [True, False])
async def test_mosquitto_is_told_what_the_caller_chose(directory: Path, switch: bool) -> None:
    async with embedded_broker(
        directory,
        kind="mosquitto",
        nodelay=switch,
        persistence=switch,
        extra_config=["sys_interval 7"],
    ):
        text = await asyncio.to_thread((directory / "mosquitto.conf").read_text)
    lines = text.splitlines()
    word = "true" if switch else "false"
    assert {f"set_tcp_nodelay {word}", f"persistence {word}", "sys_interval 7"} <= set(lines)


def leave_retained(address: BrokerAddress) -> None:
    with visit(address, address.username, address.password) as visitor:
        visitor.client.publish("test/kept", b"kept", qos=1, retain=True).wait_for_publish(WAIT_S)


def retained(address: BrokerAddress) -> bytes:
    with visit(address, address.username, address.password) as visitor:
        visitor.connacks.get(timeout=WAIT_S)
        visitor.subscribe("test/kept")
        return visitor.payloads.get(timeout=WAIT_S)


async def test_mosquitto_keeps_retained_messages_from_one_run_to_the_next(directory: Path) -> None:
    async with embedded_broker(directory, kind="mosquitto") as broker:
        await asyncio.to_thread(leave_retained, broker.address)
    async with embedded_broker(directory, kind="mosquitto") as broker:
        assert await asyncio.to_thread(retained, broker.address) == b"kept"


async def test_stop_ends_it_cleanly_with_a_client_connected(kind: Kind, directory: Path) -> None:
    async with embedded_broker(directory, kind=kind) as broker:
        with visit(broker.address, broker.address.username, broker.address.password) as visitor:
            await asyncio.to_thread(visitor.connacks.get, timeout=WAIT_S)
            await broker.stop()
        assert await broker.wait() == 0
        await broker.stop()


async def test_stop_is_bounded_when_the_broker_does_not_listen_to_it(
    kind: Kind, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_STOP_TIMEOUT_S", 0.2)
    async with embedded_broker(directory, kind=kind) as broker:
        psutil.Process(broker.pid).suspend()
        async with asyncio.timeout(WAIT_S):
            await broker.stop()
        assert await broker.wait() == -signal.SIGKILL


STARTER = """
import asyncio, sys
from pathlib import Path
from antiphon_runtime.broker import embedded_broker
async def main():
    async with embedded_broker(Path(sys.argv[1]), kind=sys.argv[2]) as broker:
        print(broker.pid, flush=True)
        await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2)")
async def test_it_ends_when_the_process_that_started_it_is_killed(
    kind: Kind, directory: Path
) -> None:
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(directory), kind, stdout=subprocess.PIPE
    )
    try:
        assert starter.stdout is not None
        async with asyncio.timeout(WAIT_S):
            pid = int(await starter.stdout.readline())
        assert psutil.pid_exists(pid)
    finally:
        starter.kill()
        await starter.wait()
    gone = await is_gone(pid)
    if not gone:
        psutil.Process(pid).kill()
    assert gone


async def test_auto_takes_mosquitto_where_it_is_found(directory: Path) -> None:
    async with embedded_broker(directory) as broker:
        assert broker.kind == "mosquitto"


async def test_auto_takes_amqtt_where_there_is_no_mosquitto(directory: Path) -> None:
    async with embedded_broker(directory, finder=lambda: None) as broker:
        assert broker.kind == "amqtt"


async def test_auto_passes_over_an_old_mosquitto(directory: Path, tmp_path: Path) -> None:
    old = tmp_path / "mosquitto"
    old.write_text("#!/bin/sh\necho mosquitto version 1.6.12\nexit 3\n")
    old.chmod(0o700)
    async with embedded_broker(directory, finder=lambda: old) as broker:
        assert broker.kind == "amqtt"


async def test_mosquitto_asked_for_and_absent_says_how_to_install_it(directory: Path) -> None:
    with pytest.raises(ConfigError, match="apt install mosquitto"):
        async with embedded_broker(directory, kind="mosquitto", finder=lambda: None):
            pass


async def test_amqtt_refuses_configuration_that_it_cannot_take(directory: Path) -> None:
    with pytest.raises(ConfigError, match="extra configuration"):
        async with embedded_broker(directory, kind="amqtt", extra_config=["sys_interval 1"]):
            pass


async def test_a_wrong_configuration_line_is_reported_with_the_brokers_own_words(
    directory: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"ended at once.*no_such_option"):
        async with embedded_broker(directory, kind="mosquitto", extra_config=["no_such_option 1"]):
            pass


async def test_a_given_port_is_used_and_a_taken_one_is_reported(
    kind: Kind, directory: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with embedded_broker(directory, kind=kind, port=port) as broker:
        assert broker.address.port == port
        with pytest.raises(ConfigError, match=f"Port {port}.*is taken"):
            async with embedded_broker(tmp_path / "second", kind=kind, port=port):
                pass


async def test_when_the_port_is_snatched_away_it_takes_another(
    kind: Kind, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded_broker(tmp_path / "first", kind=kind) as first:
        offered = iter([first.address.port, free_port()])
        # The look before the start sees a free port; the start itself then fails.
        looks = iter([False, True, False])
        monkeypatch.setattr(embedded, "free_port", lambda: next(offered))
        monkeypatch.setattr(embedded, "is_taken", lambda _port: next(looks))
        async with embedded_broker(directory, kind=kind) as second:
            assert second.address.port != first.address.port
            assert list(offered) == []


async def test_a_broker_that_never_answers_is_given_up_and_ended(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "mosquitto"
    silent.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -h ]; then echo mosquitto version 2.0.0; exit 3; fi\n'
        f'echo $$ > "{tmp_path}/pid"\n'
        "echo I am thinking\n"
        "exec sleep 3600\n"
    )
    silent.chmod(0o700)
    monkeypatch.setattr(embedded, "_READY_TIMEOUT_S", 0.5)
    with pytest.raises(ConfigError, match=r"did not answer.*I am thinking"):
        async with embedded_broker(directory, finder=lambda: silent):
            pass
    assert await is_gone(int((tmp_path / "pid").read_text()))


async def test_an_unwritable_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be set up"):
        async with embedded_broker(tmp_path / "file" / "below"):
            pass


def test_the_password_file_holds_a_salted_pbkdf2_hash() -> None:
    line = password_line("user", "secret")
    name, hashed = line.strip().split(":")
    _, algorithm, rounds, salt, digest = hashed.split("$")
    expected = hashlib.pbkdf2_hmac("sha512", b"secret", b64decode(salt), int(rounds))
    assert (name, algorithm) == ("user", "7")
    assert b64decode(digest) == expected
    assert password_line("user", "secret") != line
