"""The commands of `antiphon tools`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from antiphon.output import EXIT_WRONG

tools_app = typer.Typer(
    help="Tools: list, call, and what was called.", no_args_is_help=True, rich_markup_mode=None
)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Site = Annotated[str, typer.Option("--site", help="The site it is called for.")]
Yes = Annotated[bool, typer.Option("--yes", help="Confirmed: nobody is asked aloud.")]


def _run(work: Coroutine[Any, Any, bool | None]) -> None:
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    if asyncio.run(work) is False:
        raise SystemExit(EXIT_WRONG)


@tools_app.command("list")
def tools_list(
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show the tools on offer: built-in ones and those of MCP servers."""
    from antiphon import tool_requests

    _run(tool_requests.show_list(json=json, broker=broker))


@tools_app.command("call")
def tools_call(
    name: Annotated[str, typer.Argument(help="As `antiphon tools list` shows it.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="name=value pairs, or one JSON object.")
    ] = None,
    yes: Yes = False,  # noqa: FBT002  (a flag of the command line)
    site: Site = "default",
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Call a tool and print its result."""
    from antiphon import tool_requests

    given = arguments or []
    _run(tool_requests.call(name, given, site=site, yes=yes, json=json, broker=broker))


@tools_app.command("log")
def tools_log(
    name: Annotated[str | None, typer.Argument(help="Only calls of this tool.")] = None,
    count: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 50,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show which tools were called lately, by whom, and how it ended."""
    from antiphon import tool_requests

    _run(tool_requests.show_log(name, count=count, json=json, broker=broker))
