"""A mosquitto for the network: TLS, a user for each participant, and rights by topic.

Its files (certificate, passwords, rights) are made by `antiphon secure`; see mosquitto.conf(5),
version 2.0, for the options.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from antiphon_contracts.errors import ConfigError

from antiphon_runtime.broker import mosquitto
from antiphon_runtime.broker.address import BrokerAddress
from antiphon_runtime.broker.embedded import (
    EmbeddedBroker,
    Launch,
    choose_programme,
    start_broker,
)
from antiphon_runtime.broker.private_file import private_directory, write_private

SECURE_PORT = 8883
_CONNECTIONS = 200
_QUEUED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class SecuredFiles:
    """The files of a secured broker, all in one directory.

    Attributes:
        directory: the directory; absolute.
    """

    directory: Path

    @property
    def certificate(self) -> Path:
        """The broker's certificate, PEM."""
        return self.directory / "server.crt"

    @property
    def key(self) -> Path:
        """The key of that certificate, PEM."""
        return self.directory / "server.key"

    @property
    def authority(self) -> Path:
        """Certificate of the authority that vouches for the broker, PEM."""
        return self.directory / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """The authority's key, PEM; the broker does not need it."""
        return self.directory / "ca.key"

    @property
    def passwords(self) -> Path:
        """Mosquitto's password file: hashes."""
        return self.directory / "passwords"

    @property
    def rights(self) -> Path:
        """Mosquitto's ACL file."""
        return self.directory / "acl"

    @property
    def configuration(self) -> Path:
        """mosquitto.conf."""
        return self.directory / "mosquitto.conf"

    @property
    def state(self) -> Path:
        """Directory for sessions, retained messages and the log."""
        return self.directory / "broker"


def secured_configuration(files: SecuredFiles, *, port: int = SECURE_PORT, bind: str = "") -> str:
    """The text of mosquitto.conf.

    Args:
        files: where everything is.
        port: TCP port.
        bind: address to listen on; empty is every address of the machine.
    """
    lines = [
        "# Made by `antiphon secure`; do not edit.",
        # So a listener that somebody adds below has the same users and rights, not none.
        "per_listener_settings false",
        f"listener {port} {bind}".rstrip(),
        f"certfile {files.certificate}",
        f"keyfile {files.key}",
        "tls_version tlsv1.2",
        f"max_connections {_CONNECTIONS}",
        "allow_anonymous false",
        f"password_file {files.passwords}",
        f"acl_file {files.rights}",
        "set_tcp_nodelay true",
        f"max_queued_bytes {_QUEUED_BYTES}",
        "persistent_client_expiration 1d",
        "persistence true",
        *mosquitto.common_lines(files.state),
    ]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def secured_broker(
    files: SecuredFiles,
    address: BrokerAddress,
    *,
    bind: str = "",
    finder: Callable[[], Path | None] = mosquitto.find_mosquitto,
) -> AsyncIterator[EmbeddedBroker]:
    """Run a secured broker while the block runs; it is ready when the block begins.

    Args:
        files: where everything is; mosquitto.conf is written here.
        address: where this machine reaches it, and the credentials by which it is asked.
        bind: address to listen on; empty is every address of the machine.
        finder: says where mosquitto is.

    Raises:
        ConfigError: mosquitto 2 is not there, a file is missing, the port is taken, or it does not
            answer within 10 s.
    """
    programme = await choose_programme("mosquitto", finder)
    if programme is None:
        raise AssertionError("unreachable: `mosquitto` is found or refused")
    try:
        launch = await asyncio.to_thread(_prepare, programme, files, address, bind)
    except OSError as error:
        raise ConfigError(
            f"The secured broker cannot be set up in {files.directory}: {error.strerror}; "
            "make that directory yours, or run `antiphon secure init` again."
        ) from error
    broker = EmbeddedBroker(launch, await start_broker(launch))
    try:
        yield broker
    finally:
        await broker.stop()


def _prepare(programme: Path, files: SecuredFiles, address: BrokerAddress, bind: str) -> Launch:
    mosquitto.check_directory(files.directory)
    private_directory(files.state)
    write_private(files.configuration, secured_configuration(files, port=address.port, bind=bind))
    log_path = files.state / "mosquitto.log"
    write_private(log_path, "")
    return Launch("mosquitto", address, (str(programme), "-c", str(files.configuration)), log_path)
