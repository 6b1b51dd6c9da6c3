"""Start, watch, restart and stop a broker of our own.

The broker is a child process in a session of its own, so that Ctrl-C in a terminal reaches the
supervisor alone and the broker can end last. Should the process that started it die without
stopping it, the kernel ends the broker (Linux; see `lifeline`). The kernel watches the *thread*
that started it: run `embedded_broker` in a thread that lives as long as the broker shall.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from antiphon_contracts.errors import ConfigError

from antiphon_runtime.broker import amqtt_config, lifeline, mosquitto
from antiphon_runtime.broker.address import (
    ACCEPTED,
    BrokerAddress,
    connack_code,
    free_port,
    fresh_address,
    is_taken,
)
from antiphon_runtime.broker.private_file import private_directory, write_private

BrokerKind = Literal["mosquitto", "amqtt"]

_READY_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.02
_PORT_ATTEMPTS = 5
_LOG_TAIL_BYTES = 2_000
_LOG_TAIL_LINES = 8


class _PortTakenError(ConfigError):
    """Somebody else listens on the port; another one may do."""


@dataclass(frozen=True)
class Launch:
    """A broker that can be started.

    Attributes:
        kind: which broker.
        address: where it listens, and by which credentials it is asked whether it does.
        command: runs it in the foreground; holds no secret.
        log_path: file (0600, there already) for what it writes.
    """

    kind: BrokerKind
    address: BrokerAddress
    command: tuple[str, ...]
    log_path: Path


class EmbeddedBroker:
    """A running broker; made by `embedded_broker`.

    Its methods are for one task at a time, except `wait`.
    """

    def __init__(self, launch: Launch, process: Process) -> None:
        self._launch = launch
        self._process = process

    @property
    def address(self) -> BrokerAddress:
        """Where it listens and with which credentials; the same for its whole life."""
        return self._launch.address

    @property
    def kind(self) -> BrokerKind:
        """Which broker it is."""
        return self._launch.kind

    @property
    def pid(self) -> int:
        """Process id; another one after `restart`."""
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """The broker's own log: errors, warnings, connections."""
        return self._launch.log_path

    async def wait(self) -> int:
        """Wait until the present process has ended.

        Returns:
            Its exit code; negative is the signal that ended it.
        """
        return await self._process.wait()

    def reload(self) -> None:
        """Have it read its passwords and rights again (mosquitto, SIGHUP).

        Whoever is connected with a password that counts no more is thrown out.
        """
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGHUP)

    async def kill(self) -> None:
        """End it at once with SIGKILL, as a crash would; what it had not saved is lost."""
        await _kill(self._process)

    async def stop(self) -> None:
        """End it with SIGTERM, and after 5 s with SIGKILL; nothing if it has ended already."""
        if self._process.returncode is not None:
            return
        try:
            with suppress(ProcessLookupError):
                self._process.terminate()
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            await _kill(self._process)

    async def restart(self) -> None:
        """Stop it if it still runs, and start it again: same port, same credentials, same files.

        Raises:
            ConfigError: it does not come up within 10 s, or its port was taken meanwhile.
        """
        await self.stop()
        self._process = await start_broker(self._launch)


@asynccontextmanager
async def embedded_broker(
    directory: Path,
    *,
    kind: Literal["auto", "mosquitto", "amqtt"] = "auto",
    port: int | None = None,
    persistence: bool = True,
    nodelay: bool = True,
    anonymous: bool = False,
    extra_config: Sequence[str] = (),
    finder: Callable[[], Path | None] = mosquitto.find_mosquitto,
) -> AsyncIterator[EmbeddedBroker]:
    """A broker on loopback behind a random password, ready to be used; stopped at the end.

    A message over 4 MiB (payload; 64 KiB more with topic and properties) costs its sender the
    connection, and a client that sends it again loses it again: check sizes before sending.
    mosquitto announces the limit to MQTT 5 clients as Maximum Packet Size.

    Args:
        directory: for its files, all 0600; made (0700) if missing. One broker per directory.
        kind: `auto` takes mosquitto 2 or later where `finder` finds it, else amqtt.
        port: TCP port; by default a free one.
        persistence: keep sessions and retained messages in `directory`. amqtt never does.
        nodelay: TCP_NODELAY; only mosquitto can do without.
        anonymous: let clients in without a password as well (tests, benchmarks).
        extra_config: lines for mosquitto.conf; amqtt takes none.
        finder: says where mosquitto is.

    Raises:
        ConfigError: mosquitto is asked for and not there, the port is taken, the directory cannot
            be written, or the broker does not answer within 10 s (with the end of its log).
    """
    programme = await choose_programme(kind, finder)
    if programme is None and extra_config:
        raise ConfigError("Only mosquitto takes extra configuration; install mosquitto 2 or later.")
    options = mosquitto.MosquittoOptions(
        persistence=persistence, nodelay=nodelay, anonymous=anonymous, extra=tuple(extra_config)
    )
    broker = await _start_on_a_port(directory, programme, options, port)
    try:
        yield broker
    finally:
        await broker.stop()


