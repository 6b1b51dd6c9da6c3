"""JSON over HTTP, by httpx2."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
from antiphon_contracts import EngineError
from antiphon_runtime.extras import install_command
from pydantic import JsonValue

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

MAX_BODY_BYTES = 4 * 1024 * 1024
_CONNECTIONS = 10
_FIRST_ERROR = 300
_FIRST_SERVER_ERROR = 500
_PASSING = frozenset({408, 425, 429})


class HttpStatusError(EngineError):
    """The server answered, and not with what was asked for.

    Attributes:
        status: the HTTP status.
        answer: its body, if that is JSON.
    """

    def __init__(self, message: str, status: int, answer: JsonValue) -> None:
        passing = status in _PASSING or status >= _FIRST_SERVER_ERROR
        super().__init__(message, retryable=passing)
        self.status = status
        self.answer = answer


class JsonClient:
    """Asks servers for JSON; one pool of connections for all of them.

    Redirects are not followed, and proxies and credentials of the environment are not used: what is
    asked goes to the configured server and nowhere else.
    """

    def __init__(self) -> None:
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(
        self,
        url: str,
        *,
        server: str,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonValue:
        """Return what the server answers.

        Args:
            url: address, without a query.
            server: what it is, for people; begins the sentences, e.g. `The weather service`.
            timeout_s: how long all of it may take.
            query: what goes behind the question mark.
            headers: further headers.

        Raises:
            HttpStatusError: it answered with another status than 2xx.
            EngineError: it does not answer, or not with JSON.
        """
        async with self._asked("GET", url, server, timeout_s, query, headers, None) as answer:
            return await _read(answer, server)

    async def post(
        self,
        url: str,
        body: JsonValue,
        *,
        server: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> JsonValue:
        """Send JSON and return what the server answers; see `get`."""
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json", **(headers or {})}
        async with self._asked("POST", url, server, timeout_s, None, headers, content) as answer:
            return await _read(answer, server)

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        url: str,
        server: str,
        timeout_s: float,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        content: bytes | None,
    ) -> AsyncIterator[Response]:
        client = await self._opened()
        from httpx2 import HTTPError, InvalidURL

        try:
            async with (
                asyncio.timeout(timeout_s),
                client.stream(
                    method, url, params=query, headers=headers, content=content
                ) as response,
            ):
                yield response
        except TimeoutError as error:
            msg = f"{server} did not answer within {timeout_s:g} seconds."
            raise EngineError(msg, retryable=True) from error
        except HTTPError as error:
            msg = f"{server} cannot be reached ({type(error).__name__})."
            raise EngineError(msg, retryable=True) from error
        except (InvalidURL, UnicodeError) as error:
            raise EngineError(f"{server} has an address that cannot be used.") from error

    async def _opened(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(_new_client)  # reads certificates
            return self._client


def _new_client() -> AsyncClient:
    try:
        httpx = importlib.import_module("httpx2")
    except ImportError as error:
        raise EngineError(f"httpx2 is not installed: {install_command('tools')}") from error
    client: AsyncClient = httpx.AsyncClient(
        timeout=None,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=_CONNECTIONS),
        headers={"User-Agent": "antiphon/0.1", "Accept": "application/json"},
    )
    return client


async def _read(response: Response, server: str) -> JsonValue:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise EngineError(f"{server} answered with too much.")
    try:
        value: JsonValue = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        value = None
        if response.status_code < _FIRST_ERROR:
            raise EngineError(f"{server} answered with something that is no JSON.") from None
    if response.status_code >= _FIRST_ERROR:
        msg = f"{server} refused (HTTP {response.status_code})."
        raise HttpStatusError(msg, response.status_code, value)
    return value
