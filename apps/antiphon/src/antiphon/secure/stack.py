"""The secured house at work: the broker for the network, and each worker with its own user."""

from __future__ import annotations

import asyncio
import ipaddress
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from antiphon_contracts import ASK, ConfigError, Role
from antiphon_runtime import RuntimeSettings, load_settings, running
from antiphon_runtime.broker import BrokerAddress, EmbeddedBroker, SecuredFiles, secured_broker
from antiphon_runtime.broker.secured import SECURE_PORT
from antiphon_runtime.tls import client_context
from antiphon_satellite.settings import SatelliteSettings
from pydantic import SecretStr

from antiphon.secure.folder import SecureFolder, secure_folder
from antiphon.secure.household import LOCAL_HOSTS, OPERATOR, Household, satellite_name
from antiphon.supervisor import Part

EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  (this is the broker that may)
WATCH_S = 1.0


def refuse_open_door(listen: str | None) -> None:
    """Refuse to listen beyond this machine without a secured house.

    Raises:
        ConfigError: the address is another machine's to reach.
    """
    if listen is None or listen in LOCAL_HOSTS:
        return
    try:
        if ipaddress.ip_address(listen).is_loopback:
            return
    except ValueError:
        pass
    raise ConfigError(
        f"listening on {listen} would let the whole network in: run `antiphon secure init` once, "
        "then start with `antiphon up --secure`"
    )


class SecuredHouse:
    """A secured directory, read once, for one run of the stack.

    Raises:
        ConfigError: there is none, or it was made for other topics.
    """

    def __init__(self, listen: str | None, port: int | None) -> None:
        self._folder: SecureFolder = secure_folder()
        self._household: Household = self._folder.household()
        base = load_settings(RuntimeSettings).base
        if self._household.base != base:
            raise ConfigError(
                f"the secured house was made for the base {self._household.base!r}, and the "
                f"settings say {base!r}: run `antiphon secure init` again"
            )
        self._bind = listen or ""
        self._port = SECURE_PORT if port is None else port

    def parts(self, parts: Sequence[Part]) -> list[Part]:
        """Return the same parts, each with its own user.

        Raises:
            ConfigError: one has no user.
        """
        return [self._with_user(part) for part in parts]

    def _with_user(self, part: Part) -> Part:
        if part.kind == Role.SATELLITE.words:
            site = load_settings(SatelliteSettings).site
            name, mend = satellite_name(site), f"antiphon secure add-satellite {site}"
        else:
            name, mend = part.worker_id, "antiphon secure init"
        user = self._household.find(name)
        if user is None:
            raise ConfigError(f"{name} has no user in the secured house: run `{mend}`")
        own = {
            "ANTIPHON_USERNAME": user.name,
            "ANTIPHON_PASSWORD": user.secret,
            "ANTIPHON_WORKER_ID": user.name,
        }
        return replace(part, variables={**part.variables, **own})

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[tuple[RuntimeSettings, EmbeddedBroker]]:
        """Run the broker while the block runs; yields how the command line reaches it.

        Users that are added or removed meanwhile count within seconds.

        Raises:
            ConfigError: mosquitto is not there, or does not start.
        """
        await asyncio.to_thread(self._renew)
        settings = self._operator()
        address = BrokerAddress(
            settings.host,
            settings.port,
            settings.username,
            settings.password.get_secret_value(),
            client_context(settings.tls_ca),
        )
        files = self._folder.files
        async with (
            secured_broker(files, address, bind=self._bind) as broker,
            running(rights=_follow(files, broker)),
        ):
            yield settings, broker

    def _renew(self) -> None:
        with self._folder.changing():
            self._folder.certify(self._household)
            self._folder.write(self._folder.household())

    def _operator(self) -> RuntimeSettings:
        operator = self._household.user(OPERATOR)
        host = LOCAL_HOSTS[0] if self._bind in EVERYWHERE else self._bind
        if host not in self._household.certified_hosts:
            raise ConfigError(
                f"the broker's certificate is not for {host}: run "
                f"`antiphon secure init --hosts {host}`"
            )
        return load_settings(
            RuntimeSettings,
            host=host,
            port=self._port,
            username=operator.name,
            password=SecretStr(operator.secret),
            tls="on",
            tls_ca=self._folder.files.authority,
        )


def secured_ways_in(settings: RuntimeSettings) -> list[str]:
    """Return the command lines that ask the running stack a question; they show no secret."""
    topic = f"{settings.base}/{ASK.pattern}" if settings.base else ASK.pattern
    question = "what time is it"
    pub = ["mosquitto_pub", "-h", settings.host, "-p", str(settings.port)]
    pub += ["--cafile", str(settings.tls_ca), "-u", settings.username]
    secret = f'"$(antiphon secure show {shlex.quote(settings.username)})"'
    return [
        shlex.join(["antiphon", "ask", question]),
        f"{shlex.join(pub)} -P {secret} {shlex.join(['-t', topic, '-m', question])}",
    ]


async def _follow(files: SecuredFiles, broker: EmbeddedBroker) -> None:
    """Have the broker read users and rights again whenever their files change, for ever."""
    known = await asyncio.to_thread(_stamps, files)
    while True:
        await asyncio.sleep(WATCH_S)
        now = await asyncio.to_thread(_stamps, files)
        if now != known:
            known = now
            broker.reload()


def _stamps(files: SecuredFiles) -> list[int]:
    return [_stamp(path) for path in (files.passwords, files.rights)]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
