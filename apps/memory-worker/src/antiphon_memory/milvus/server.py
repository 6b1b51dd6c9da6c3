"""The clients of a Milvus server, and what its errors mean to people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from antiphon_contracts import ConfigError, EngineError
from grpc import RpcError, StatusCode
from pymilvus import AsyncMilvusClient, MilvusClient
from pymilvus.exceptions import MilvusException

from antiphon_memory.milvus.rows import Fields, in_parts
from antiphon_memory.simultaneous import at_once

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
QUERY_TIMEOUT_S = 10.0
SCHEMA_TIMEOUT_S = 60.0
MOST_AT_ONCE = 16_384
"""What Milvus returns of a query at the most."""

NOT_LOADED = 101
UNREACHABLE = 2
ROWS_AT_ONCE = 256
"""How many rows one request writes; with vectors of 4,096 numbers, that is 4 MB."""

BATCHES_AT_ONCE = 4

# A server that is back is found at once: channels share no waiting time after a failure.
_CHANNEL = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
}

_REFUSED = (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)
_REFUSALS = ("auth check failure", "unauthenticated", "permission den", "privilege check")

# It logs what it was asked together with each error: people's words.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)


class MilvusServer:
    """One asynchronous client for data, opened for the time of a block.

    Args:
        url: of the server, or a path that ends in `.db` for Milvus Lite; the path of a URL is the
            name of a database, which is made if it is missing.
        token: `user:password` or an API key; empty is none.
    """

    def __init__(self, url: str, *, token: str = "") -> None:
        parts = urlsplit(url)
        is_file = url.endswith(".db")
        self._is_url = is_file or (parts.scheme in {"http", "https", "tcp"} and bool(parts.netloc))
        self._place = f"Milvus at {url if is_file else parts.netloc.rpartition('@')[2]}"
        self._database = "" if is_file else parts.path.strip("/")
        self._url = url if is_file else parts._replace(path="").geturl()
        self._token = token
        self._client: AsyncMilvusClient | None = None
        self._batches = asyncio.Semaphore(BATCHES_AT_ONCE)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect for the time of the block.

        Raises:
            ConfigError: the server cannot be reached, or refuses us.
        """
        if not self._is_url:
            msg = "milvus_url in [memory] is no URL; write http://HOST:19530/DATABASE"
            raise ConfigError(msg)
        try:
            with self._translated():
                version = await asyncio.to_thread(self._find_database)
        except EngineError as error:
            raise ConfigError(str(error)) from error
        if "lite" in version:
            self._batches = asyncio.Semaphore(1)  # its writers take no turns
        self._client = AsyncMilvusClient(
            self._url,
            token=self._token,
            db_name=self._database,
            timeout=CONNECT_TIMEOUT_S,
            dedicated=True,
            grpc_options=_CHANNEL,
        )
        try:
            yield
        finally:
            client, self._client = self._client, None
            await client.close()

    def _find_database(self) -> str:
        """Make the database if it is missing, and return the server's version."""
        if self._database:
            client = self._schema_client("")
            try:
                if self._database not in client.list_databases(timeout=QUERY_TIMEOUT_S):
                    client.create_database(self._database, timeout=QUERY_TIMEOUT_S)
            finally:
                client.close()
        return self._schema_work(lambda client: str(client.get_server_version()))

    async def with_schema(self, work: Callable[[MilvusClient], T]) -> T:
        """Return what `work` makes of a synchronous client, in a thread.

        Raises:
            EngineError: the server failed.
        """
        with self._translated():
            return await asyncio.to_thread(self._schema_work, work)

    def _schema_work(self, work: Callable[[MilvusClient], T]) -> T:
        client = self._schema_client(self._database)
        try:
            return work(client)
        finally:
            client.close()

    def _schema_client(self, database: str) -> MilvusClient:
        return MilvusClient(
            self._url,
            token=self._token,
            db_name=database,
            timeout=CONNECT_TIMEOUT_S,
            dedicated=True,
            grpc_options=_CHANNEL,
        )

    @contextmanager
    def data(self) -> Iterator[AsyncMilvusClient]:
        """Give the client for the time of some calls.

        Raises:
            EngineError: the server failed, or the store is closed.
        """
        if self._client is None:
            msg = "The memory store is closed; ask again when it has started."
            raise EngineError(msg, retryable=True)
        with self._translated():
            yield self._client

    async def _loaded(
        self, collection: str, call: Callable[[AsyncMilvusClient], Awaitable[T]]
    ) -> T:
        """Return what a call does; a collection that a restart unloaded is loaded first."""
        with self.data() as client:
            try:
                return await call(client)
            except MilvusException as error:
                if error.code != NOT_LOADED:
                    raise
                await client.load_collection(collection, timeout=SCHEMA_TIMEOUT_S)
                return await call(client)

    async def query(
        self, collection: str, where: str, fields: Sequence[str], *, limit: int = MOST_AT_ONCE
    ) -> list[Fields]:
        """Return `fields` of the rows that fit, in order of their keys."""
        rows = await self._loaded(
            collection,
            lambda client: client.query(
                collection,
                filter=where,
                output_fields=list(fields),
                limit=limit,
                timeout=QUERY_TIMEOUT_S,
                # As pymilvus' own iterators do: the smallest keys of all segments, in order.
                iterator="True",
                reduce_stop_for_best="True",
            ),
        )
        return [dict(row) for row in rows]

    async def count(self, collection: str, where: str) -> int:
        """Return how many rows fit."""
        rows = await self._loaded(
            collection,
            lambda client: client.query(
                collection, filter=where, output_fields=["count(*)"], timeout=QUERY_TIMEOUT_S
            ),
        )
        return int(rows[0]["count(*)"])

    async def search(
        self,
        collection: str,
        field: str,
        asked: object,
        *,
        metric: str,
        where: str,
        fields: Sequence[str],
        limit: int,
    ) -> list[tuple[Fields, float]]:
        """Return rows and their scores, best first."""
        hits = await self._loaded(
            collection,
            lambda client: client.search(
                collection,
                data=[asked],
                anns_field=field,
                filter=where,
                limit=min(limit, MOST_AT_ONCE),
                output_fields=list(fields),
                search_params={"metric_type": metric},
                # What this very client wrote is there; nobody waits for others' writes.
                consistency_level="Session",
                timeout=QUERY_TIMEOUT_S,
            ),
        )
        return [(dict(hit["entity"]), float(hit["distance"])) for hit in hits[0]]

    async def put(self, collection: str, rows: Sequence[Fields]) -> None:
        """Write rows, or replace those of the same keys: batches side by side, then one flush."""

        async def batch(part: Sequence[Fields]) -> None:
            async with self._batches:
                with self.data() as client:
                    await client.upsert(collection, list(part), timeout=QUERY_TIMEOUT_S)

        parts = list(in_parts(rows, ROWS_AT_ONCE))
        await at_once(**{f"milvus-batch-{n}": batch(part) for n, part in enumerate(parts)})
        if len(parts) > 1:
            with self.data() as client:
                await client.flush(collection, timeout=SCHEMA_TIMEOUT_S)

    async def delete(self, collection: str, where: str) -> None:
        """Delete the rows that fit."""
        async with self._batches:
            await self._loaded(
                collection,
                lambda client: client.delete(collection, filter=where, timeout=QUERY_TIMEOUT_S),
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (MilvusException, RpcError, OSError, TimeoutError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> EngineError:
        """Return what it means to people; no text of people is in it."""
        code = getattr(error, "code", None)
        if callable(code):
            code = code()
        reason = str(error).casefold()
        if code in _REFUSED or any(words in reason for words in _REFUSALS):
            return EngineError(f"{self._place} refuses us; set milvus_token in [memory].")
        if isinstance(error, TimeoutError) or code == StatusCode.DEADLINE_EXCEEDED:
            return self._not_in_time()
        if not isinstance(error, MilvusException) or code in {UNREACHABLE, StatusCode.UNAVAILABLE}:
            return EngineError(
                f"{self._place} cannot be reached; start it, or change milvus_url in [memory].",
                retryable=True,
            )
        if "retry timeout" in reason:
            return self._not_in_time()
        return EngineError(f"{self._place} failed (code {code}); look at its log.")

    def _not_in_time(self) -> EngineError:
        return EngineError(
            f"{self._place} did not answer in time; look at its load.", retryable=True
        )
