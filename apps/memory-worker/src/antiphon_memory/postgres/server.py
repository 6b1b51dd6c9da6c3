"""The pool of connections to a PostgreSQL server, and what its errors mean to people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
from antiphon_contracts import ConfigError, EngineError
from asyncpg import exceptions as pg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

CONNECTIONS = 8
CONNECT_TIMEOUT_S = 5.0
QUERY_TIMEOUT_S = 10.0

WRITERS_KEY = 0x616E7469
"""Number of the advisory lock under which all writes are: so they commit in order."""

_FOREIGN = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    pg.InterfaceError,
    pg.InternalClientError,
)

# The first that fits counts; whether the same may work later is last.
_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], str, bool], ...] = (
    (
        (pg.InvalidAuthorizationSpecificationError,),
        "refuses us; set user and password in postgres_url.",
        False,
    ),
    ((pg.InvalidCatalogNameError,), "has no such database; make it: createdb antiphon.", False),
    (
        (pg.InsufficientPrivilegeError,),
        "forbids that; give our user all rights on the database.",
        False,
    ),
    ((pg.DiskFullError,), "has a full disk; free some space.", False),
    ((pg.TooManyConnectionsError,), "has no free connection; raise max_connections.", True),
    ((pg.ReadOnlySQLTransactionError,), "is a read-only copy; name its primary.", False),
    ((pg.QueryCanceledError, TimeoutError), "did not answer in time; look at its load.", True),
    (
        (
            OSError,
            pg.PostgresConnectionError,
            pg.OperatorInterventionError,
            pg.InterfaceError,
            pg.InternalClientError,  # what is begun on a connection in the moment of its loss
        ),
        "cannot be reached; start it, or change postgres_url in [memory].",
        True,
    ),
    ((pg.TransactionRollbackError,), "was too busy; ask again.", True),
)


class PostgresServer:
    """One pool of connections, opened for the time of a block.

    A lost connection is made again when the next one is asked for.

    Args:
        url: of the database, `postgresql://…`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._place = f"PostgreSQL at {parts.hostname or 'localhost'}{parts.path}"
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect for the time of the block.

        Raises:
            ConfigError: the server cannot be reached, or refuses us.
        """
        try:
            pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=CONNECTIONS,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=QUERY_TIMEOUT_S,
                # Extensions may be in either, whoever made them.
                server_settings={"search_path": "antiphon, public"},
            )
        except ValueError as error:
            msg = "postgres_url in [memory] is no URL; write postgresql://user@host:5432/antiphon"
            raise ConfigError(msg) from error
        except _FOREIGN as error:
            raise ConfigError(str(self._told(error))) from error
        self._pool = pool
        try:
            yield
        finally:
            self._pool = None
            # Nobody waits any more for what is still under way.
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for the time of the block.

        Raises:
            EngineError: the server failed, or the store is closed.
        """
        if self._pool is None:
            msg = "The memory store is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        with self._translated():
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Write in the block, all of it or nothing; one writer at a time, of all processes.

        Raises:
            EngineError: the server failed, or the store is closed.
        """
        async with self.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", WRITERS_KEY)
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FOREIGN as error:
            raise self._told(error) from error

    def _told(self, error: BaseException) -> EngineError:
        """Return what it means to people; no text of people is in it."""
        for kinds, sentence, retryable in _MEANINGS:
            if isinstance(error, kinds):
                return EngineError(f"{self._place} {sentence}", retryable=retryable)
        return EngineError(f"{self._place} failed ({type(error).__name__}); look at its log.")
