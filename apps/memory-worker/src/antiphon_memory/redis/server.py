"""The pool of connections to a Redis server, and what its errors mean to people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

from antiphon_contracts import ConfigError, EngineError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import TimeoutError as TooSlowError

CONNECTIONS = 8
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
RETRIES = 2

# The first that fits counts; whether the same may work later is last.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], str, bool], ...] = (
    (
        (AuthenticationError, AuthorizationError, NoPermissionError),
        "refuses us; set user and password in redis_url.",
        False,
    ),
    ((OutOfMemoryError,), "is full; give it more memory.", False),
    ((ReadOnlyError,), "is a read-only copy; name its primary in redis_url.", False),
    ((BusyLoadingError,), "still loads; ask again in a moment.", True),
    ((TooSlowError,), "did not answer in time; look at its load.", True),
    (
        (NoConnectionError, OSError),
        "cannot be reached; start it, or change redis_url in [memory].",
        True,
    ),
)


class RedisServer:
    """One pool of connections, opened for the time of a block.

    A lost connection is made again at the next command; commands are sent again up to twice, so
    they must bear it.

    Args:
        url: of the server: `redis://`, `rediss://` or `unix://`.

    Raises:
        ConfigError: the URL is none.
    """

    def __init__(self, url: str) -> None:
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=ANSWER_TIMEOUT_S,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=ANSWER_TIMEOUT_S,
                health_check_interval=30,
                retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), RETRIES),
            )
        except ValueError as error:
            msg = "redis_url in [memory] is no URL of Redis; write redis://host:6379/0"
            raise ConfigError(msg) from error
        self._client = Redis(connection_pool=self._pool)
        # First come, first served. The pool alone lends a connection that comes back to whoever
        # asks in that moment, and some wait until they are told that there is none.
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._open = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect for the time of the block.

        Raises:
            ConfigError: the server cannot be reached, or refuses us.
        """
        try:
            with self._translated():
                await cast("Awaitable[object]", self._client.ping())
        except EngineError as error:
            await self._pool.disconnect()
            raise ConfigError(str(error)) from error
        self._open = True
        try:
            yield
        finally:
            self._open = False
            await self._pool.disconnect()

    @asynccontextmanager
    async def commands(self) -> AsyncIterator[Redis]:
        """Give the client for the time of some commands, one after the other.

        Raises:
            EngineError: the server failed, or the store is closed.
        """
        if not self._open:
            msg = "The conversation store is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        with self._translated():
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise TooSlowError from error
            try:
                yield self._client
            finally:
                self._turns.release()

    @property
    def _place(self) -> str:
        """Where it is, without user and password."""
        known = self._pool.connection_kwargs
        if "path" in known:
            return f"Redis at {known['path']}"
        return f"Redis at {known.get('host', 'localhost')}:{known.get('port', 6379)}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> EngineError:
        """Return what it means to people; no text of people is in it."""
        for kinds, sentence, retryable in _MEANINGS:
            if isinstance(error, kinds):
                return EngineError(f"{self._place} {sentence}", retryable=retryable)
        return EngineError(f"{self._place} failed ({type(error).__name__}); look at its log.")
