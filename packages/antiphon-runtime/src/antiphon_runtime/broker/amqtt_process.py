"""Run as a programme: an MQTT 3.1.1 broker on loopback, for where mosquitto is not installed.

`python -m antiphon_runtime.broker.amqtt_process CONFIG.json`; SIGTERM ends it.

This is amqtt with three things of ours around it: one user name and password; a limit to a
payload, over which the connection is closed; and an answer to MQTT 5 clients, which amqtt may
leave hanging: CONNACK 0x84, "unsupported protocol version", so that they can fall back at once.
amqtt keeps all in memory and knows no shared subscriptions. asyncio sets TCP_NODELAY for us.

The only module that imports amqtt.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin

from antiphon_runtime.broker.amqtt_config import AmqttConfig, read_file

_LISTENER = "default"
_SHUTDOWN_TIMEOUT_S = 2.0
_FIRST_PACKET_TIMEOUT_S = 10.0
_CONNECT = 0x10
_MQTT_5 = 5
# A v5 CONNACK: flags 0, reason 0x84, no properties (MQTT 5.0, section 3.2).
_UNSUPPORTED_VERSION = bytes([0x20, 3, 0, 0x84, 0])


class _Session(Protocol):
    username: str | None
    password: str | None


class OneUser(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no type marker
    """amqtt plugin: one user name and password, compared in constant time."""

    @dataclass
    class Config:
        """The plugin's options, filled in by amqtt."""

        username: str
        password: str
        anonymous: bool

    config: Config

    async def authenticate(self, *, session: _Session) -> bool:
        """Whether the session's credentials are ours."""
        if session.username is None and session.password is None:
            return self.config.anonymous
        name_right = hmac.compare_digest(
            (session.username or "").encode(), self.config.username.encode()
        )
        password_right = hmac.compare_digest(
            (session.password or "").encode(), self.config.password.encode()
        )
        return name_right and password_right


class _PayloadTooBig(Exception):  # noqa: N818  (amqtt logs its name as the reason)
    """amqtt closes the connection on any exception that it does not know."""


class _Reader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt ships no type marker
    """Gives back what was read ahead, then the stream, in bounded pieces."""

    def __init__(self, reader: asyncio.StreamReader, head: bytes, limit_bytes: int) -> None:
        super().__init__(reader)
        self._stream = reader
        self._head = head
        self._limit_bytes = limit_bytes

    async def read(self, n: int = -1) -> bytes:
        """Exactly `n` bytes; amqtt reads a payload in one piece, so the limit is on `n`."""
        if n > self._limit_bytes:
            raise _PayloadTooBig(f"{n} bytes, over the limit of {self._limit_bytes}")
        if n < 0:
            return await self._stream.read(n)
        ahead, self._head = self._head[:n], self._head[n:]
        if len(ahead) == n:
            return ahead
        return ahead + await self._stream.readexactly(n - len(ahead))


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, int | None]:
    """The first bytes of a connection, and the protocol level if they begin a CONNECT."""
    head = await reader.readexactly(2)
    if head[0] != _CONNECT:
        return head, None
    length_bytes_left = 3
    while head[-1] & 0x80 and length_bytes_left:
        head += await reader.readexactly(1)
        length_bytes_left -= 1
    # Protocol name: length (2), "MQTT" (4); then the level. "MQIsdp" of MQTT 3.1 is left to amqtt.
    start = await reader.readexactly(7)
    level = start[6] if start[2:6] == b"MQTT" else None
    return head + start, level


async def _refuse_version(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_UNSUPPORTED_VERSION)
    writer.write_eof()
    # Closing with bytes unread would reset the connection, and the answer could be lost with it.
    while await reader.read(4096):
        pass


class _Listener:
    def __init__(self, broker: Broker, limit_bytes: int) -> None:
        self._broker = broker
        self._limit_bytes = limit_bytes

    async def on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_FIRST_PACKET_TIMEOUT_S):
                head, level = await _read_head(reader)
                if level == _MQTT_5:
                    await _refuse_version(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        if level == _MQTT_5:
            writer.close()
            return
        await self._broker.external_connected(
            _Reader(reader, head, self._limit_bytes), StreamWriterAdapter(writer), _LISTENER
        )


def _amqtt_configuration(config: AmqttConfig) -> BrokerConfig:
    # The class's real module name, also when this module runs as __main__.
    plugin = f"antiphon_runtime.broker.amqtt_process.{OneUser.__name__}"
    return BrokerConfig(
        listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        plugins={
            plugin: {
                "username": config.username,
                "password": config.password,
                "anonymous": config.anonymous,
            }
        },
    )


async def serve(config: AmqttConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OSError: the port is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(_amqtt_configuration(config))
    await broker.start()
    listener = _Listener(broker, config.payload_limit_bytes)
    server = await asyncio.start_server(listener.on_connection, config.host, config.port)
    await stop.wait()
    server.close()
    try:
        async with asyncio.timeout(_SHUTDOWN_TIMEOUT_S):
            await broker.shutdown()
    except TimeoutError:
        logging.getLogger(__name__).warning("clients were cut off: shutdown took too long")


def main(arguments: list[str]) -> None:
    """Serve as the configuration file named by the one argument says."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    (config_path,) = arguments
    config = read_file(Path(config_path))
    try:
        asyncio.run(serve(config))
    except OSError as error:
        sys.exit(f"cannot listen on {config.host}:{config.port}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
