"""A TCP connection that tests can break."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class TcpProxy:
    """Passes bytes between a loopback port of its own and a server, until told not to.

    Use it as an async context manager.

    Attributes:
        port: where it listens.
        up: while false, connections are accepted and closed at once, and nobody answers.
        connections: how many there were.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.up = True
        self.connections = 0
        self._target = (host, port)
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.go_down()
        self._passing.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)

    def go_down(self) -> None:
        """Break every connection, and each new one."""
        self.up = False
        self.break_connections()

    def freeze(self) -> None:
        """Pass nothing on any more, and break nothing."""
        self._passing.clear()

    def come_up(self) -> None:
        """Let connections and bytes through again."""
        self.up = True
        self._passing.set()

    def break_connections(self) -> None:
        """Break every connection, as a pulled cable and its time-out would; new ones pass."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not self.up:
            writer.transport.abort()
            return
        self.connections += 1
        upstream: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            server, upstream = await asyncio.open_connection(*self._target)
            self._writers.add(upstream)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, upstream), name="proxy:up")
                group.create_task(self._pump(server, writer), name="proxy:down")
        except OSError:
            return
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
