"""The commands of `antiphon dead`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from antiphon.output import EXIT_USAGE, complain

dead_app = typer.Typer(
    help="Messages whose handling crashed: list, show, retry, drop.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Letters = Annotated[
    list[str] | None, typer.Argument(help="Letters from `dead list`, or how they begin.")
]
Everything = Annotated[bool, typer.Option("--all", help="All letters.")]


def _run(work: Coroutine[Any, Any, None]) -> None:
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    asyncio.run(work)


def _named(letters: list[str] | None, *, everything: bool) -> list[str]:
    if bool(letters) == everything:
        complain("name the letters (see `antiphon dead list`), or use --all", EXIT_USAGE)
    return letters or []


@dead_app.command("list")
def dead_list(json: Json = False, broker: Broker = None) -> None:  # noqa: FBT002  (a flag of the command line)
    """Show the messages whose handling crashed."""
    from antiphon import dead_letters

    _run(dead_letters.show_list(json=json, broker=broker))


@dead_app.command("show")
def dead_show(
    letter: Annotated[str, typer.Argument(help="A letter from `dead list`, or how it begins.")],
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show one of them, with what the message said."""
    from antiphon import dead_letters

    _run(dead_letters.show(letter, json=json, broker=broker))


@dead_app.command("retry")
def dead_retry(
    letters: Letters = None,
    everything: Everything = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Have their workers try them again."""
    names = _named(letters, everything=everything)
    from antiphon import dead_letters

    _run(dead_letters.retry(names, broker=broker))


@dead_app.command("drop")
def dead_drop(
    letters: Letters = None,
    everything: Everything = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Throw them away."""
    names = _named(letters, everything=everything)
    from antiphon import dead_letters

    _run(dead_letters.drop(names, broker=broker))
