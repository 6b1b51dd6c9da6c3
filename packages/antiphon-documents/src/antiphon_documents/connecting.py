"""The one place that opens connections: to addresses that were checked, and to no other.

Imports httpcore2, and is therefore imported only when something is fetched.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpcore2

from antiphon_documents.errors import FetchError
from antiphon_documents.urls import WebAddress

CONNECT_TIMEOUT_S = 10.0
MAX_ADDRESSES = 4
INFLATE_STEP_BYTES = 256 * 1024
_GZIP = b"\x1f"


class PinnedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to given addresses, whatever host it is asked for: no name is looked up here."""

    def __init__(self, addresses: Iterable[str], port: int) -> None:
        self._addresses = tuple(addresses)[:MAX_ADDRESSES]
        self._port = port
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  (the port of httpcore2; what is asked for is not what counts)
        port: int,  # noqa: ARG002
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return a stream to the first address that answers."""
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(
                    address, self._port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError("no address")

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: no page lives in a local socket."""
        raise httpcore2.ConnectError("no local sockets")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Answer:
    """What a server answered, its body still to be read.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name; of several of one name the first.
    """

    status: int
    headers: dict[str, str]
    _stream: httpcore2.Response

    async def read(self, max_bytes: int) -> bytes:
        """Return the body, decompressed.

        Raises:
            FetchError: it is longer than `max_bytes`, or packed in a way that we do not read.
        """
        try:
            declared = int(self.headers.get("content-length", "0"))
        except ValueError:
            declared = 0
        if declared > max_bytes:
            raise _too_long(max_bytes)
        packing = self.headers.get("content-encoding", "").strip().lower()
        if packing in {"", "identity"}:
            return await _joined(_capped(self._stream.aiter_stream(), max_bytes), max_bytes)
        if packing not in {"gzip", "x-gzip", "deflate"}:
            raise FetchError("The server packs its pages in a way that was not asked for.")
        raw = _capped(self._stream.aiter_stream(), max_bytes)
        try:
            return await _joined(_inflated(raw), max_bytes)
        except zlib.error as error:
            raise FetchError(
                "The page arrived damaged; try again later.", retryable=True
            ) from error


def system_tls() -> ssl.SSLContext:
    """Return what accepts the certificates that the system trusts. Blocks: it reads them all."""
    return httpcore2.default_ssl_context()


@asynccontextmanager
async def asked(
    web: WebAddress,
    addresses: Iterable[str],
    headers: dict[str, str],
    tls: ssl.SSLContext,
) -> AsyncIterator[Answer]:
    """Ask one of `addresses` for a page; the certificate must be for `web.host`.

    Raises:
        FetchError: no connection, no certificate for the name, or no proper answer.
    """
    url = httpcore2.URL(
        scheme=web.scheme.encode(),
        host=web.host.encode(),
        port=web.port,
        target=web.target.encode(),
    )
    pool = httpcore2.AsyncConnectionPool(
        ssl_context=tls,
        max_connections=1,
        network_backend=PinnedBackend(addresses, web.port),
    )
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    timeouts = {"timeout": {"connect": CONNECT_TIMEOUT_S}}
    try:
        async with pool, pool.stream("GET", url, headers=lines, extensions=timeouts) as response:
            yield Answer(response.status, _headers(response), response)
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        raise FetchError(
            f"{web.host} cannot be reached; check the address and the network.", retryable=True
        ) from error
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        raise FetchError(f"{web.host} gave no proper answer.", retryable=True) from error
    except ssl.SSLError as error:
        raise FetchError(f"{web.host} could not prove who it is.") from error


def _headers(response: httpcore2.Response) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in response.headers:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found


def _too_long(max_bytes: int) -> FetchError:
    return FetchError(f"The page is longer than the {max_bytes:,} bytes that are allowed.")


async def _capped(pieces: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    total = 0
    async for piece in pieces:
        total += len(piece)
        if total > max_bytes:
            raise _too_long(max_bytes)
        yield piece


async def _joined(pieces: AsyncIterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    async for piece in _capped(pieces, max_bytes):
        body += piece
    return bytes(body)


async def _inflated(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what is packed, in small steps: a bomb is seen before it has gone off."""
    inflater = None
    async for piece in pieces:
        waiting = piece
        while waiting:
            if inflater is None:
                inflater = zlib.decompressobj(_window(waiting[0]))
            yield inflater.decompress(waiting, INFLATE_STEP_BYTES)
            await asyncio.sleep(0)
            waiting = inflater.unconsumed_tail
            if inflater.eof:
                waiting, inflater = inflater.unused_data, None
                if not waiting.startswith(_GZIP):  # what follows the end is no part of the page
                    break
    while inflater is not None and not inflater.eof:
        piece = inflater.decompress(b"", INFLATE_STEP_BYTES)
        if not piece:
            raise zlib.error("cut short")
        yield piece


def _window(first: int) -> int:
    """Return how to unpack: "deflate" means zlib's format, but some servers send it bare."""
    is_bare = first & 0x0F != zlib.DEFLATED and first != _GZIP[0]
    return -zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS | 32
