"""The command `antiphon mcp`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

import sys
from typing import Annotated

import typer

from antiphon.output import EXIT_CONFIG, complain

Site = Annotated[str, typer.Option("--site", help="The room that is meant when none is named.")]
Http = Annotated[bool, typer.Option("--http", help="Over HTTP, not on standard input and output.")]
Port = Annotated[int, typer.Option(min=1, max=65_535, help="With --http: the port.")]
Host = Annotated[str, typer.Option(help="With --http: where to listen.")]
Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]


def mcp(
    site: Site = "default",
    http: Http = False,  # noqa: FBT002  (a flag of the command line)
    host: Host = "127.0.0.1",
    port: Port = 8770,
    broker: Broker = None,
) -> None:
    """Offer the house to other assistants, as an MCP server."""
    import asyncio

    try:
        from antiphon.mcp_server import serving
    except ImportError:
        from antiphon_runtime.extras import install_command

        complain(f"an MCP server needs the mcp library: {install_command('tools')}", EXIT_CONFIG)
    from antiphon_contracts import ConfigError
    from antiphon_runtime import RuntimeSettings, configure_logs, load_settings

    configure_logs("mcp", level="error", style="text")
    if not http:
        asyncio.run(serving.serve_on_standard_streams(site, broker))
        return
    path = load_settings(RuntimeSettings).data_dir / "mcp-token"
    try:
        token = serving.token_in(path)
    except OSError as error:
        msg = f"the token cannot be kept in {path}: {error.strerror}"
        raise ConfigError(msg) from error
    sys.stderr.write(
        f"MCP at http://{host}:{port}{serving.PATH}\n"
        f"with the header Authorization: Bearer TOKEN; the token is in {path}\n"
    )
    asyncio.run(serving.serve_over_http(site, host, port, token, broker))
