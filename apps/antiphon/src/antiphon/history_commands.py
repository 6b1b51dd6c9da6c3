"""The commands of `antiphon history`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from antiphon.output import EXIT_USAGE, complain

T = TypeVar("T")

MAX_NAMED = 1000

history_app = typer.Typer(
    help="Past conversations: list, show, search, export, delete.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Site = Annotated[str | None, typer.Option("--site", help="Only this site's, or person's.")]
Skip = Annotated[int, typer.Option("--skip", min=0, help="How many to pass over.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="How many at most.")]
Sessions = Annotated[list[str] | None, typer.Argument(help="Sessions from `history list`.")]


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    return asyncio.run(work)


@history_app.command("list")
def history_list(
    site: Site = None,
    limit: Limit = 20,
    skip: Skip = 0,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show the sessions, the last first.

    A session ends when nothing was said for a while (session_idle_min).
    """
    from antiphon import history

    _run(history.show_list(site, skip=skip, limit=limit, json=json, broker=broker))


@history_app.command("show")
def history_show(
    session: Annotated[
        str | None, typer.Argument(help="A session from `history list`; else the last.")
    ] = None,
    site: Site = None,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show what was said in one session."""
    if session is not None and site is not None:
        complain("name a session or a site, not both", EXIT_USAGE)
    from antiphon import history

    _run(history.show(session, site, json=json, broker=broker))


@history_app.command("search")
def history_search(
    words: Annotated[list[str], typer.Argument(help="All of them, in any order and case.")],
    site: Site = None,
    limit: Limit = 20,
    skip: Skip = 0,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Find what was said by its words, the newest first."""
    text = " ".join(words).strip()
    if not text:
        complain("there is no word to search for", EXIT_USAGE)
    if len(text) > MAX_NAMED:
        complain("that is too long to search for; name a few words", EXIT_USAGE)
    from antiphon import history

    _run(history.search(text, site, skip=skip, limit=limit, json=json, broker=broker))


@history_app.command("export")
def history_export(
    sessions: Sessions = None,
    site: Site = None,
    style: Annotated[
        Literal["jsonl", "text"],
        typer.Option("--format", help="jsonl is a line of JSON for each thing said."),
    ] = "jsonl",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; it must not be there yet.")
    ] = None,
    broker: Broker = None,
) -> None:
    """Write out sessions, or all that there are."""
    if sessions and site is not None:
        complain("name sessions or a site, not both", EXIT_USAGE)
    from antiphon import history

    lines = _run(history.export(sessions or [], site, style, broker=broker))
    if out is None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    else:
        history.write_private(out, lines)


@history_app.command("delete")
def history_delete(
    sessions: Sessions = None,
    site: Annotated[str | None, typer.Option("--site", help="All of this site, or person.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions.")] = False,  # noqa: FBT002  (a flag of the command line)
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002  (a flag of the command line)
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Delete sessions for good, with all that was said."""
    if bool(sessions) + (site is not None) + everything != 1:
        complain(
            "name the sessions (see `antiphon history list`), or use --site or --all", EXIT_USAGE
        )
    names = list(dict.fromkeys(sessions or []))
    if len(names) > MAX_NAMED:
        complain(f"name at most {MAX_NAMED} sessions at once", EXIT_USAGE)
    from antiphon import history

    if not yes:
        how_many = len(names) or _run(history.count(site, broker=broker))
        whose = f" of {site}" if site is not None else ""
        what = "1 session" if how_many == 1 else f"{how_many} sessions"
        if how_many:
            typer.confirm(f"Delete {what}{whose} for good?", abort=True, err=True)
    _run(history.delete(names, site, json=json, broker=broker))
