"""Mosquitto 2: where it is, which version, and the configuration that we generate for it.

The options are those of mosquitto.conf(5), version 2.0.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import pwd
import re
import secrets
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from antiphon_contracts.errors import ConfigError

from antiphon_runtime.broker.address import BrokerAddress
from antiphon_runtime.broker.private_file import write_private

MINIMUM_MAJOR_VERSION = 2
# A payload of 4 MiB, a topic and properties. `max_packet_size` and not `message_size_limit`: MQTT 5
# clients are told it in CONNACK, and paho takes the PUBACK by which mosquitto 2.0 refuses a message
# over `message_size_limit` for a protocol error (seen with 2.0.11 and paho-mqtt 2.1).
PACKET_LIMIT_BYTES = 4 * 1024 * 1024 + 64 * 1024
_QUEUED_MESSAGES = 10_000
_AUTOSAVE_S = 30
_VERSION_TIMEOUT_S = 5.0
# mosquitto_passwd(1) uses these figures; our passwords are random, so more rounds add nothing.
_HASH_ROUNDS = 101
_SALT_BYTES = 12
# Debian and Homebrew put daemons off a user's PATH.
_MORE_DIRECTORIES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


@dataclass(frozen=True)
class MosquittoOptions:
    """What varies between the uses of the embedded mosquitto.

    Attributes:
        persistence: keep sessions and retained messages in the directory.
        nodelay: send small packets at once (TCP_NODELAY); a stock mosquitto does not.
        anonymous: let clients in without a password as well.
        extra: lines appended to the configuration.
    """

    persistence: bool = True
    nodelay: bool = True
    anonymous: bool = False
    extra: Sequence[str] = ()


def find_mosquitto() -> Path | None:
    """The mosquitto programme: on the PATH, else in the usual sbin directories, else None."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_MORE_DIRECTORIES)
    return Path(found) if found else None


async def major_version(programme: Path) -> int | None:
    """The major version that `programme` names in its help text; None if it names none."""
    try:
        process = await asyncio.create_subprocess_exec(
            programme, "-h", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_VERSION_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    match = re.search(rb"mosquitto version (\d+)\.", output)
    return int(match.group(1)) if match else None


def password_line(username: str, password: str) -> str:
    """A line of mosquitto's password file: `user:$7$rounds$salt$hash`, PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _HASH_ROUNDS)
    salt_text, digest_text = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{username}:$7${_HASH_ROUNDS}${salt_text}${digest_text}\n"


def _switch(value: bool) -> str:  # noqa: FBT001  (the value itself is what is written)
    return "true" if value else "false"


def _user_lines() -> list[str]:
    # Started as root, mosquitto would become the user `mosquitto`, who cannot read our 0600 files
    # nor write the directory. It opens one loopback port and no file but ours.
    return [f"user {pwd.getpwuid(0).pw_name}"] if os.geteuid() == 0 else []


def configuration(directory: Path, address: BrokerAddress, options: MosquittoOptions) -> str:
    """The text of mosquitto.conf for a broker whose files are in `directory`."""
    lines = [
        "per_listener_settings false",
        f"listener {address.port} {address.host}",
        f"allow_anonymous {_switch(options.anonymous)}",
        f"password_file {directory / 'passwords'}",
        f"set_tcp_nodelay {_switch(options.nodelay)}",
        f"persistence {_switch(options.persistence)}",
        *common_lines(directory),
        *options.extra,
    ]
    return "\n".join(lines) + "\n"


def common_lines(directory: Path) -> list[str]:
    """Limits, what is kept and what is logged: the same for every broker of ours.

    Args:
        directory: where sessions and retained messages are kept, if they are.
    """
    return [
        "max_inflight_messages 0",
        f"max_queued_messages {_QUEUED_MESSAGES}",
        f"max_packet_size {PACKET_LIMIT_BYTES}",
        f"persistence_location {directory}/",
        f"autosave_interval {_AUTOSAVE_S}",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        *_user_lines(),
    ]


def check_directory(directory: Path) -> None:
    """Refuse a directory whose name cannot stand in a mosquitto configuration.

    Raises:
        ConfigError: it has a line break in its name.
    """
    if any(character in str(directory) for character in "\r\n"):
        raise ConfigError("The broker's directory has a line break in its name; choose another.")


def write_files(
    programme: Path, directory: Path, address: BrokerAddress, options: MosquittoOptions
) -> tuple[str, ...]:
    """Write the configuration and the password file (both 0600) into `directory`.

    Returns:
        The command that runs this mosquitto in the foreground; it holds no secret.

    Raises:
        ConfigError: the directory's name cannot stand in a mosquitto configuration.
        OSError: a file cannot be written.
    """
    check_directory(directory)
    config_path = directory / "mosquitto.conf"
    write_private(directory / "passwords", password_line(address.username, address.password))
    write_private(config_path, configuration(directory, address, options))
    return (str(programme), "-c", str(config_path))
