"""What the amqtt process is told; apart from it, so that writing it does not import amqtt."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from antiphon_runtime.broker.private_file import write_private


@dataclass(frozen=True)
class AmqttConfig:
    """The configuration file's contents; its owner alone may read it.

    Attributes:
        host: address to listen on.
        port: TCP port.
        username: the one user.
        password: the user's password.
        anonymous: let clients in without a password as well.
        payload_limit_bytes: a bigger payload closes the sender's connection.
    """

    host: str
    port: int
    username: str
    password: str
    anonymous: bool
    payload_limit_bytes: int


def write_files(directory: Path, config: AmqttConfig) -> tuple[str, ...]:
    """Write the configuration (0600) into `directory`.

    Returns:
        The command that runs the broker in the foreground; it holds no secret.

    Raises:
        OSError: the file cannot be written.
    """
    path = directory / "amqtt.json"
    write_private(path, orjson.dumps(asdict(config)).decode())
    # amqtt warns of deprecations in itself; with PYTHONWARNINGS=error they would end it.
    programme = ("-W", "ignore", "-m", "antiphon_runtime.broker.amqtt_process")
    return (sys.executable, *programme, str(path))


def read_file(path: Path) -> AmqttConfig:
    """The configuration that `write_files` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a configuration.
    """
    try:
        return AmqttConfig(**orjson.loads(path.read_bytes()))
    except TypeError as error:
        raise ValueError(f"{path.name} is not a configuration of the amqtt broker") from error
