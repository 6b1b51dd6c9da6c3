"""`antiphon doctor`: what is wrong on this machine, and the command that mends it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from antiphon_contracts import (
    HEALTH,
    SITE_STATUS,
    AntiphonError,
    ConfigError,
    Message,
    SiteStatus,
)
from antiphon_llm.settings import LlmSettings
from antiphon_models import CATALOGUE, ModelStore
from antiphon_runtime import RuntimeSettings, install_command, listen, load_settings
from antiphon_runtime.broker import find_mosquitto
from antiphon_runtime.broker.address import free_port
from antiphon_satellite.settings import SatelliteSettings
from antiphon_tools.settings import ToolsSettings, file_of
from antiphon_tools.tools_file import read_tools_file
from antiphon_tts.settings import TtsSettings
from rich.console import Console

from antiphon import chat_server, installation, weights
from antiphon.house import HouseWatch, client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.secure.folder import secure_folder
from antiphon.settings import find_broker, search_path

Verdict = Literal["ok", "note", "wrong"]

MIN_FREE_BYTES = 1024**3
HEALTH_S = 1.5
RESTART = "antiphon up  # starts all that is missing"
MARKS = {"ok": "✓", "note": "·", "wrong": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name.
        verdict: `wrong` keeps something from working, `note` means that it works with less.
        detail: one sentence.
        remedy: the command that mends it; empty if there is nothing to mend.
    """

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""


async def examine(broker: str | None) -> list[Finding]:
    """Look at everything that a stack needs.

    Args:
        broker: address of a broker; None looks for the running stack.
    """
    findings = [_python(), *_settings()]
    if any(finding.verdict == "wrong" for finding in findings):
        return findings  # without right settings nobody knows what is needed
    runtime = load_settings(RuntimeSettings)
    looks: list[Callable[[], Iterator[Finding]]] = [
        extras,
        lambda: models(ModelStore(runtime.models_dir), weights.needed_models()),
        programmes,
        lambda: tools(file_of(load_settings(ToolsSettings), runtime.data_dir)),
        _ports,
        _devices,
        listening,
        lambda: disk(runtime),
        secured,
    ]
    findings += await asyncio.to_thread(lambda: [found for look in looks for found in look()])
    findings.append(await language_model(load_settings(LlmSettings)))
    return findings + await stack(broker)


def show(findings: list[Finding], *, json: bool) -> None:
    """Print what was found."""
    if json:
        print_json([asdict(finding) for finding in findings])
        return
    console = Console()
    for finding in findings:
        print_line(console, f"{MARKS[finding.verdict]} {finding.what}: {finding.detail}")
        if finding.remedy:
            print_line(console, f"      → {finding.remedy}")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.maxsize <= 2**32:
        return Finding("python", "wrong", f"Python {version} is 32-bit", "use a 64-bit system")
    return Finding("python", "ok", f"Python {version}, {sys.platform}")


def _settings() -> Iterator[Finding]:
    problems = installation.settings_problems()
    for problem in problems:
        yield Finding("settings", "wrong", problem, "mend antiphon.toml or the environment")
    if not problems:
        yield Finding("settings", "ok", "environment and antiphon.toml are right")


def extras() -> Iterator[Finding]:
    """Look for the modules that each extra brings."""
    missing = installation.missing_extras()
    for extra, needed in missing.items():
        yield Finding(
            "extras",
            "wrong" if needed else "note",
            f"the extra {extra!r} is not installed{'' if needed else ', and not in use'}",
            install_command(extra) if needed else "",
        )
    if not missing:
        yield Finding("extras", "ok", "all that the settings use is installed")


def models(store: ModelStore, names: list[str]) -> Iterator[Finding]:
    """Hash the weights in use; about a second for the default ones."""
    for name in names:
        fetch = f"antiphon models fetch {name}"
        if not store.is_ready(name):
            mb = CATALOGUE[name].size_bytes // 1_000_000
            yield Finding("models", "wrong", f"{name} is missing ({mb} MB)", fetch)
        elif problems := store.verify(name):
            yield Finding("models", "wrong", f"{name} is broken: {'; '.join(problems)}", fetch)
        else:
            yield Finding("models", "ok", f"{name} is there and whole")


def tools(path: Path) -> Iterator[Finding]:
    """Look at the file `tools.toml`, and for what its MCP servers need."""
    mend = f"mend {path}; docs/tools.md says how"
    try:
        file = read_tools_file(path)
    except ConfigError as error:
        yield Finding("tools", "wrong", str(error), mend)
        return
    problems = installation.server_problems(file)
    for name, problem in problems.items():
        yield Finding("tools", "wrong", f"the MCP server {name} cannot run: {problem}", mend)
    if not problems and file.servers:
        yield Finding("tools", "ok", f"{path} is right; MCP servers: {', '.join(file.servers)}")


def programmes() -> Iterator[Finding]:
    """Look for the programmes of the system that are used if they are there."""
    found = find_mosquitto()
    if found is None:
        yield Finding(
            "broker",
            "note",
            "mosquitto is not installed; the slower built-in broker is used",
            installation.system_package("mosquitto"),
        )
    else:
        yield Finding("broker", "ok", f"mosquitto at {found}")
    tts = load_settings(TtsSettings)
    if shutil.which("espeak-ng", path=search_path()) is not None:
        yield Finding("espeak-ng", "ok", "there as the last resort of speech")
    elif tts.engine == "espeak-ng":
        yield Finding(
            "espeak-ng",
            "wrong",
            "not installed, but [tts] engine names it",
            installation.system_package("espeak-ng"),
        )
    else:
        yield Finding(
            "espeak-ng",
            "note",
            f"not installed: nobody speaks if {tts.engine} fails",
            installation.system_package("espeak-ng"),
        )


