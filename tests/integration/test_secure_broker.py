"""A secured mosquitto with the generated files: who may do what, and who may not come in.

Every participant tries every topic of the contract, at its own and another site, under its own and
another name. What must happen is worked out here from the topics' flows, not from `rights`.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from antiphon.secure import commands
from antiphon.secure.folder import SecureFolder, secure_folder
from antiphon.secure.household import Household, User
from antiphon.secure.renewal import renew
from antiphon.secure.stack import SecuredHouse
from antiphon_contracts import (
    HEALTH,
    MAX_MESSAGE_BYTES,
    WORKERS,
    BusError,
    RawTopic,
    Role,
    all_topics,
)
from antiphon_runtime import BrokerOptions, Delivery, PahoTransport, PublishOptions, Will
from antiphon_runtime.broker import SecuredFiles
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.broker.mosquitto import password_line
from antiphon_runtime.testing import TcpProxy
from antiphon_runtime.tls import client_context
from rich.console import Console

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

WAIT_S = 10.0
BASE = "home/up stairs"
SITES = ("kitchen", "hall")
QOS1 = PublishOptions(qos=1)
TESTER = "tester"
MARKER = f"{BASE}/{HEALTH.at(worker='the-end')}"

# One of every role, and a second satellite and worker to be told apart from.
ROLES = {
    "satellite-kitchen": Role.SATELLITE,
    "satellite-hall": Role.SATELLITE,
    "wake-1": Role.WAKE,
    "stt-1": Role.STT,
    "llm-1": Role.LLM,
    "timer-1": Role.TIMER,
    "tools-1": Role.TOOLS,
    "router-1": Role.ROUTER,
    "memory-1": Role.MEMORY,
    "tts-1": Role.TTS,
    "operator": Role.OPERATOR,
    "phone": Role.CLIENT,
    "metrics": Role.METRICS,
}


def quiet() -> Console:
    return Console(file=io.StringIO())


@dataclass
class Place:
    """A running secured broker."""

    folder: SecureFolder
    household: Household
    port: int

    def options(self, name: str, **changes: object) -> BrokerOptions:
        user = self.household.user(name)
        given: dict[str, object] = {
            "host": "localhost",
            "port": self.port,
            "username": user.name,
            "password": user.secret,
            "tls": client_context(self.folder.files.authority),
            "protocol": "5",
            "backoff_s": (0.05, 0.2),
        }
        return BrokerOptions(**{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ANTIPHON_BASE", BASE)
    monkeypatch.setenv("ANTIPHON_SATELLITE_SITE", "kitchen")
    commands.init(["localhost"], quiet())
    commands.add_satellite("hall", quiet())
    commands.add_client("phone", quiet())
    folder = secure_folder()
    with folder.changing():
        household = folder.household().with_user("wake-1", Role.WAKE)
        folder.write(household)
    port = free_port()
    async with SecuredHouse("127.0.0.1", port).broker() as (settings, _):
        assert settings.host == "127.0.0.1"
        yield Place(folder, household, port)


@asynccontextmanager
async def living(options: BrokerOptions, *filters: str) -> AsyncIterator[tuple[PahoTransport, Ear]]:
    transport, ear = PahoTransport(options), Ear()
    async with transport.open(ear.on_delivery, lambda _connected: None):
        await transport.wait_connected(WAIT_S)
        if filters:
            await transport.subscribe(dict.fromkeys(filters, 1))
        yield transport, ear


class Ear:
    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.payloads: list[bytes] = []
        self._marked = asyncio.Event()

    def on_delivery(self, delivery: Delivery) -> None:
        delivery.ack()
        if delivery.topic == MARKER:
            self._marked.set()
        else:
            self.topics.add(delivery.topic)
            self.payloads.append(delivery.payload)

    async def until_the_end(self) -> None:
        async with asyncio.timeout(WAIT_S):
            await self._marked.wait()


def instances() -> dict[str, tuple[RawTopic, dict[str, str]]]:
    """Every topic, its slots filled with every site and worker there is."""
    found = {}
    for topic in all_topics().values():
        for site in SITES if "site" in topic.slots else ("",):
            for worker in (*ROLES, "all") if "worker" in topic.slots else ("",):
                slots = {"site": site, "worker": worker, "utterance": "u1", "letter": "l1"}
                chosen = {name: slots[name] for name in topic.slots}
                found[f"{BASE}/{topic.at(**chosen)}"] = (topic, chosen)
    return found


FOREIGN = [f"{BASE}/no/such/topic", f"{BASE}/ask/kitchen/more", "ask", "antiphon/ask", "$SYS/x"]


def may_publish(name: str, topic: RawTopic, slots: dict[str, str]) -> bool:
    role = ROLES[name]
    own_site = role is not Role.SATELLITE or slots.get("site", "") in {"", name.partition("-")[2]}
    own_name = role not in WORKERS or slots.get("worker", name) == name
    return role in topic.flow.senders and own_site and own_name


def may_take(name: str, topic: RawTopic, slots: dict[str, str]) -> bool:
    role = ROLES[name]
    own_site = role is not Role.SATELLITE or slots.get("site", "") in {"", name.partition("-")[2]}
    addressed = role not in WORKERS or not topic.addressed or slots["worker"] in {name, "all"}
    return role in topic.flow.receivers and own_site and addressed


async def test_everybody_publishes_what_the_contract_says_and_nothing_else(place: Place) -> None:
    tried = instances()
    assert len(tried) > 70
    for name in ROLES:
        async with living(place.options(name)) as (transport, _), asyncio.timeout(WAIT_S):
            sent = {path: transport.publish(path, b"x", QOS1) for path in (*tried, *FOREIGN)}
            await asyncio.wait(sent.values())
        allowed = {path for path, future in sent.items() if future.exception() is None}
        assert allowed == {path for path, known in tried.items() if may_publish(name, *known)}, name
        for path in sent.keys() - allowed:
            error = sent[path].exception()
            assert isinstance(error, BusError)
            assert "Not authorized" in str(error), (name, path)


@pytest.mark.parametrize("by", ["wildcard", "name"])
async def test_everybody_hears_what_the_contract_says_and_nothing_else(
    place: Place, by: str
) -> None:
    tester = User(TESTER, "operator", "0" * 64)
    async with all_powerful(place, tester) as options:
        tried = instances()
        for name in ROLES:
            filters = ["#"] if by == "wildcard" else [*tried, *FOREIGN, MARKER]
            async with (
                living(place.options(name), *filters) as (_, ear),
                living(options) as (transport, _),
            ):
                for path in (*tried, *FOREIGN[:-1]):
                    transport.publish(path, b"x", QOS1)
                transport.publish(MARKER, b"x", QOS1)
                await ear.until_the_end()
            expected = {path for path, known in tried.items() if may_take(name, *known)}
            assert ear.topics == expected, name


@asynccontextmanager
async def all_powerful(place: Place, tester: User) -> AsyncIterator[BrokerOptions]:
    """Somebody who may publish everything, so that what is not heard was not let through."""
    files = place.folder.files
    passwords, rights = files.passwords.read_text(), files.rights.read_text()
    files.rights.write_text(f"{rights}\nuser {TESTER}\ntopic write #\n")
    files.passwords.write_text(passwords + password_line(TESTER, tester.secret))
    options = place.options("operator", username=TESTER, password=tester.secret)
    async with living(options) as (transport, _):  # the running broker has taken it up
        await until_allowed(lambda: transport.publish(f"{BASE}/probe", b"", QOS1))
    yield options


async def until_allowed(attempt: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await attempt()
            except BusError:
                await asyncio.sleep(0.1)
            else:
                return


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not happened():  # noqa: ASYNC110  (what a broker did is polled)
            await asyncio.sleep(0.02)


async def refused(options: BrokerOptions) -> str:
    transport = PahoTransport(options)
    async with transport.open(Ear().on_delivery, lambda _connected: None):
        with pytest.raises(BusError) as caught:
            await transport.wait_connected(1.5)
    return str(caught.value)


async def test_only_who_has_tls_the_right_authority_and_the_right_password_comes_in(
    place: Place, tmp_path: Path
) -> None:
    secret = place.household.user("phone").secret
    async with living(place.options("phone")):
        pass
    stranger = SecuredFiles(tmp_path / "stranger")
    stranger.directory.mkdir()
    renew(stranger, ["localhost"])
    other = client_context(stranger.authority)
    cases: dict[str, tuple[dict[str, object], str]] = {
        "no TLS": ({"tls": None}, "localhost"),
        "wrong authority": ({"tls": other}, "cannot prove who it is"),
        "the system's authorities": ({"tls": client_context(None)}, "cannot prove who it is"),
        "anonymous": ({"username": "", "password": ""}, "refused the connection"),
        "wrong password": ({"password": "0" * 64}, "refused the connection"),
        "another's password": ({"username": "operator"}, "refused the connection"),
        "no such user": ({"username": "nobody"}, "refused the connection"),
    }
    for case, (changes, words) in cases.items():
        said = await refused(place.options("phone", **changes))
        assert words in said, (case, said)
        assert secret not in said, case


async def test_a_certificate_for_another_name_is_not_taken(place: Place) -> None:
    context = client_context(place.folder.files.authority)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await asyncio.open_connection(
                "127.0.0.1", place.port, ssl=context, server_hostname="elsewhere.lan"
            )


async def test_a_group_of_workers_takes_turns(place: Place) -> None:
    commands.add_worker("stt-2", quiet())
    place.household = place.folder.household()
    path = f"{BASE}/audio/kitchen/utterance/u1"
    shared = f"$share/ears/{BASE}/audio/+/utterance/+"
    await until_in(place.options("stt-2"))
    async with (
        living(place.options("stt-1"), shared) as (_, one),
        living(place.options("stt-2"), shared) as (_, two),
        living(place.options("phone")) as (phone, _),
    ):
        for _ in range(30):
            await phone.publish(path, b"x", QOS1)
        await until(lambda: len(one.payloads) + len(two.payloads) == 30)
    assert one.payloads
    assert two.payloads


async def until_in(options: BrokerOptions) -> None:
    transport = PahoTransport(options)
    async with transport.open(Ear().on_delivery, lambda _connected: None):
        await until(lambda: transport.connected)


async def test_4_megabytes_pass_through_tls_both_ways(place: Place) -> None:
    sound = bytes(range(256)) * (MAX_MESSAGE_BYTES // 256)
    path = f"{BASE}/audio/kitchen/utterance/u1"
    async with (
        living(place.options("stt-1"), path, MARKER) as (_, ear),
        living(place.options("phone")) as (phone, _),
        asyncio.timeout(WAIT_S),
    ):
        await phone.publish(path, sound, QOS1)
        await until(lambda: bool(ear.payloads))
    assert ear.payloads == [sound]


async def test_a_running_broker_takes_up_who_is_added_rotated_and_removed(place: Place) -> None:
    ask = f"{BASE}/ask"
    commands.add_client("lamp", quiet())
    place.household = place.folder.household()
    before = place.options("lamp")
    async with living(before) as (lamp, _):
        await until_allowed(lambda: lamp.publish(ask, b"hello", QOS1))
        commands.rotate("lamp", quiet())
        await until(lambda: not lamp.connected)  # thrown out: its old secret counts no more
    assert "refused the connection" in await refused(before)
    place.household = place.folder.household()
    async with living(place.options("lamp")) as (lamp, _):
        await lamp.publish(ask, b"hello", QOS1)
        after = place.options("lamp")
        commands.remove("lamp", quiet())
        await until(lambda: not lamp.connected)
    assert "refused the connection" in await refused(after)


async def test_a_worker_leaves_no_last_will_under_another_s_name(place: Place) -> None:
    paths = {name: f"{BASE}/{HEALTH.at(worker=name)}" for name in ("router-1", "satellite-hall")}
    async with living(place.options("operator"), *paths.values()) as (_, ear):
        for name, path in paths.items():
            will = Will(path, name.encode())
            async with TcpProxy("127.0.0.1", place.port) as proxy:
                options = place.options("satellite-hall", port=proxy.port, will=will)
                async with living(options):
                    proxy.go_down()
        # The second will is its own; by then the first would have come.
        await until(lambda: bool(ear.payloads))
    assert ear.payloads == [b"satellite-hall"]


async def test_no_secret_is_in_the_broker_s_log_or_configuration(place: Place) -> None:
    async with living(place.options("phone")) as (phone, _):
        with pytest.raises(BusError):
            await phone.publish(f"{BASE}/control/all", b"x", QOS1)
    files = place.folder.files
    text = files.configuration.read_text() + (files.state / "mosquitto.log").read_text()
    assert "phone" in text
    assert not any(user.secret in text for user in place.household.users)
