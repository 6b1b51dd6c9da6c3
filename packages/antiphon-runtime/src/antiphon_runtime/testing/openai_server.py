"""A scripted OpenAI-compatible server: real HTTP on loopback, for tests with real clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Self

from antiphon_runtime.testing.openai_script import (
    Body,
    Calls,
    Drop,
    Failure,
    Hang,
    Ponder,
    Recorded,
    Reply,
    Script,
    Text,
)

__all__ = [
    "Body",
    "Calls",
    "Drop",
    "Failure",
    "Hang",
    "OpenAiServer",
    "Ponder",
    "Recorded",
    "Reply",
    "Script",
    "Text",
]

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_HEADER_LINES = 100


class OpenAiServer:
    """Answers each request by the script; use it as an async context manager.

    A scripted sequence is used up one reply a request; after its end each request gets a 500. Lists
    of models (`/v1/models`, and Ollama's `/api/tags`) are answered outside of the script. `port` 0
    is any free one.

    Attributes:
        requests: what came in, lists of models excepted.
        dropped_by_client: how many connections the client closed before the answer's end.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        models: Sequence[str] = ("scripted-model",),
        port: int = 0,
    ) -> None:
        self.requests: list[Recorded] = []
        self.dropped_by_client = 0
        self._script = script
        self._models = models
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Event] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None  # noqa: S101  (entered)
        self._server.close()
        for writer, done in list(self._connections.items()):
            writer.transport.abort()
            await done.wait()
        await self._server.wait_closed()

    @property
    def root_url(self) -> str:
        """Address without a path, as Ollama's."""
        assert self._server is not None  # noqa: S101  (entered)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        """Address up to and with `/v1`."""
        return f"{self.root_url}/v1"

    async def until(self, enough: Callable[[OpenAiServer], bool], timeout_s: float = 5.0) -> None:
        """Return when `enough(self)` is true; it is asked again after every event.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while not enough(self):
                self._changed.clear()
                await self._changed.wait()

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        done = self._connections[writer] = asyncio.Event()
        try:
            request = await _read(reader)
            if request is not None:
                await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self._client_left()
        finally:
            writer.close()
            del self._connections[writer]
            done.set()

    async def _answer(
        self, request: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        listed = self._listed(request.path)
        if listed is not None:
            await _send(writer, Body(json.dumps(listed).encode()))
            return
        reply = self._reply_to(request)
        self.requests.append(request)
        self._changed.set()
        async with asyncio.TaskGroup() as group:
            play = group.create_task(self._play(reply, request, writer), name="openai-double:play")
            watch = group.create_task(_gone(reader), name="openai-double:watch")
            await asyncio.wait({play, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not play.done():
                self._client_left()
            play.cancel()
            watch.cancel()

    async def _play(self, reply: Reply, request: Recorded, writer: asyncio.StreamWriter) -> None:
        try:
            await _play(reply, request, writer)
        except ConnectionError:
            self._client_left()

    def _client_left(self) -> None:
        self.dropped_by_client += 1
        self._changed.set()

    def _reply_to(self, request: Recorded) -> Reply:
        if callable(self._script):
            return self._script(request)
        if len(self.requests) < len(self._script):
            return self._script[len(self.requests)]
        return Failure(500, "the script is at its end")

    def _listed(self, path: str) -> dict[str, Any] | None:
        if path == "/v1/models":
            data = [
                {"id": n, "object": "model", "created": 0, "owned_by": ""} for n in self._models
            ]
            return {"object": "list", "data": data}
        if path == "/api/tags":
            return {"models": [{"name": name} for name in self._models]}
        return None


async def _gone(reader: asyncio.StreamReader) -> None:
    """Return when the client has closed the connection."""
    with suppress(ConnectionError):
        await reader.read(1)


async def _read(reader: asyncio.StreamReader) -> Recorded | None:
    """Return the request; None if the client went without one."""
    first = (await reader.readline()).decode("latin-1").split()
    if len(first) < 2:  # noqa: PLR2004  (method and path)
        return None
    headers: dict[str, str] = {}
    for _ in range(MAX_HEADER_LINES):
        name, separator, value = (await reader.readline()).decode("latin-1").partition(":")
        if not separator:
            break
        headers[name.strip().lower()] = value.strip()
    length = min(int(headers.get("content-length", "0")), MAX_BODY_BYTES)
    return Recorded(first[0], first[1], headers, await reader.readexactly(length))


async def _play(reply: Reply, request: Recorded, writer: asyncio.StreamWriter) -> None:
    if isinstance(reply, Body):
        await _send(writer, reply)
    elif isinstance(reply, Failure):
        error = {"message": reply.message, "type": "scripted", "code": reply.code}
        body = Body(json.dumps({"error": error}).encode(), status=reply.status)
        await _send(writer, body, reply.headers)
    elif isinstance(reply, Hang):
        if reply.deltas:
            await _open_stream(writer)
            await _send_events(writer, [_chunk(content=text) for text in reply.deltas])
        await asyncio.Event().wait()
    elif isinstance(reply, Ponder):
        await _open_stream(writer)
        while True:
            await _send_events(writer, [_chunk(reasoning_content="Hm.")])
            await asyncio.sleep(reply.every_s)
    elif isinstance(reply, Drop):
        if reply.deltas:
            await _open_stream(writer)
            await _send_events(writer, [_chunk(content=text) for text in reply.deltas])
    elif request.json.get("stream"):
        await _stream(reply, writer)
    else:
        await _send(writer, Body(json.dumps(_whole(reply)).encode()))


async def _stream(reply: Text | Calls, writer: asyncio.StreamWriter) -> None:
    await _open_stream(writer)
    tokens = 0
    if isinstance(reply, Calls):
        await _send_events(writer, [_chunk(content=reply.text)] if reply.text else [])
        await _send_events(writer, _call_chunks(reply.calls))
        finish, prompt_tokens = "tool_calls", 10
    else:
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        await _send_events(writer, [_chunk(reasoning_content=text) for text in reply.thoughts])
        for tokens, text in enumerate(reply.deltas):
            if tokens == 1 and reply.hold is not None:
                await reply.hold.wait()
            await _send_events(writer, [_chunk(content=text)])
        finish, prompt_tokens = reply.finish_reason, reply.prompt_tokens
        tokens = len(reply.deltas)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    }
    if isinstance(reply, Text) and reply.cached_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": reply.cached_tokens}
    await _send_events(writer, [_chunk(finish), {**_chunk(), "choices": [], "usage": usage}])
    await _send_chunk(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _call_chunks(calls: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    chunks = []
    for index, (name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        head = {"name": name, "arguments": arguments[:half]}
        chunks.append(
            _chunk(
                tool_calls=[
                    {"index": index, "id": f"call_{index}", "type": "function", "function": head}
                ]
            )
        )
        tail = {"arguments": arguments[half:]}
        chunks.append(_chunk(tool_calls=[{"index": index, "function": tail}]))
    return chunks


def _chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {
        "id": "scripted",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "scripted-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def _whole(reply: Text | Calls) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    if isinstance(reply, Calls):
        message["content"] = reply.text
        message["tool_calls"] = [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for index, (name, arguments) in enumerate(reply.calls)
        ]
        finish = "tool_calls"
    else:
        message["content"] = "".join(reply.deltas)
        finish = reply.finish_reason
    return {
        "id": "scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted-model",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


async def _open_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    await writer.drain()


async def _send_events(writer: asyncio.StreamWriter, events: Iterable[dict[str, Any]]) -> None:
    for event in events:
        await _send_chunk(writer, b"data: " + json.dumps(event).encode() + b"\n\n")


async def _send_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    await writer.drain()


async def _send(
    writer: asyncio.StreamWriter, body: Body, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    reason = HTTPStatus(body.status).phrase
    lines = [
        f"HTTP/1.1 {body.status} {reason}",
        f"Content-Type: {body.content_type}",
        f"Content-Length: {len(body.content)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body.content)
    await writer.drain()
