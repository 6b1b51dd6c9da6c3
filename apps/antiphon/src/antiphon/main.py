"""The commands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from antiphon_contracts import (
    HEALTH,
    SAY_SITE,
    TTS_STATUS,
    AntiphonError,
    ConfigError,
    EngineError,
    Message,
    RawTopic,
    RequestTimeout,
    TtsStatus,
    __version__,
    new_id,
)
from antiphon_runtime import RuntimeSettings, configure_logs, listen, load_settings
from rich.console import Console

from antiphon import doctor as medicine
from antiphon import screens, weights
from antiphon.asking import Asked, Questioner, write_speech
from antiphon.demo import demo as run_demo
from antiphon.house import HouseWatch, client_bus, open_bus
from antiphon.model_commands import models_app
from antiphon.output import EXIT_CONFIG, EXIT_WRONG, Json, complain, print_json
from antiphon.settings import find_broker
from antiphon.transcription import transcriber
from antiphon.up import UpOptions
from antiphon.up import up as run_up

app = typer.Typer(
    name="antiphon",
    help="Antiphon: a private voice assistant that runs at home.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app, name="models")

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="mqtt://user:password@host:port/base; else the running stack."),
]
Microphone = Annotated[bool, typer.Option("--mic", help="Record with the satellite's microphone.")]
Site = Annotated[str, typer.Option("--site", help="The site to speak to.")]


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    configure_logs("cli", level="error", style="text")
    try:
        app()
    except ConfigError as error:
        complain(str(error), EXIT_CONFIG)
    except AntiphonError as error:
        complain(str(error), EXIT_WRONG)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def _out(json: bool) -> Console:  # noqa: FBT001  (a flag from the command line)
    """Return where progress goes: JSON keeps standard output for itself."""
    return Console(stderr=json)


@app.command()
def up(
    broker: Annotated[
        str | None, typer.Option("--broker", help="Use this broker instead of an embedded one.")
    ] = None,
    broker_kind: Annotated[
        Literal["auto", "mosquitto", "amqtt"], typer.Option(help="Which embedded broker.")
    ] = "auto",
    port: Annotated[
        int | None, typer.Option(help="Port of the embedded broker; else a free one.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A kind of worker that runs elsewhere; repeatable.")
    ] = None,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    options = UpOptions(broker, broker_kind, port, tuple(without or ()))
    _run(run_up(options, Console()))


@app.command()
def demo(
    json: Json = False,  # noqa: FBT002  (typer's form of a flag)
    out: Annotated[
        Path | None, typer.Option(help="Folder for the answers' WAVs; else ./demo-out.")
    ] = None,
) -> None:
    """Start everything on free ports, ask aloud, and check the spoken answers."""
    results = asyncio.run(run_demo(out, _out(json)))
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
    given = [text is not None, wav is not None, mic]
    if sum(given) != 1:
        msg = "ask takes exactly one of: a text, --wav FILE, --mic"
        raise ConfigError(msg)
    _run(_ask(text, wav, out, json=json, site=site, broker=broker))


async def _ask(
    text: str | None,
    recording: Path | None,
    out: Path | None,
    *,
    json: bool,
    site: str,
    broker: str | None,
) -> None:
    settings = find_broker(broker)
    data = None if recording is None else _read(recording)
    async with Questioner(client_bus(settings), site).asking(5.0) as questioner:
        if text is not None:
            asked = await questioner.ask_text(text)
        elif data is not None:
            asked = await questioner.ask_recording(data)
        else:
            asked = await _ask_microphone(questioner)
    audio = None if out is None else write_speech(asked, out)
    if json:
        print_json(asked.as_json(audio))
    else:
        _show_answer(asked, audio)
    if asked.answer.error is not None:
        raise EngineError(asked.answer.error)


async def _ask_microphone(questioner: Questioner) -> Asked:
    console = Console(stderr=True)
    console.print("recording: press Enter when you have asked")
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def on_enter() -> None:
        sys.stdin.readline()
        loop.remove_reader(sys.stdin)
        if not stop.done():
            stop.set_result(None)

    loop.add_reader(sys.stdin, on_enter)
    try:
        return await questioner.ask_microphone(stop, 30.0)
    finally:
        loop.remove_reader(sys.stdin)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error


def _show_answer(asked: Asked, audio: Path | None) -> None:
    console = Console()
    lines: list[Any] = [asked.answer.answer or "(no answer)"]
    if console.is_terminal:
        lines += screens.waterfall(asked.answer.stages, asked.first_audio_ms)
    if audio is not None:
        lines.append(f"sound: {audio}")
    screens.print_lines(console, lines)


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say.")],
    site: Site = "default",
    broker: Broker = None,
) -> None:
    """Speak a text at a site."""
    _run(_say(text, site, broker))


async def _say(text: str, site: str, broker: str | None) -> None:
    settings = find_broker(broker)
    bus = client_bus(settings)
    utterance_id = new_id()
    spoken: asyncio.Future[TtsStatus] = asyncio.get_running_loop().create_future()

    async def on_status(message: Message[TtsStatus]) -> None:
        ends = message.data.state != "started" and message.data.utterance_id == utterance_id
        if ends and not spoken.done():
            spoken.set_result(message.data)

    bus.install([listen(TTS_STATUS, on_status)])
    async with open_bus(bus, 5.0):
        await bus.publish_raw(
            SAY_SITE, orjson.dumps({"text": text, "id": utterance_id}), ttl_s=30, site=site
        )
        try:
            async with asyncio.timeout(30):
                status = await spoken
        except TimeoutError:
            msg = "nobody spoke it within 30 s: see `antiphon status`"
            raise RequestTimeout(msg) from None
    if status.state != "synthesised":
        raise EngineError(status.detail or "it could not be spoken")


@app.command()
def pub(
    topic: Annotated[str, typer.Argument(help="Topic below the base, e.g. ask.")],
    message: Annotated[str, typer.Argument(help="The message, as it is.")],
    broker: Broker = None,
) -> None:
    """Publish a raw MQTT message to the running stack."""
    settings = find_broker(broker)
    target = RawTopic(topic, 1, "cli", "A topic named by hand.")

    async def publish() -> None:
        bus = client_bus(settings)
        async with open_bus(bus, 5.0):
            await bus.publish_raw(target, message.encode())

    _run(publish())


@app.command()
def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Recordings: WAV, FLAC, OGG or MP3.")],
) -> None:
    """Print what is said in recordings; with several, a line each: path, tab, text."""
    _run(_transcribe(files))


async def _transcribe(files: list[Path]) -> None:
    runtime = load_settings(RuntimeSettings)
    console = Console(stderr=True)
    await asyncio.to_thread(weights.fetch, runtime, weights.needed_models(), console)
    failed = False
    async with transcriber(runtime) as transcribe_one:
        for path in files:
            final = await transcribe_one(await asyncio.to_thread(_read, path))
            if final.rejected is not None:
                failed = True
                sentence = f"{path}: {final.rejected}: {final.detail}"
                console.print(sentence, highlight=False, soft_wrap=True, markup=False)
            prefix = f"{path}\t" if len(files) > 1 else ""
            sys.stdout.write(f"{prefix}{final.text}\n")
    if failed:
        raise SystemExit(EXIT_WRONG)


@app.command()
def status(json: Json = False, broker: Broker = None) -> None:  # noqa: FBT002  (a flag of the command line)
    """Show how the workers are."""
    _run(_status(json=json, broker=broker))


async def _status(*, json: bool, broker: str | None) -> None:
    settings = find_broker(broker)
    bus = client_bus(settings)
    watch = HouseWatch([])
    bus.install([listen(HEALTH, watch.on_health)])
    async with open_bus(bus, 5.0):
        with suppress(TimeoutError):
            async with asyncio.timeout(1.2):  # a heartbeat's time: retained ones come at once
                await asyncio.Event().wait()
    if json:
        print_json({name: health.model_dump() for name, health in watch.health.items()})
    else:
        Console().print(screens.health_table(watch.health))
    if not watch.health:
        msg = "no worker is there"
        raise EngineError(msg)


@app.command()
def doctor(json: Json = False, broker: Broker = None) -> None:  # noqa: FBT002  (a flag of the command line)
    """Say what is wrong on this machine, and the command that mends it."""
    findings = asyncio.run(medicine.examine(broker))
    if json:
        print_json([{**_finding(finding)} for finding in findings])
    else:
        marks = {"ok": "✓", "note": "·", "wrong": "✗"}
        for finding in findings:
            remedy = f"\n      → {finding.remedy}" if finding.remedy else ""
            screens.print_lines(
                Console(), [f"{marks[finding.verdict]} {finding.what}: {finding.detail}{remedy}"]
            )
    if any(finding.verdict == "wrong" for finding in findings):
        raise SystemExit(EXIT_WRONG)


def _finding(finding: medicine.Finding) -> dict[str, str]:
    return {
        "what": finding.what,
        "verdict": finding.verdict,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"antiphon {__version__}\n")
