"""The commands.

What a command needs is imported when it is run: `antiphon --help` and `antiphon ask` start without
engines, numpy and whatever else only others use.
"""

# ruff: noqa: PLC0415  (see above)

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from antiphon import live_command_line
from antiphon.dead_commands import dead_app
from antiphon.history_commands import history_app
from antiphon.knowledge_commands import knowledge_app
from antiphon.mcp_server.command_line import mcp
from antiphon.memory_commands import memory_app
from antiphon.output import (
    EXIT_CONFIG,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    EXIT_WRONG,
    complain,
    print_json,
)
from antiphon.secure.command_line import secure_app
from antiphon.timer_commands import timers_app
from antiphon.tool_commands import tools_app

if TYPE_CHECKING:
    from antiphon_contracts import AntiphonError

T = TypeVar("T")

app = typer.Typer(
    name="antiphon",
    help="Antiphon: a private voice assistant that runs at home.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would double the time until it is there
)
models_app = typer.Typer(
    help="Model weights: list, fetch, verify.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(models_app, name="models")
app.add_typer(secure_app, name="secure")
app.add_typer(history_app, name="history")
app.add_typer(dead_app, name="dead")
app.add_typer(memory_app, name="memory")
app.add_typer(knowledge_app, name="knowledge")
app.add_typer(timers_app, name="timers")
app.add_typer(tools_app, name="tools")
app.command()(mcp)

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Microphone = Annotated[bool, typer.Option("--mic", help="Record with the satellite's microphone.")]
Defaults = Annotated[bool, typer.Option("--defaults", help="All that the settings in force need.")]
Satellite = Annotated[
    str | None, typer.Option("--satellite", help="Only this one, e.g. satellite-1.")
]
Secure = Annotated[
    bool, typer.Option("--secure", help="Open to the network, as `antiphon secure` set it up.")
]
OwnManager = Annotated[
    bool, typer.Option("--user", help="For your own service manager: needs no root.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the unit and write nothing.")]
Site = Annotated[str, typer.Option("--site", help="The site to speak to.")]


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    try:
        app()
    except SystemExit:
        raise
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except _foreseen() as error:
        complain(str(error), _exit_code(error))


def _foreseen() -> type[AntiphonError]:
    from antiphon_contracts import AntiphonError

    return AntiphonError


def _exit_code(error: AntiphonError) -> int:
    from antiphon_contracts import ConfigError

    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_WRONG


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end, with nothing in the log but errors."""
    import asyncio

    from antiphon_runtime import configure_logs

    configure_logs("cli", level="error", style="text")
    return asyncio.run(work)


@app.command()
def up(
    broker: Annotated[
        str | None, typer.Option("--broker", help="Use this broker instead of an embedded one.")
    ] = None,
    broker_kind: Annotated[
        Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Which embedded broker.")
    ] = "auto",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Port of the embedded broker; else a free one."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A kind of worker that runs elsewhere; repeatable.")
    ] = None,
    secure: Secure = False,  # noqa: FBT002  (a flag of the command line)
    listen: Annotated[
        str | None,
        typer.Option(help="Address to listen on; else this machine only, or all with --secure."),
    ] = None,
    metrics: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=1, max=65_535, help="Serve metrics on this port, e.g. 9464."
        ),
    ] = None,
) -> None:
    """Start everything here and keep it running until Ctrl-C."""
    from rich.console import Console

    from antiphon.up import UpOptions
    from antiphon.up import up as run

    options = UpOptions(broker, broker_kind, port, tuple(without or ()), secure, listen, metrics)
    _run(run(options, Console()))


@app.command()
def demo(
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    out: Annotated[
        Path | None, typer.Option(help="Folder for the answers' WAVs; else ./demo-out.")
    ] = None,
) -> None:
    """Start everything, ask aloud, and check the spoken answers."""
    from rich.console import Console

    from antiphon.demo import demo as run

    results = _run(run(out, Console(stderr=json)))
    if results is None:
        raise SystemExit(EXIT_INTERRUPTED)
    if json:
        print_json({"turns": [result.as_json() for result in results]})
    if any(result.faults for result in results):
        raise SystemExit(EXIT_WRONG)


@app.command()
def ask(
    text: Annotated[str | None, typer.Argument(help="The question; or use --wav or --mic.")] = None,
    wav: Annotated[
        Path | None, typer.Option("--wav", help="A recording: WAV, FLAC, OGG or MP3.")
    ] = None,
    mic: Microphone = False,  # noqa: FBT002  (a flag of the command line)
    out: Annotated[Path | None, typer.Option(help="Write the answer's sound here.")] = None,
    json: Json = False,  # noqa: FBT002  (a flag of the command line)
    site: Site = "default",
    broker: Broker = None,
) -> None:
    """Ask the running assistant a question."""
    if sum((text is not None, wav is not None, mic)) != 1:
        complain("ask takes exactly one of: a text, --wav FILE, --mic", EXIT_USAGE)
    if text is not None and not text.strip():
        complain("the question is empty", EXIT_USAGE)
    from antiphon.talking import ask as run
    from antiphon.talking import read_recording

    recording = None if wav is None else read_recording(wav)
    _run(run(text, recording, out, json=json, site=site, broker=broker))


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say.")],
    site: Site = "default",
    broker: Broker = None,
) -> None:
    """Speak a text at a site."""
    if not text.strip():
        complain("there is nothing to say", EXIT_USAGE)
    from antiphon.talking import say as run

    _run(run(text, site, broker))


@app.command()
def pub(
    topic: Annotated[str, typer.Argument(help="Topic below the base, e.g. ask.")],
    message: Annotated[str, typer.Argument(help="The message, as it is.")],
    broker: Broker = None,
) -> None:
    """Publish a raw MQTT message to the running stack."""
    from antiphon.talking import publish as run

    _run(run(topic, message, broker))


@app.command()
def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Recordings: WAV, FLAC, OGG or MP3.")],
) -> None:
    """Print what is said in recordings.

    With several, a line each: path, tab, text.
    """
    from antiphon.transcription import transcribe_files as run

    if not _run(run(files)):
        raise SystemExit(EXIT_WRONG)


live_command_line.register(app, _run)


@app.command()
def status(json: Json = False, broker: Broker = None) -> None:  # noqa: FBT002  (a flag of the command line)
    """Show how the workers are."""
    from antiphon.talking import status as run

    _run(run(json=json, broker=broker))


@app.command()
def metrics(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 is any free one.")] = 9464,
    host: Annotated[
        str, typer.Option(help="Where to listen; metrics have no password.")
    ] = "127.0.0.1",
    broker: Broker = None,
) -> None:
    """Serve the house's metrics to Prometheus until Ctrl-C."""
    try:
        from antiphon.metrics import export as run
    except ImportError:
        from antiphon_runtime.extras import install_command

        complain(f"metrics need prometheus-client: {install_command('metrics')}", EXIT_CONFIG)
    _run(run(host, port, broker))


@app.command()
def mute(satellite: Satellite = None, broker: Broker = None) -> None:
    """Mute the microphones of the house, or one."""
    from antiphon.muting import mute as run

    _run(run(muted=True, satellite=satellite, broker=broker))


@app.command()
def unmute(satellite: Satellite = None, broker: Broker = None) -> None:
    """Let the microphones listen again, or one."""
    from antiphon.muting import mute as run

    _run(run(muted=False, satellite=satellite, broker=broker))


@app.command()
def satellite(
    site: Annotated[str | None, typer.Option(help="The site it serves.")] = None,
    broker: Broker = None,
    speaker: Annotated[
        str | None, typer.Option(help="auto, sounddevice, file, null, or a sound device's name.")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option(help="auto, sounddevice, file, null, or a sound device's name.")
    ] = None,
) -> None:
    """Be the microphone and speaker of a site, until Ctrl-C."""
    from antiphon.remote_satellite import become_satellite as run

    run(site, broker, speaker, microphone)


@app.command()
def doctor(json: Json = False, broker: Broker = None) -> None:  # noqa: FBT002  (a flag of the command line)
    """Say what is wrong here, and the command that mends it."""
    from antiphon import doctor as medicine

    findings = _run(medicine.examine(broker))
    medicine.show(findings, json=json)
    if any(finding.verdict == "wrong" for finding in findings):
        raise SystemExit(EXIT_WRONG)


@app.command("install-service")
def install_service(
    user: OwnManager = False,  # noqa: FBT002  (a flag of the command line)
    dry_run: DryRun = False,  # noqa: FBT002  (a flag of the command line)
) -> None:
    """Write a systemd unit that keeps Antiphon running.

    It prints the two commands that put the unit into service.
    """
    from antiphon import systemd_unit

    systemd_unit.install(user=user, dry_run=dry_run)


@models_app.command("list")
def models_list(json: Json = False) -> None:  # noqa: FBT002  (a flag of the command line)
    """Show known weights: size, licence, and whether they are here."""
    from antiphon import weights

    weights.show(json=json)


@models_app.command("fetch")
def models_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names from `models list`.")] = None,
    defaults: Defaults = False,  # noqa: FBT002  (a flag of the command line)
) -> None:
    """Fetch and verify the weights that are not here yet."""
    if not names and not defaults:
        complain(
            "name the weights to fetch (see `antiphon models list`), or use --defaults", EXIT_USAGE
        )
    from antiphon import weights

    _run(weights.fetch_named(names or [], defaults=defaults))


@models_app.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Else all that are here.")] = None,
) -> None:
    """Hash every file of the weights again and say which are broken."""
    from antiphon import weights

    if not weights.verify(names or []):
        raise SystemExit(EXIT_WRONG)


@app.command()
def version() -> None:
    """Print the version."""
    from antiphon_contracts import __version__

    typer.echo(f"antiphon {__version__}")
