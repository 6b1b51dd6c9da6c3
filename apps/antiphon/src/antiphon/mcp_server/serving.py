"""Serving: the offers as tools of an MCP server, on standard input and output or over HTTP."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from antiphon_contracts import AntiphonError, __version__
from antiphon_runtime.broker.private_file import private_directory, write_private
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from antiphon.house import client_bus
from antiphon.mcp_server.offers import Offers
from antiphon.settings import find_broker

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CONNECT_TIMEOUT_S = 5.0
PATH = "/mcp"
INSTRUCTIONS = (
    "A voice assistant that runs at home. Ask it questions, have it speak in a room, set timers "
    "there, and use its memory."
)
_LOOKS = ("list_timers", "recall")
_TAKES_BACK = ("change_timer",)
_OFFERED = ("ask", "say", "announce", "set_timer", "remember", *_TAKES_BACK, *_LOOKS)


def server_of(offers: Offers) -> MCPServer[Any]:
    """Return an MCP server whose tools are the offers."""
    server: MCPServer[Any] = MCPServer(
        "antiphon", instructions=INSTRUCTIONS, version=__version__, log_level="ERROR"
    )
    for name in _OFFERED:
        hints = ToolAnnotations(
            read_only_hint=name in _LOOKS,
            destructive_hint=name in _TAKES_BACK,
            open_world_hint=False,
        )
        server.add_tool(_translated(getattr(offers, name)), annotations=hints)
    return server


def _translated(offer: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
    """Let what goes wrong be told as the sentence that it is."""

    @functools.wraps(offer)
    async def tool(*args: Any, **kwargs: Any) -> str:
        try:
            return await offer(*args, **kwargs)
        except AntiphonError as error:
            raise ToolError(str(error)) from error

    return tool


async def serve_on_standard_streams(site_id: str, broker: str | None) -> None:
    """Serve whoever started this process, until it closes standard input.

    Raises:
        BusError: there is no broker.
    """
    offers = Offers(client_bus(find_broker(broker)), site_id)
    server = server_of(offers)
    async with offers.open(CONNECT_TIMEOUT_S):
        await server.run_stdio_async()


async def serve_over_http(
    site_id: str, host: str, port: int, token: str, broker: str | None
) -> None:
    """Serve over HTTP whoever shows the token, until cancelled.

    Raises:
        BusError: there is no broker.
    """
    offers = Offers(client_bus(find_broker(broker)), site_id)
    app = server_of(offers).streamable_http_app(
        streamable_http_path=PATH, host=host, stateless_http=True
    )
    config = uvicorn.Config(
        WithToken(app, token), host=host, port=port, log_level="error", access_log=False
    )
    async with offers.open(CONNECT_TIMEOUT_S):
        await uvicorn.Server(config).serve()


def token_in(path: Path) -> str:
    """Return the token that a file holds; one is made if the file is not there. Blocks.

    Raises:
        OSError: the file cannot be read or made.
    """
    if not path.exists():
        private_directory(path.parent)
        write_private(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


class WithToken:
    """Lets only requests through that carry the token.

    Args:
        app: what they are let through to.
        token: as in `Authorization: Bearer TOKEN`.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(shown, self._expected):
                refusal = {"type": "http.response.start", "status": 401, "headers": []}
                await send({**refusal, "headers": [(b"www-authenticate", b"Bearer")]})
                await send({"type": "http.response.body", "body": b"the token is missing\n"})
                return
        await self._app(scope, receive, send)
