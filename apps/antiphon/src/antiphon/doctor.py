"""`antiphon doctor`: what is wrong on this machine, and the command that mends it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from antiphon_contracts import AntiphonError, BusError, ConfigError
from antiphon_llm.settings import LlmSettings
from antiphon_models import ModelStore
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_runtime.broker import find_mosquitto
from antiphon_tts.settings import TtsSettings

from antiphon import weights
from antiphon.house import client_bus, open_bus
from antiphon.settings import find_broker, search_path

Verdict = Literal["ok", "note", "wrong"]

MIN_FREE_BYTES = 1024**3
ENGINE_MODULES = {
    "faster_whisper": "stt",
    "piper": "tts",
    "xllamacpp": "llm",
    "openai": "llm",
    "aiosqlite": "memory",
    "onnxruntime": "memory",
    "tokenizers": "memory",
    "jsonschema": "tools",
    "sounddevice": "audio",
}


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


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.maxsize <= 2**32:
        return Finding("python", "wrong", f"Python {version} is 32-bit", "use a 64-bit system")
    return Finding("python", "ok", f"Python {version}, {sys.platform}")


def _extras() -> Iterator[Finding]:
    missing = sorted({extra for name, extra in ENGINE_MODULES.items() if find_spec(name) is None})
    if not missing:
        yield Finding("extras", "ok", "all engines of the light set are installed")
    for extra in missing:
        yield Finding(
            "extras",
            "wrong",
            f"the extra {extra!r} is not installed",
            f"pip install 'antiphon[{extra}]'",
        )


def _settings() -> Finding:
    try:
        weights.needed_models()
        load_settings(RuntimeSettings)
    except ConfigError as error:
        return Finding("settings", "wrong", str(error), "mend antiphon.toml or the environment")
    return Finding("settings", "ok", "environment and antiphon.toml are right")


def _models(runtime: RuntimeSettings) -> Iterator[Finding]:
    store = ModelStore(runtime.models_dir)
    for name in weights.needed_models():
        if store.is_ready(name):
            yield Finding("models", "ok", f"{name} is there")
        else:
            yield Finding("models", "wrong", f"{name} is missing", f"antiphon models fetch {name}")


def _programmes() -> Iterator[Finding]:
    found = find_mosquitto()
    if found is None:
        yield Finding(
            "broker",
            "note",
            "mosquitto is not installed; the slower built-in broker is used",
            "sudo apt install mosquitto",
        )
    else:
        yield Finding("broker", "ok", f"mosquitto at {found}")
    if shutil.which("espeak-ng", path=search_path()) is None:
        tts = load_settings(TtsSettings)
        yield Finding(
            "espeak-ng",
            "note",
            f"not installed: nobody speaks if {tts.engine} fails",
            "sudo apt install espeak-ng",
        )
    else:
        yield Finding("espeak-ng", "ok", "there as the last resort of speech")


def _devices() -> Finding:
    try:
        import sounddevice  # noqa: PLC0415  (raises OSError without libportaudio2)
    except ImportError:
        return Finding("sound", "note", "no sounddevice", "pip install 'antiphon[audio]'")
    except OSError:
        return Finding("sound", "note", "PortAudio is missing", "sudo apt install libportaudio2")
    devices = sounddevice.query_devices()
    if not len(devices):
        return Finding("sound", "note", "no sound device: answers go to files or to MQTT only")
    return Finding("sound", "ok", f"{len(devices)} sound devices")


def _disk(runtime: RuntimeSettings) -> Finding:
    folder = runtime.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < MIN_FREE_BYTES:
        return Finding("disk", "wrong", detail, "free some space")
    return Finding("disk", "ok", detail)


async def _language_model() -> Finding:
    settings = load_settings(LlmSettings)
    url = settings.base_url
    if not url:
        return Finding("llm", "ok", f"provider {settings.provider}, no server configured")
    host, _, rest = url.partition("://")[2].partition("/")[0].partition(":")
    port = int(rest) if rest.isdigit() else (443 if url.startswith("https") else 80)
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
    except (OSError, TimeoutError):
        return Finding(
            "llm", "wrong", f"nothing answers at {url}", "start that server or unset base_url"
        )
    return Finding("llm", "ok", f"something answers at {url}")


async def _stack(broker: str | None) -> Finding:
    try:
        settings = find_broker(broker)
        async with open_bus(client_bus(settings), 4.0):
            return Finding("stack", "ok", f"the broker at {settings.host}:{settings.port} answers")
    except ConfigError as error:
        return Finding("stack", "note", str(error), "antiphon up")
    except BusError as error:
        return Finding("stack", "wrong", str(error), "antiphon up")


def _log_folder(runtime: RuntimeSettings) -> Finding:
    try:
        Path(runtime.data_dir).mkdir(parents=True, exist_ok=True)
        probe = runtime.data_dir / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding(
            "data", "wrong", f"{runtime.data_dir} cannot be written: {error}", "set data_dir"
        )
    return Finding("data", "ok", f"{runtime.data_dir} can be written")


async def examine(broker: str | None) -> list[Finding]:
    """Look at everything that a stack needs."""
    findings = [_python(), *_extras(), _settings()]
    if findings[-1].verdict == "wrong":
        return findings
    runtime = load_settings(RuntimeSettings)
    findings += await asyncio.to_thread(lambda: [*_models(runtime), *_programmes()])
    findings += [_devices(), _disk(runtime), _log_folder(runtime)]
    try:
        findings += [await _language_model(), await _stack(broker)]
    except AntiphonError as error:
        findings.append(Finding("settings", "wrong", str(error)))
    return findings
