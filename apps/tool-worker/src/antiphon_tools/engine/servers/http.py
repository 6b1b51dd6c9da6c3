"""A server at an address: streamable HTTP, of which no message may be too large."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from antiphon_tools.engine.servers.stdio import MAX_LINE_BYTES as MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    import httpx2
    from mcp.client._transport import TransportStreams

CONNECT_S = 5.0
_SILENCE_S = 630.0  # above the longest call; the executor ends calls
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


@asynccontextmanager
async def http_streams(url: str, headers: Mapping[str, str]) -> AsyncIterator[TransportStreams]:
    """Yield the streams of messages from and to the server at `url`."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(_SILENCE_S, connect=CONNECT_S)
    plain = {"Accept-Encoding": "identity", **headers}
    async with (
        httpx2.AsyncClient(
            headers=plain, timeout=timeout, event_hooks={"response": [bound]}
        ) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


async def bound(response: httpx2.Response) -> None:
    """Have a response end with an error where a message in it gets larger than 8 MiB.

    Raises:
        httpx2.DecodingError: it is packed, though that was not asked for: it may be of any size.
    """
    import httpx2

    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("a packed response", request=response.request)
    source = response.stream
    assert isinstance(source, httpx2.AsyncByteStream)  # noqa: S101  (the client is async)
    response.stream = _bounded(source, response.request)


def _bounded(source: httpx2.AsyncByteStream, request: httpx2.Request) -> httpx2.AsyncByteStream:
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            count = 0
            async for part in source:
                ends = [part.rfind(end) + len(end) for end in _EVENT_ENDS if end in part]
                count = len(part) - max(ends) if ends else count + len(part)
                if count > MAX_MESSAGE_BYTES:
                    raise httpx2.ReadError("too large a message", request=request)
                yield part

        async def aclose(self) -> None:
            await source.aclose()

    return Bounded()
