"""The live commands as the command line offers them."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from antiphon.output import EXIT_USAGE, complain

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
JsonLines = Annotated[bool, typer.Option("--json", help="A line of JSON for each event.")]
Site = Annotated[str, typer.Option("--site", help="The site.")]


def register(app: typer.Typer, run: Run) -> None:
    """Add the commands to the command line."""

    @app.command()
    def talk(site: Site = "default", broker: Broker = None) -> None:
        """Converse in this terminal, in writing or aloud."""
        from antiphon.live_commands import talk as work

        run(work(site, broker))

    @app.command()
    def listen(
        site: Annotated[str | None, typer.Option(help="Only this site; else all.")] = None,
        json: JsonLines = False,  # noqa: FBT002  (a flag of the command line)
        broker: Broker = None,
    ) -> None:
        """Show live what is heard and answered, until Ctrl-C."""
        from antiphon.live_commands import listen_in as work

        run(work(site, json=json, broker=broker))

    @app.command()
    def announce(
        text: Annotated[str, typer.Argument(help="What to say.")],
        site: Annotated[
            list[str] | None, typer.Option(help="Where; repeatable. Else everywhere.")
        ] = None,
        priority: Annotated[
            int, typer.Option(min=0, max=100, help="From 20 on (an alarm) it interrupts.")
        ] = 0,
        voice: Annotated[str | None, typer.Option(help="A voice; else the site's own.")] = None,
        broker: Broker = None,
    ) -> None:
        """Say a text at some sites, or all."""
        if not text.strip():
            complain("there is nothing to say", EXIT_USAGE)
        from antiphon.live_commands import announce as work

        run(work(text, site or [], priority=priority, voice=voice, broker=broker))

    @app.command()
    def dialogue(
        action: Annotated[
            Literal["pause", "resume", "stop", "repeat", "listen"],
            typer.Argument(help="What to do, as you would say it; listen is the wake word."),
        ],
        site: Site = "default",
        broker: Broker = None,
    ) -> None:
        """Pause, resume, stop or repeat what is said."""
        from antiphon.live_commands import control_dialogue as work

        run(work(action, site, broker))

    @app.command()
    def record(
        out: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.")],
        site: Site = "default",
        broker: Broker = None,
    ) -> None:
        """Write the next turn at a site to a file."""
        from antiphon.recorded_turns import record as work

        run(work(out, site, broker=broker))

    @app.command()
    def replay(
        file: Annotated[Path, typer.Argument(help="A turn that `record` wrote.")],
        entry: Annotated[
            Literal["audio", "transcript", "reply"],
            typer.Option("--from", help="Where to begin."),
        ] = "audio",
        site: Annotated[str | None, typer.Option(help="Where; else where it was.")] = None,
        json: Json = False,  # noqa: FBT002  (a flag of the command line)
        broker: Broker = None,
    ) -> None:
        """Let a recorded turn take place once more."""
        from antiphon.recorded_turns import replay as work

        run(work(file, entry, json=json, site=site, broker=broker))
