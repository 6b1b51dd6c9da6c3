"""A server as a process of ours: JSON lines on its standard input and output.

Unlike the SDK's own transport this one bounds what a line may hold, tells when the process has
ended, takes along what the process leaves behind, and has its standard error in our log.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from antiphon_contracts import EngineError
from antiphon_runtime import running

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

log = structlog.get_logger(__name__)

MAX_LINE_BYTES = 8 * 1024 * 1024
END_S = 2.0
"""How long a server may take to end by itself, and again after SIGTERM."""
_LOOK_S = 0.01
_ERROR_BYTES = 64 * 1024
_ERROR_LINES = 50  # of each piece
_ERROR_CHARS = 500


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        name: of the server, for the log.
        command: the program.
        args: its arguments.
        env: its whole environment.
        cwd: the folder that it runs in.
    """

    name: str
    command: str
    args: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None


@asynccontextmanager
async def stdio_streams(command: Command, ended: asyncio.Event) -> AsyncIterator[TransportStreams]:
    """Run a server, and yield the streams of messages from and to it.

    The process and all of its group have ended when the block has.

    Args:
        command: what to run.
        ended: set when the process has gone or closed its output.

    Raises:
        EngineError: it cannot be started.
    """
    import anyio
    from mcp.shared.message import SessionMessage

    process = await _start(command)
    unwatch = _watch(process, ended)
    from_server, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, to_server = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with running(
            read=_read(process, from_server, ended),
            write=_write(process, to_server),
            errors=_log_errors(command.name, process),
        ):
            yield read, write
    finally:
        unwatch()
        for stream in (from_server, read, write, to_server):
            stream.close()
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _start(command: Command) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            command.command,
            *command.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(command.env),
            cwd=command.cwd,
            limit=MAX_LINE_BYTES,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if command.cwd is not None and not command.cwd.is_dir():
            raise EngineError(f"there is no folder {command.cwd}") from error
        raise EngineError(f"there is no program {command.command}") from error
    except (OSError, ValueError) as error:
        raise EngineError(f"{command.command} cannot be started") from error


def _watch(process: asyncio.subprocess.Process, ended: asyncio.Event) -> Callable[[], None]:
    """Set `ended` when the process has gone, though a child of its own may keep its output open.

    Returns:
        What ends the watch.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not on Linux: the end of its output has to do
        return lambda: None
    loop = asyncio.get_running_loop()

    def on_end() -> None:
        loop.remove_reader(fd)
        ended.set()

    def unwatch() -> None:
        loop.remove_reader(fd)
        os.close(fd)

    loop.add_reader(fd, on_end)
    return unwatch


async def _read(
    process: asyncio.subprocess.Process,
    out: MemoryObjectSendStream[SessionMessage | Exception],
    ended: asyncio.Event,
) -> None:
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter

    if process.stdout is None:
        return
    async with out:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
            while line := await _line(process.stdout):
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError as error:
                    await out.send(error)
                else:
                    await out.send(SessionMessage(message))
    ended.set()


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Return the next line, empty at the end; a line that is too long ends the connection."""
    try:
        return await stream.readline()
    except ValueError:
        log.warning("server.line_too_long", limit_bytes=MAX_LINE_BYTES)
        return b""


async def _write(
    process: asyncio.subprocess.Process, source: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    if process.stdin is None:
        return
    async with source:
        with suppress(ConnectionError, RuntimeError):
            async for item in source:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()


async def _log_errors(name: str, process: asyncio.subprocess.Process) -> None:
    # Not line by line: one that does not end must not stop the server.
    while process.stderr is not None and (said := await process.stderr.read(_ERROR_BYTES)):
        for line in said.splitlines()[:_ERROR_LINES]:
            log.debug("server.said", server=name, line=line[:_ERROR_CHARS].decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and its group: first by closing its input, then by asking, then by force."""
    if process.stdin is not None:
        process.stdin.close()
    if not await _has_ended(process):
        _signal_group(process.pid, signal.SIGTERM)
        await _has_ended(process)
    # Also where the process itself has gone: its children may not have.
    _signal_group(process.pid, signal.SIGKILL)
    if await _has_ended(process):
        with suppress(TimeoutError):
            async with asyncio.timeout(
                END_S
            ):  # its pipes may be held by somebody who left the group
                await process.wait()


async def _has_ended(process: asyncio.subprocess.Process) -> bool:
    """Return whether the process ends in time; `wait` would wait for its pipes as well."""
    for _ in range(int(END_S / _LOOK_S)):
        if process.returncode is not None:
            return True
        await asyncio.sleep(_LOOK_S)
    return process.returncode is not None


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
