"""An MCP server that does as a test tells it, at the other end of two streams in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from antiphon_runtime import running
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

Act = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

ANYTHING: dict[str, Any] = {"type": "object"}


def text(said: str, *, failed: bool = False) -> dict[str, Any]:
    """Return a result of one text."""
    return {"content": [{"type": "text", "text": said}], "isError": failed}


class ScriptedServer:
    """Speaks the protocol of 2025, answers calls by functions, and can be killed.

    Attributes:
        tools: as `tools/list` has them, by name.
        acts: what each call does.
        resources: address and text of what can be read.
        calls: name and arguments of each call that came in.
        cancelled: how many calls were called off.
        starts: how often it was connected to.
        refuses: whether it dies at each start.
        page: how many tools a page of the list has.
        lists: how often a page was asked for; `asked` is set at the first.
        floods: whether it says after each page that the list has changed.
        held: while this is not set, no list is answered.
    """

    def __init__(self) -> None:
        self.tools: dict[str, dict[str, Any]] = {}
        self.acts: dict[str, Act] = {}
        self.resources: dict[str, str] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.cancelled = 0
        self.starts = 0
        self.refuses = False
        self.page = 2
        self.lists = 0
        self.asked = asyncio.Event()
        self.floods = False
        self.held = asyncio.Event()
        self.held.set()
        self._ended = asyncio.Event()
        self._send: Callable[[Any], Awaitable[None]] | None = None
        self._running: dict[Any, asyncio.Task[None]] = {}

    def add(self, name: str, act: Act | None = None, **more: Any) -> None:
        """Have a tool; `more` goes into its entry, e.g. `annotations`."""
        self.tools[name] = {"name": name, "inputSchema": ANYTHING, **more}

        async def done(_arguments: dict[str, Any]) -> dict[str, Any]:
            return text(f"{name} done")

        self.acts[name] = act or done

    def kill(self) -> None:
        """End as a killed process does."""
        self._ended.set()

    async def tell_changed(self) -> None:
        """Say that the list of tools has changed."""
        assert self._send is not None
        method = "notifications/tools/list_changed"
        await self._send(JSONRPCNotification(jsonrpc="2.0", method=method))

    def connect(self, ended: asyncio.Event) -> AbstractAsyncContextManager[TransportStreams]:
        """See `antiphon_tools.engine.servers.session.Connect`."""
        return self._streams(ended)

    @asynccontextmanager
    async def _streams(self, ended: asyncio.Event) -> AsyncIterator[TransportStreams]:
        self.starts += 1
        self._ended = ended
        out, read = anyio.create_memory_object_stream[SessionMessage | Exception](16)
        write, into = anyio.create_memory_object_stream[SessionMessage](16)
        if self.refuses:
            out.close()

        async def send(message: Any) -> None:
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                await out.send(SessionMessage(message))

        async def serve() -> None:
            async with running() as group:
                try:
                    async for item in into:
                        self._on_message(item.message, send, group)
                except asyncio.CancelledError:
                    for task in self._running.values():
                        task.cancel()
                    raise

        self._send = send
        async with running(serve=serve()):
            try:
                yield read, write
            finally:
                for stream in (out, read, write, into):
                    stream.close()

    def _on_message(
        self, message: Any, send: Callable[[Any], Awaitable[None]], group: asyncio.TaskGroup
    ) -> None:
        if isinstance(message, JSONRPCRequest):
            task = group.create_task(self._answer(message, send), name=f"answer:{message.id}")
            self._running[message.id] = task
            task.add_done_callback(lambda _: self._running.pop(message.id, None))
        elif isinstance(message, JSONRPCNotification) and message.method.endswith("/cancelled"):
            self.cancelled += 1
            task_of = self._running.get((message.params or {}).get("requestId"))
            if task_of is not None:
                task_of.cancel()

    async def _answer(
        self, request: JSONRPCRequest, send: Callable[[Any], Awaitable[None]]
    ) -> None:
        params = request.params or {}
        result = await self._result(request.method, params)
        if result is None:
            error = ErrorData(code=-32601, message="Method not found")
            await send(JSONRPCError(jsonrpc="2.0", id=request.id, error=error))
        else:
            await send(JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result))

    async def _result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        match method:
            case "initialize":
                return {
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": {"tools": {"listChanged": True}, "resources": {}},
                    "serverInfo": {"name": "scripted", "version": "1"},
                }
            case "tools/list":
                self.lists += 1
                self.asked.set()
                await self.held.wait()
                if self.floods:
                    await self.tell_changed()
                start, every = int(params.get("cursor") or 0), list(self.tools.values())
                more = (
                    {"nextCursor": str(start + self.page)} if start + self.page < len(every) else {}
                )
                return {"tools": every[start : start + self.page], **more}
            case "resources/list":
                return {"resources": [{"uri": uri, "name": uri[-5:]} for uri in self.resources]}
            case "resources/read":
                found = self.resources[params["uri"]]
                return {"contents": [{"uri": params["uri"], "text": found}]}
            case "tools/call":
                arguments = params.get("arguments") or {}
                self.calls.append((params["name"], arguments))
                return await self.acts[params["name"]](arguments)
        return None
