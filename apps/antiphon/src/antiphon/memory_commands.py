"""The commands of `antiphon memory`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from antiphon.output import EXIT_USAGE, EXIT_WRONG, complain, print_json

memory_app = typer.Typer(
    help="What is remembered: list, search, forget, export, copy.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="household, person:NAME or site:NAME; repeatable; else all."),
]
Scope = Annotated[str, typer.Option("--scope", help="household, person:NAME or site:NAME.")]
Superseded = Annotated[bool, typer.Option("--all", help="Also what was superseded.")]
Everything = Annotated[bool, typer.Option("--everything", help="All that is remembered.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; forget all that matches.")]


def _run(work: Coroutine[Any, Any, bool | None]) -> None:
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    if asyncio.run(work) is False:
        raise SystemExit(EXIT_WRONG)


@memory_app.command("list")
def memory_list(
    scopes: Scopes = None,
    superseded: Superseded = False,  # noqa: FBT002  (a flag of the command line)
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show what is remembered, oldest first."""
    from antiphon import memories

    _run(memories.show_list(scopes or [], superseded=superseded, json=json, broker=broker))


@memory_app.command("search")
def memory_search(
    text: Annotated[str, typer.Argument(help="A question, or a few words.")],
    scopes: Scopes = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many at the most.")] = 10,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show what has to do with a text, best first."""
    from antiphon import memories

    _run(memories.search(text, scopes or ["all"], count=count, json=json, broker=broker))


@memory_app.command("remember")
def memory_remember(
    text: Annotated[str, typer.Argument(help="A sentence that can stand alone.")],
    scope: Scope = "household",
    broker: Broker = None,
) -> None:
    """Remember a text."""
    if not text.strip():
        complain("there is nothing to remember", EXIT_USAGE)
    from antiphon import memories

    _run(memories.remember(text, scope, broker=broker))


@memory_app.command("forget")
def memory_forget(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids from `memory list`.")] = None,
    query: Annotated[
        str | None, typer.Option("--query", help="What matches; asks which of it.")
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="All in this scope, or where --query looks; repeatable."),
    ] = None,
    everything: Everything = False,  # noqa: FBT002  (a flag of the command line)
    yes: Yes = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Delete memories for good: by id, by query, by scope, or all."""
    whole = bool(scopes) and query is None
    if sum((bool(ids), query is not None, whole, everything)) != 1 or (ids and scopes):
        complain("forget takes one of: ids, --query TEXT, --scope SCOPE, --everything", EXIT_USAGE)
    from antiphon import memories

    if ids:
        _run(memories.forget(ids, broker=broker))
    elif query is not None:
        _run(memories.forget_matching(query, scopes or ["all"], yes=yes, broker=broker))
    else:
        _run(memories.forget_scopes(scopes or ["all"], yes=yes, broker=broker))


@memory_app.command("export")
def memory_export(
    file: Annotated[str, typer.Argument(help="A new file; - is standard output.")],
    scopes: Scopes = None,
    broker: Broker = None,
) -> None:
    """Write all that is remembered, a JSON object in each line."""
    from antiphon import memories

    _run(memories.export_to(file, scopes or [], broker=broker))


@memory_app.command("import")
def memory_import(
    file: Annotated[str, typer.Argument(help="From `memory export`; - is standard input.")],
    broker: Broker = None,
) -> None:
    """Take in what was exported; what is there already is passed over."""
    from antiphon import memories

    _run(memories.import_from(file, broker=broker))


@memory_app.command("copy")
def memory_copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="sqlite:PATH, postgresql://user@host/name, http://host:19530/name (Milvus), or "
            "sqlite, postgresql, milvus: where the settings say.",
        ),
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same; empty, but for --merge.")],
    merge: Annotated[bool, typer.Option("--merge", help="Add to what is there.")] = False,  # noqa: FBT002  (a flag of the command line)
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
) -> None:
    """Copy all memories from one store into another, and verify it.

    Stop the memory worker first. Conversations and documents are not copied.
    """
    import asyncio

    from antiphon_runtime import configure_logs

    from antiphon import memory_copying

    configure_logs("cli", level="error", style="text")
    done = asyncio.run(memory_copying.copy(source, target, merge=merge))
    if json:
        print_json(done)
    else:
        typer.echo(memory_copying.sentence(done))
