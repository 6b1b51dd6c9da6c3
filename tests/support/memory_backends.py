"""The stores of memories as their conformance suite sees them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Protocol

from antiphon_memory.milvus.memories import MilvusMemories
from antiphon_memory.postgres.memories import PostgresMemories
from antiphon_memory.service import MemoryStore
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook
from storage_servers import MilvusLiteServer, PostgresServer, Server

Clock = Callable[[], float]


class MemoryBackend(Protocol):
    """One place with memories, empty at first."""

    def store(self, *, now: Clock = time.time) -> MemoryStore:
        """Return one more store on the same memories."""

    async def fail(self) -> None:
        """Let the server die, or what comes next to it."""

    async def recover(self) -> None:
        """Bring it back."""


class _SqliteFile:
    """A file fails when another program holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holder: sqlite3.Connection | None = None

    async def fail(self) -> None:
        self._holder = sqlite3.connect(self.path, isolation_level=None)
        self._holder.execute("BEGIN IMMEDIATE")

    async def recover(self) -> None:
        if self._holder is not None:
            with closing(self._holder) as holder:
                holder.rollback()
            self._holder = None


class SqliteMemoryBackend(_SqliteFile):
    def store(self, *, now: Clock = time.time) -> MemoryStore:
        return SqliteStore(self.path, NoteBook(), now=now)


class _OnServer:
    """A server fails when it is killed."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def fail(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def recover(self) -> None:
        await asyncio.to_thread(self._server.start)


class PostgresMemoryBackend(_OnServer):
    """Each has a database of its own on the server."""

    def __init__(self, server: PostgresServer) -> None:
        super().__init__(server)
        self.url = server.fresh_url()

    def store(self, *, now: Clock = time.time) -> MemoryStore:
        return PostgresMemories(self.url, NoteBook(), now=now)


class MilvusMemoryBackend(_OnServer):
    """Each has a database of its own on the server."""

    def __init__(self, server: MilvusLiteServer) -> None:
        super().__init__(server)
        self.url = server.fresh_url()

    def store(self, *, now: Clock = time.time) -> MemoryStore:
        return MilvusMemories(self.url, now=now)


@asynccontextmanager
async def recovering(backend: MemoryBackend) -> AsyncIterator[None]:
    """What is on fails in the block, and is back after it."""
    await backend.fail()
    try:
        yield
    finally:
        await backend.recover()
