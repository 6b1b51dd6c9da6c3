"""Where a broker listens and who may enter; finding a free port; asking whether it answers."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
USERNAME = "antiphon"
ACCEPTED = 0
_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class BrokerAddress:
    """How to reach a broker.

    Attributes:
        host: name or address.
        port: TCP port.
        username: MQTT user name.
        password: MQTT password; never shown by `repr`.
        tls: a TLS context; None is plain TCP.
    """

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)


def fresh_address(port: int) -> BrokerAddress:
    """A loopback address at `port` with a new random password of 256 bits.

    The password is hexadecimal, so that it goes into command lines and URLs as it is: one that
    begins with a hyphen would be taken for an option.
    """
    return BrokerAddress(LOOPBACK, port, USERNAME, secrets.token_hex(32))


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment.

    It may be taken before it is used: the caller must verify that its own process got it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(port: int) -> bool:
    """Whether somebody listens on loopback `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
        return False


def _mqtt_string(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def connect_packet(address: BrokerAddress) -> bytes:
    """An MQTT 3.1.1 CONNECT with clean session, user name and password (section 3.1)."""
    clean_session, password, username = 0x02, 0x40, 0x80
    keepalive_s = 10
    body = (
        _mqtt_string("MQTT")
        + bytes([4, clean_session | password | username])
        + keepalive_s.to_bytes(2, "big")
        + _mqtt_string(f"antiphon-probe-{secrets.token_hex(4)}")
        + _mqtt_string(address.username)
        + _mqtt_string(address.password)
    )
    return bytes([0x10, len(body)]) + body


async def connack_code(address: BrokerAddress) -> int | None:
    """What the broker answers to a real CONNECT with the address's credentials.

    Returns:
        The MQTT 3.1.1 return code (0 is accepted, 4 and 5 are refused), or None if nobody
        answered with a CONNACK within 2 s.
    """
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=address.tls
            )
            try:
                writer.write(connect_packet(address))
                reply = await reader.readexactly(4)
                writer.write(b"\xe0\x00")  # DISCONNECT, so that the broker logs no lost client
                await writer.drain()
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return None
    return reply[3] if reply[:2] == b"\x20\x02" else None
