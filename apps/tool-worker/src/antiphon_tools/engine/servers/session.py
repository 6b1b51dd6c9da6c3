"""One MCP server: a session that is kept open, and opened anew when it breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog
from antiphon_contracts import AntiphonError, EngineError
from antiphon_runtime import running

from antiphon_tools.tool import ToolError

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import TransportStreams
    from mcp.client.session import IncomingMessage
    from mcp.types import PaginatedResult, Resource, ResourceTemplate, Tool

T = TypeVar("T")
P = TypeVar("P", bound="PaginatedResult")

log = structlog.get_logger(__name__)

Connect = Callable[[asyncio.Event], "AbstractAsyncContextManager[TransportStreams]"]
"""Opens the way to the server; sets the event when the server has gone."""

FIRST_PAUSE_S = 0.5
BRIEF_PAUSE_S = 4.0
LONGEST_PAUSE_S = 60.0
STABLE_S = 10.0
"""A session that held so long is followed by another at once."""
WAIT_S = 15.0
"""How long a call waits for a server that is being started."""
RELIST_S = 2.0
"""A server that says again and again that its list has changed is asked no more often."""
MAX_PAGES = 100
MAX_LISTED = 2_000
"""What a server lists beyond this is not looked at."""
MAX_REASON_CHARS = 200

State = Literal["starting", "up", "down"]


class Lost(EngineError):  # noqa: N818  (as the tree's BusError has WorkerGone)
    """The connection broke during a call: nobody knows what became of it."""


class Offer:
    """What a server has.

    Attributes:
        tools: its tools.
        resources: what it has to read.
        templates: patterns of addresses that can be read.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        resources: Sequence[Resource] = (),
        templates: Sequence[ResourceTemplate] = (),
    ) -> None:
        self.tools = tools
        self.resources = resources
        self.templates = templates


