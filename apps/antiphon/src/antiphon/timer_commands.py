"""The commands of `antiphon timers`."""

# ruff: noqa: PLC0415  (what a command needs is imported when it is run)

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

timers_app = typer.Typer(
    help="Timers, alarms, reminders: list, set, cancel, stop.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Site = Annotated[str | None, typer.Option("--site", help="Only at this site; else everywhere.")]
Which = Annotated[str | None, typer.Argument(help="A name, or the end of an id from the list.")]
Every = Annotated[bool, typer.Option("--all", help="All that fit, if there are several.")]


def _run(work: Coroutine[Any, Any, None]) -> None:
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    asyncio.run(work)


@timers_app.callback()
def timers(context: typer.Context) -> None:
    """Timers, alarms, reminders: list, set, cancel, stop."""
    if context.invoked_subcommand is None:
        timers_list()


@timers_app.command("list")
def timers_list(
    site: Site = None,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Show what is set, soonest first."""
    from antiphon import timers as house_timers

    _run(house_timers.show_list(site=site, json=json, broker=broker))


@timers_app.command("set")
def timers_set(
    when: Annotated[str, typer.Argument(help="A length, 5m or 1h30m; or a time of day, 7:30.")],
    name: Annotated[str, typer.Option("--name", help="What it is called.")] = "",
    kind: Annotated[
        str | None, typer.Option("--kind", help="timer, alarm or reminder; else what fits.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help="What a reminder says.")] = "",
    days: Annotated[
        str | None, typer.Option("--days", help="Comes again: mon,wed or mon-fri or daily.")
    ] = None,
    on: Annotated[str | None, typer.Option("--on", help="On this date, 2026-12-24.")] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="Of the time of day, Europe/Paris; else here.")
    ] = None,
    site: Annotated[str, typer.Option("--site", help="Where it rings.")] = "default",
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    broker: Broker = None,
) -> None:
    """Set a timer, an alarm or a reminder."""
    from antiphon import timers as house_timers

    asked = house_timers.asked_for(
        when, kind=kind, days=days, text=text, name=name, on=on, zone=zone
    )
    _run(house_timers.set_timer(asked, site=site, json=json, broker=broker))


@timers_app.command("cancel")
def timers_cancel(
    which: Which = None,
    every: Every = False,  # noqa: FBT002  (a flag of the command line)
    site: Site = None,
    broker: Broker = None,
) -> None:
    """Take a timer away, also one that rings or comes again."""
    from antiphon import timers as house_timers

    _run(house_timers.change("cancel", which, every=every, site=site, broker=broker))


@timers_app.command("pause")
def timers_pause(
    which: Which = None,
    every: Every = False,  # noqa: FBT002  (a flag of the command line)
    site: Site = None,
    broker: Broker = None,
) -> None:
    """Let a timer stand still."""
    from antiphon import timers as house_timers

    _run(house_timers.change("pause", which, every=every, site=site, broker=broker))


@timers_app.command("resume")
def timers_resume(
    which: Which = None,
    every: Every = False,  # noqa: FBT002  (a flag of the command line)
    site: Site = None,
    broker: Broker = None,
) -> None:
    """Let a timer that stands still go on."""
    from antiphon import timers as house_timers

    _run(house_timers.change("resume", which, every=every, site=site, broker=broker))


@timers_app.command("add", context_settings={"ignore_unknown_options": True})
def timers_add(
    length: Annotated[str, typer.Argument(help="How much more: 5m; -5m takes away.")],
    which: Which = None,
    every: Every = False,  # noqa: FBT002  (a flag of the command line)
    site: Site = None,
    broker: Broker = None,
) -> None:
    """Give a timer more time, or less."""
    from antiphon import timers as house_timers
    from antiphon.durations import parse_duration

    seconds = parse_duration(length)
    _run(house_timers.change("add", which, every=every, seconds=seconds, site=site, broker=broker))


@timers_app.command("stop")
def timers_stop(which: Which = None, site: Site = None, broker: Broker = None) -> None:
    """Silence what rings."""
    from antiphon import timers as house_timers

    _run(house_timers.change("stop", which, site=site, broker=broker))


@timers_app.command("snooze")
def timers_snooze(
    length: Annotated[str | None, typer.Argument(help="For how long; else 9 minutes.")] = None,
    site: Site = None,
    broker: Broker = None,
) -> None:
    """Silence what rings, to ring again after a while."""
    from antiphon import timers as house_timers
    from antiphon.durations import parse_duration

    seconds = None if length is None else parse_duration(length)
    _run(house_timers.change("snooze", seconds=seconds, site=site, broker=broker))
