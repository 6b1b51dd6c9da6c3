"""A web server for tests, on a loopback address of its own, and a canary that counts callers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Writer = asyncio.StreamWriter


@dataclass(frozen=True)
class Reply:
    """What a path answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Served = Reply | Callable[[Writer], Awaitable[None]]
"""What a path answers: a reply, or something that writes one as it pleases."""


@dataclass
class Web:
    """A running server: its address, what it serves, and what it was asked."""

    host: str
    port: int
    pages: dict[str, Served]
    heard: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def root(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.heard]

    async def on_caller(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.at_once -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        self.heard.append((path, headers))
        page = self.pages.get(path, Reply(b"no such page", 404))
        if not isinstance(page, Reply):
            await page(writer)
            return
        lines = {"Content-Length": str(len(page.body)), "Connection": "close", **page.headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        writer.write(f"HTTP/1.1 {page.status} x\r\n{text}\r\n".encode() + page.body)
        await writer.drain()


@asynccontextmanager
async def web(
    pages: dict[str, Served],
    *,
    host: str = "127.0.0.2",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Web]:
    """Serve `pages` on a free port."""
    made = Web(host, port, pages)
    server = await asyncio.start_server(made.on_caller, host, port, ssl=tls)
    async with server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


class Canary:
    """Listens on 127.0.0.1 and ::1, and counts who has called: nobody should."""

    def __init__(self) -> None:
        self._sockets = [socket.socket(socket.AF_INET)]
        self._sockets[0].bind(("127.0.0.1", 0))
        self.port: int = self._sockets[0].getsockname()[1]
        if socket.has_ipv6:
            other = socket.socket(socket.AF_INET6)
            try:
                other.bind(("::1", self.port))
            except OSError:  # IPv6 is switched off here
                other.close()
            else:
                self._sockets.append(other)
        for listening in self._sockets:
            listening.listen(512)
            listening.setblocking(False)

    def calls(self) -> int:
        """Return how many connections the kernel has made since the last look."""
        found = 0
        for listening in self._sockets:
            while True:
                try:
                    caller, _ = listening.accept()
                except BlockingIOError:
                    break
                caller.close()
                found += 1
        return found

    def close(self) -> None:
        for listening in self._sockets:
            listening.close()