class Session:
    """Keeps a session with one server open.

    Args:
        name: of the server, for people.
        connect: opens the way to it; called anew for each session.
        start_timeout_s: how long it may take until its tools are known.
        wants_resources: whether to ask for what it has to read.
        on_offer: told what the server has, at each start and change.
        on_state: told the state, and why it is down.

    Attributes:
        state: `starting` the first time and after a session that held, `down` after one that did
            not come to be.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        start_timeout_s: float,
        wants_resources: bool,
        on_offer: Callable[[Offer], Awaitable[None]],
        on_state: Callable[[State, str], None],
    ) -> None:
        self.name = name
        self.state: State = "starting"
        self.reason = ""
        self._connect = connect
        self._start_timeout_s = start_timeout_s
        self._wants_resources = wants_resources
        self._on_offer = on_offer
        self._on_state = on_state
        self._client: Client | None = None
        self._changed = asyncio.Event()  # set at each change of state
        self._broken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._relist = asyncio.Event()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping.set()
        self._broken.set()

    async def run(self) -> None:
        """Keep a session open until `stop`; to be run in one task, which owns them all."""
        pause_s = FIRST_PAUSE_S
        await asyncio.to_thread(import_module, "mcp")  # takes seconds
        while not self._stopping.is_set():
            self._broken.clear()
            began = asyncio.get_running_loop().time()
            reason = await self._hold()
            held_s = asyncio.get_running_loop().time() - began
            was_up = self._client is not None
            self._client = None
            if self._stopping.is_set():
                break
            log.warning("server.lost", server=self.name, reason=reason, held_s=round(held_s, 1))
            if was_up and held_s >= STABLE_S:
                pause_s = FIRST_PAUSE_S
            # A server that was there is back in a moment, and calls wait for it.
            is_brief = was_up and pause_s <= BRIEF_PAUSE_S
            self._enter("starting" if is_brief else "down", reason)
            if not (was_up and pause_s == FIRST_PAUSE_S):
                await self._pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        self._enter("down", "it was taken away")

    async def _hold(self) -> str:
        """Open a session and keep it until it breaks; return why it did."""
        try:
            async with asyncio.timeout(self._start_timeout_s) as limit:
                async with self._opened() as client:
                    offer = await self._listed(client)
                    limit.reschedule(None)
                    await self._on_offer(offer)
                    if not self._stopping.is_set():
                        self._client = client
                        self._enter("up", "")
                        await self._attend(client)
        except TimeoutError:
            return f"it did not start within {self._start_timeout_s:g} s"
        except AntiphonError as error:
            return _explained(str(error))
        return "it has ended"

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Client]:
        """Yield a client; what the SDK raises becomes one sentence.

        Raises:
            EngineError: the server cannot be reached, or the session broke.
        """
        from antiphon_contracts import __version__
        from mcp import Client
        from mcp.types import Implementation

        ended = self._broken
        client = Client(
            self._connect(ended),
            message_handler=self._on_message,
            client_info=Implementation(name="antiphon", version=__version__),
            cache=None,
        )
        try:
            async with client:
                yield client
        except AntiphonError:
            raise
        except Exception as error:
            raise EngineError(_reason(error)) from error

    async def _attend(self, client: Client) -> None:
        """Return when the session has broken; until then follow changes of what is on offer."""
        async with running(relist=self._follow(client), listen=self._listen(client)):
            await self._broken.wait()

    async def _follow(self, client: Client) -> None:
        while True:
            await self._relist.wait()
            self._relist.clear()
            try:
                await self._on_offer(await self._listed(client))
            except EngineError as error:
                log.warning("server.not_listed", server=self.name, reason=str(error))
            await asyncio.sleep(RELIST_S)

    async def _listen(self, client: Client) -> None:
        """Subscribe to changes where the protocol wants it; older servers tell unasked."""
        from mcp.types.version import MODERN_PROTOCOL_VERSIONS

        tools = client.server_capabilities.tools
        is_modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
        if not is_modern or tools is None or not tools.list_changed:
            return
        try:
            await self._heed(client)
        except EngineError as error:
            log.info("server.not_followed", server=self.name, reason=str(error))

    async def _heed(self, client: Client) -> None:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._relist.set()
        except Exception as error:
            raise EngineError(_reason(error)) from error

    async def _on_message(self, message: IncomingMessage) -> None:
        from mcp.types import ResourceListChangedNotification, ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification | ResourceListChangedNotification):
            self._relist.set()

    async def _listed(self, client: Client) -> Offer:
        """Return all that the server has, page by page.

        Raises:
            EngineError: it does not tell.
        """
        has = client.server_capabilities
        tools: list[Tool] = []
        try:
            if has.tools:
                tools = await _all(lambda at: client.list_tools(cursor=at), lambda page: page.tools)
            if not has.resources or not self._wants_resources:
                return Offer(tools)
            return Offer(tools, await _resources(client), await _templates(client))
        except Exception as error:
            raise EngineError(_reason(error)) from error

    def _enter(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        self._changed.set()
        self._changed = asyncio.Event()
        self._on_state(state, reason)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    # Calls, from any task

    async def ask(self, request: Callable[[Client], Awaitable[T]]) -> T:
        """Return what the server answers.

        Raises:
            ToolError: it is not there, or it refuses; nothing was done.
            Lost: the connection broke meanwhile.
        """
        client = await self._ready()
        try:
            return await request(client)
        except Exception as error:
            if self._is_lost(error):
                self._broken.set()
                raise Lost(f"The MCP server {self.name} broke off.") from error
            raise ToolError(f"The MCP server {self.name} refused: {_reason(error)}") from error

    def _is_lost(self, error: Exception) -> bool:
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED
        from pydantic import ValidationError

        if isinstance(error, MCPError):
            # A restarted HTTP server does not know the session any more.
            return error.code == CONNECTION_CLOSED or error.message == "Session terminated"
        return not isinstance(error, ValidationError | ValueError | RuntimeError)

    async def _ready(self) -> Client:
        """Return the client; a server that is being started is waited for a while.

        Raises:
            ToolError: it is not there.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                while self.state == "starting" or (self._broken.is_set() and self.state == "up"):
                    await self._changed.wait()
        except TimeoutError:
            pass
        if self.state == "up" and self._client is not None:
            return self._client
        raise ToolError(f"The MCP server {self.name} is not there.")


async def _all(
    ask: Callable[[str | None], Awaitable[P]], items: Callable[[P], Sequence[T]]
) -> list[T]:
    found: list[T] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await ask(cursor)
        found += items(page)
        cursor = page.next_cursor
        if not cursor or len(found) >= MAX_LISTED:
            break
    return found[:MAX_LISTED]


async def _resources(client: Client) -> Sequence[Resource]:
    from mcp import MCPError

    try:
        return await _all(lambda at: client.list_resources(cursor=at), lambda page: page.resources)
    except MCPError:
        return ()  # its tools are there all the same


async def _templates(client: Client) -> Sequence[ResourceTemplate]:
    from mcp import MCPError

    try:
        return await _all(
            lambda at: client.list_resource_templates(cursor=at),
            lambda page: page.resource_templates,
        )
    except MCPError:
        return ()


def _reason(error: BaseException) -> str:
    """Return what went wrong in few words, on one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())[:MAX_REASON_CHARS].rstrip(".")
    return text or type(error).__name__


def _explained(reason: str) -> str:
    """Return a reason with where to look, if it says nothing itself."""
    if reason == "Connection closed":
        return "it closed the connection; the log level debug shows what it says"
    return reason