async def choose_programme(
    kind: Literal["auto", "mosquitto", "amqtt"], finder: Callable[[], Path | None]
) -> Path | None:
    """The mosquitto to use; None means amqtt.

    Raises:
        ConfigError: mosquitto is asked for and not there.
    """
    if kind == "amqtt":
        return None
    programme = await asyncio.to_thread(finder)
    version = await mosquitto.major_version(programme) if programme else None
    if version is not None and version >= mosquitto.MINIMUM_MAJOR_VERSION:
        return programme
    if kind == "mosquitto":
        raise ConfigError(
            "Mosquitto 2 or later was not found on the PATH or in /usr/sbin; install it "
            "(on Debian: apt install mosquitto), or choose the broker amqtt."
        )
    return None


async def _start_on_a_port(
    directory: Path,
    programme: Path | None,
    options: mosquitto.MosquittoOptions,
    port: int | None,
) -> EmbeddedBroker:
    for attempts_left in reversed(range(_PORT_ATTEMPTS)):
        # A new password each time: the last one may have reached whoever took the port.
        address = fresh_address(port or free_port())
        try:
            launch = await asyncio.to_thread(_prepare, directory, programme, options, address)
            return EmbeddedBroker(launch, await start_broker(launch))
        except _PortTakenError:
            if port is not None or not attempts_left:
                raise
        except OSError as error:
            raise ConfigError(
                f"The embedded broker cannot be set up in {directory}: {error.strerror}; "
                "make that directory writable or choose another."
            ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _prepare(
    directory: Path,
    programme: Path | None,
    options: mosquitto.MosquittoOptions,
    address: BrokerAddress,
) -> Launch:
    directory = directory.absolute()
    private_directory(directory)
    if programme is not None:
        kind: BrokerKind = "mosquitto"
        command = mosquitto.write_files(programme, directory, address, options)
    else:
        kind = "amqtt"
        config = amqtt_config.AmqttConfig(
            host=address.host,
            port=address.port,
            username=address.username,
            password=address.password,
            anonymous=options.anonymous,
            payload_limit_bytes=mosquitto.PACKET_LIMIT_BYTES,
        )
        command = amqtt_config.write_files(directory, config)
    log_path = directory / f"{kind}.log"
    write_private(log_path, "")
    return Launch(kind, address, command, log_path)


async def start_broker(launch: Launch) -> Process:
    """Start a broker and return when it lets its own user in.

    Raises:
        ConfigError: its port is taken, or it does not answer within 10 s.
    """
    if await asyncio.to_thread(is_taken, launch.address.port):
        raise _PortTakenError(_port_taken_text(launch))
    process = await _spawn(launch)
    ready = False
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            await _until_ready(launch, process)
        ready = True
    except TimeoutError as error:
        raise ConfigError(
            f"The embedded broker ({launch.kind}) did not answer within {_READY_TIMEOUT_S:g} s; "
            f"its log ends: {await asyncio.to_thread(_log_tail, launch.log_path)}"
        ) from error
    finally:
        if not ready:
            await _kill(process)
    return process


async def _spawn(launch: Launch) -> Process:
    log = await asyncio.to_thread(os.open, launch.log_path, os.O_WRONLY | os.O_APPEND)
    try:
        return await asyncio.create_subprocess_exec(
            # -I and -S: a bare interpreter, which starts in a few milliseconds.
            *(sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid())),
            *launch.command,
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(log)


async def _until_ready(launch: Launch, process: Process) -> None:
    address = launch.address
    while True:
        if process.returncode is not None:
            await _raise_ended(launch, process.returncode)
        if await asyncio.to_thread(_listens, process.pid, address.port):
            code = await connack_code(address)
            if code == ACCEPTED:
                return
            if code is not None:
                raise ConfigError(
                    f"The embedded broker ({launch.kind}) refused its own password (code {code}); "
                    "please report this together with the broker's version."
                )
        await asyncio.sleep(_POLL_S)


async def _raise_ended(launch: Launch, exit_code: int) -> None:
    if await asyncio.to_thread(is_taken, launch.address.port):
        raise _PortTakenError(_port_taken_text(launch))
    raise ConfigError(
        f"The embedded broker ({launch.kind}) ended at once with code {exit_code}; its log ends: "
        f"{await asyncio.to_thread(_log_tail, launch.log_path)}"
    )


def _port_taken_text(launch: Launch) -> str:
    return (
        f"Port {launch.address.port}, wanted for the embedded broker, is taken by another "
        "programme; stop that one or choose another port."
    )


def _listens(pid: int, port: int) -> bool:
    """Whether it is this process, and no other, that listens on the port."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # cannot be known here; the password will tell
    return any(
        entry.status == psutil.CONN_LISTEN and entry.laddr.port == port for entry in connections
    )


async def _kill(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _log_tail(path: Path) -> str:
    text = path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
    return " | ".join(text.splitlines()[-_LOG_TAIL_LINES:]) or "(empty)"