def _ports() -> Iterator[Finding]:
    try:
        free_port()
    except OSError as error:
        yield Finding(
            "ports",
            "wrong",
            f"no port of 127.0.0.1 can be opened ({error.strerror}), so no broker can run",
            "ip link set lo up",
        )
    else:
        yield Finding("ports", "ok", "127.0.0.1 has a free port for the broker")


def _devices() -> Iterator[Finding]:
    try:
        import sounddevice  # noqa: PLC0415  (raises OSError without libportaudio2)
    except ImportError:
        command = install_command("audio")
        yield Finding("sound", "note", "no sounddevice: no microphone, no loudspeaker", command)
        return
    except OSError:
        yield Finding(
            "sound",
            "note",
            "PortAudio is missing: no microphone, no loudspeaker",
            installation.system_package("libportaudio2"),
        )
        return
    try:
        found = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        yield Finding("sound", "note", f"PortAudio finds no devices: {error}")
        return
    for kind, key in (("loudspeaker", "max_output_channels"), ("microphone", "max_input_channels")):
        count = sum(device[key] > 0 for device in found)
        if count:
            yield Finding("sound", "ok", f"{kind}: {count} to choose from")
        else:
            yield Finding("sound", "note", f"no {kind} is plugged in; recordings and files work")


def listening() -> Iterator[Finding]:
    """Say whether this machine's satellite is to hear the wake word."""
    chosen = load_settings(SatelliteSettings)
    if chosen.stream is False or (chosen.stream is None and chosen.microphone == "null"):
        reason = "stream = false" if chosen.stream is False else 'microphone = "null"'
        detail = f"no wake word is heard here: {reason} in [satellite]; push to talk alone is left"
        yield Finding("sound", "note", detail)


def disk(runtime: RuntimeSettings) -> Iterator[Finding]:
    """Look whether the folders can be written, and how much is free there."""
    for name, folder in (("data_dir", runtime.data_dir), ("models_dir", runtime.models_dir)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            detail = f"{folder} cannot be written: {error.strerror}"
            remedy = f"mend its permissions, or set ANTIPHON_{name.upper()} to a folder of yours"
            yield Finding("disk", "wrong", detail, remedy)
            continue
        free = shutil.disk_usage(folder).free
        detail = f"{free / 1024**3:.1f} GiB free at {folder}"
        if free < MIN_FREE_BYTES:
            yield Finding("disk", "wrong", detail, f"df -h {folder}  # and free 1 GiB there")
        else:
            yield Finding("disk", "ok", detail)


def secured() -> Iterator[Finding]:
    """Look at the secured house, if there is one: its certificates and who may read its files."""
    folder = secure_folder()
    if not folder.path.is_dir():
        return
    try:
        from antiphon.secure import checkup  # noqa: PLC0415  (its library is an extra)
    except ImportError:
        return  # `extras` says so
    yield from checkup.examine(folder)


async def language_model(settings: LlmSettings) -> Finding:
    """Look whether the language model's server answers; takes up to 10 s."""
    found = await chat_server.look(settings)
    return Finding("llm", "wrong" if found.remedy else "ok", found.detail, found.remedy)


async def stack(broker: str | None) -> list[Finding]:
    """Look whether a stack runs, and how its workers are; takes up to 6 s."""
    watch, sites = HouseWatch(), Microphones()
    try:
        settings = find_broker(broker)
        bus = client_bus(settings)
        bus.install([listen(HEALTH, watch.on_health), listen(SITE_STATUS, sites.on_status)])
        async with open_bus(bus, 4.0):
            await asyncio.sleep(HEALTH_S)
    except ConfigError as error:
        return [Finding("stack", "note", str(error), "antiphon up")]
    except AntiphonError as error:
        return [Finding("stack", "wrong", str(error), "antiphon up")]
    answers = f"the broker at {settings.host}:{settings.port} answers"
    return [Finding("stack", "ok", answers), *workers(watch), *sites.findings(watch)]


class Microphones:
    """What the satellites say about their microphones."""

    def __init__(self) -> None:
        self._said: dict[str, Message[SiteStatus]] = {}

    async def on_status(self, message: Message[SiteStatus]) -> None:
        """Take in what one says."""
        self._said[message.site_id] = message

    def findings(self, watch: HouseWatch) -> Iterator[Finding]:
        """Say at which sites a wake word can be heard; satellites that are gone say nothing."""
        for site, message in sorted(self._said.items()):
            health = watch.health.get(message.source)
            if health is not None and health.state == "gone":
                continue
            where = f"the microphone of the site {site!r}"
            if message.data.muted:
                yield Finding("microphone", "note", f"{where} is muted", "antiphon unmute")
            elif message.data.streaming:
                yield Finding("microphone", "ok", f"{where} streams: the wake word is heard")
            else:
                detail = f"{where} does not stream: no wake word is heard, push to talk is left"
                yield Finding("microphone", "note", detail)


def workers(watch: HouseWatch) -> Iterator[Finding]:
    """Say which workers of a running stack are not well."""
    for name, health in sorted(watch.health.items()):
        if health.state in {"gone", "degraded"}:
            detail = f"{name} is {health.state}: {'; '.join(health.notes) or 'see its log'}"
            verdict: Verdict = "wrong" if health.state == "gone" else "note"
            yield Finding("worker", verdict, detail, RESTART if verdict == "wrong" else "")
    if not watch.health:
        yield Finding("worker", "wrong", "no worker is on that broker", "antiphon up")
