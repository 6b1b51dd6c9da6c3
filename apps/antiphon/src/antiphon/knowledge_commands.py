"""The commands of `antiphon knowledge`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from antiphon.output import EXIT_USAGE, complain

knowledge_app = typer.Typer(
    help="Documents: add, list, search, remove, refresh.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
AnySite = Annotated[bool, typer.Option("--any-site", help="Follow links to other hosts too.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
Scope = Annotated[str, typer.Option(help="Whose knowledge it is.")]


def _run(work: Coroutine[Any, Any, None]) -> None:
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    asyncio.run(work)


@knowledge_app.command("add")
def knowledge_add(
    sources: Annotated[
        list[str],
        typer.Argument(help="Files, folders, addresses of pages, or - for standard input."),
    ],
    title: Annotated[str | None, typer.Option(help="Instead of the document's own.")] = None,
    depth: Annotated[
        int, typer.Option(min=0, max=10, help="How many links to follow from a page.")
    ] = 0,
    max_pages: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many pages to read at most.")
    ] = 100,
    any_site: AnySite = False,  # noqa: FBT002  (a flag of the command line)
    scope: Scope = "household",
    broker: Broker = None,
) -> None:
    """Give the assistant documents to answer from.

    Text, Markdown, HTML, PDF, EPUB and DOCX; of a folder all such files below it. A document that
    is known already is brought up to date.
    """
    if title is not None and (len(sources) > 1 or depth):
        complain("--title is for a single document", EXIT_USAGE)
    if "-" in sources and title is None:
        complain("name what comes from standard input: --title TITLE", EXIT_USAGE)
    from antiphon.documents import AddOptions, add

    _run(add(sources, AddOptions(title, depth, max_pages, not any_site, scope), broker=broker))


@knowledge_app.command("list")
def knowledge_list(json: Json = False, broker: Broker = None) -> None:  # noqa: FBT002  (a flag of the command line)
    """Show the documents."""
    from antiphon.documents import show_list

    _run(show_list(json=json, broker=broker))


@knowledge_app.command("search")
def knowledge_search(
    text: Annotated[str, typer.Argument(help="The question.")],
    top: Annotated[int, typer.Option(min=1, max=100, help="How many results at most.")] = 5,
    context: Annotated[
        int, typer.Option(min=0, max=5, help="How many neighbouring pieces to show with each.")
    ] = 0,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show what the documents say about something."""
    if not text.strip():
        complain("the question is empty", EXIT_USAGE)
    from antiphon.documents import search

    _run(search(text, top, context, json=json, broker=broker))


@knowledge_app.command("remove")
def knowledge_remove(
    names: Annotated[list[str], typer.Argument(help="Ids, how they begin, or whole titles.")],
    yes: Yes = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Forget documents."""
    from antiphon.documents import remove

    def confirmed(titles: list[str]) -> bool:
        return yes or typer.confirm(f"Remove {', '.join(titles)}?")

    _run(remove(names, confirmed, broker=broker))


@knowledge_app.command("refresh")
def knowledge_refresh(
    names: Annotated[
        list[str] | None, typer.Argument(help="Ids or titles; else all that came from the web.")
    ] = None,
    broker: Broker = None,
) -> None:
    """Fetch documents from the web anew."""
    from antiphon.documents import refresh

    _run(refresh(names or [], broker=broker))
