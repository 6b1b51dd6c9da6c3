"""The commands of `antiphon secure`; what each needs is imported when it is run."""

# ruff: noqa: PLC0415  (see above)

from __future__ import annotations

from typing import Annotated

import typer

secure_app = typer.Typer(
    help="Open the house to your network: TLS, and users.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A user's name; see `antiphon secure list`.")]


@secure_app.command("init")
def init(
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            help="A name or address of this machine, as others reach it; repeatable, or "
            "separated by commas. Else its own name."
        ),
    ] = None,
) -> None:
    """Make certificates and users; what is there already stays."""
    from rich.console import Console

    from antiphon.secure.commands import init as run

    run([host.strip() for text in hosts or () for host in text.split(",")], Console())


@secure_app.command("add-satellite")
def add_satellite(
    site: Annotated[str, typer.Argument(help="The room, e.g. kitchen.")],
) -> None:
    """Let the satellite of a room in; it reaches that room alone."""
    from rich.console import Console

    from antiphon.secure.commands import add_satellite as run

    run(site, Console())


@secure_app.command("add-client")
def add_client(
    name: Annotated[str, typer.Argument(help="A name for it, e.g. phone.")],
) -> None:
    """Let a client in; it may ask, say, send recordings and hear answers."""
    from rich.console import Console

    from antiphon.secure.commands import add_client as run

    run(name, Console())


@secure_app.command("add-worker")
def add_worker(
    name: Annotated[str, typer.Argument(help="Its kind, a hyphen and more, e.g. stt-2.")],
) -> None:
    """Let one more worker in, for another machine."""
    from rich.console import Console

    from antiphon.secure.commands import add_worker as run

    run(name, Console())


@secure_app.command("add-device")
def add_device(
    name: Annotated[str, typer.Argument(help="A name for it, e.g. zigbee2mqtt.")],
    topics: Annotated[list[str], typer.Argument(help="Its topics, e.g. 'zigbee2mqtt/#'.")],
) -> None:
    """Let a lamp, or a bridge of lamps, in; the assistant may switch it, and nothing more."""
    from rich.console import Console

    from antiphon.secure.commands import add_device as run

    run(name, topics, Console())


@secure_app.command("remove")
def remove(name: Name) -> None:
    """Let whoever was added in no more."""
    from rich.console import Console

    from antiphon.secure.commands import remove as run

    run(name, Console())


@secure_app.command("rotate")
def rotate(
    name: Annotated[str | None, typer.Argument(help="A user's name; else all.")] = None,
) -> None:
    """Give a user, or all, a new secret."""
    from rich.console import Console

    from antiphon.secure.commands import rotate as run

    run(name, Console())


@secure_app.command("compose")
def compose() -> None:
    """Make what the compose stack needs: a compose file, and files to mount."""
    from rich.console import Console

    from antiphon.secure.commands import compose as run

    run(Console())


@secure_app.command("show")
def show(name: Name) -> None:
    """Print a user's secret, and nothing else."""
    from rich.console import Console

    from antiphon.secure.commands import show as run

    run(name, Console())


@secure_app.command("list")
def list_users() -> None:
    """Print the users: name, role, site."""
    from rich.console import Console

    from antiphon.secure.commands import list_users as run

    run(Console())
