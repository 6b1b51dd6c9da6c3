"""The installation: which extras and settings are there, and how the system gets packages."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec

from antiphon_contracts import ConfigError
from antiphon_llm.settings import LlmSettings
from antiphon_memory.settings import MemorySettings
from antiphon_models.hub import parse_hub_name
from antiphon_runtime import load_settings
from antiphon_runtime.settings import config_path
from antiphon_satellite.settings import SatelliteSettings
from antiphon_stt.settings import SttSettings
from antiphon_tools.servers_section import resolve
from antiphon_tools.tools_file import ToolsFile
from antiphon_tts.settings import TtsSettings
from antiphon_wake.settings import WakeSettings

from antiphon.examples import settings_classes
from antiphon.secure.folder import secure_folder
from antiphon.settings import search_path

EXTRAS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "stt": {"faster-whisper": ("faster_whisper",), "openai": ("openai",)},
    "tts": {"piper": ("piper",), "openai": ("openai",)},
    "llm": {"embedded": ("xllamacpp", "openai"), "server": ("openai",)},
    "memory": {
        "sqlite": (),
        "onnx": ("onnxruntime", "tokenizers"),
        "openai": ("openai",),
    },
    "documents": {
        "documents": (
            "httpcore2",
            "lxml",
            "lxml_html_clean",
            "protego",
            "pypdf",
            "trafilatura",
        ),
    },
    "st": {"sentence-transformers": ("sentence_transformers",)},
    "voyage": {"voyage": ("voyageai",)},
    "milvus": {"milvus": ("pymilvus",)},
    "postgres": {"postgresql": ("asyncpg",)},
    "redis": {"redis": ("redis",)},
    "wake": {
        "pymicro-wakeword": ("pymicro_wakeword",),
        "pyopen-wakeword": ("pyopen_wakeword",),
    },
    "tools": {"tools": ("aiosqlite", "httpx2", "jsonschema", "mcp", "pint", "simpleeval")},
    "aec": {"webrtc": ("pywebrtc_audio",)},
    "hub": {"org/repo": ("huggingface_hub",)},
    "metrics": {"metrics": ("prometheus_client",)},
    "secure": {"secure": ("cryptography",)},
}
"""What each extra brings, by the choice in the settings that needs it."""

ON_DEMAND = ("st", "voyage", "milvus", "postgres", "redis", "aec")
"""Extras that `all` leaves out: they count only if the settings name them."""


def missing_extras() -> dict[str, bool]:
    """Return the extras that lack a module, and whether the settings in force need that one.

    Sound devices have a finding of their own.

    Raises:
        ConfigError: the settings are wrong.
    """
    chosen = _choices()
    missing: dict[str, bool] = {}
    for extra, choices in EXTRAS.items():
        for choice, modules in choices.items():
            if any(find_spec(module) is None for module in modules):
                needed = choice in chosen[extra]
                missing[extra] = missing.get(extra, False) or needed
    return {extra: needed for extra, needed in missing.items() if needed or extra not in ON_DEMAND}


def _choices() -> dict[str, set[str]]:
    llm = load_settings(LlmSettings)
    memory = load_settings(MemorySettings)
    stt = load_settings(SttSettings)
    models = (stt.model, memory.model, llm.embedded_model)
    kinds = {provider.kind for provider in llm.providers}
    served = llm.provider in {"openai", "ollama"} or bool(llm.base_url) or bool(kinds)
    is_embedded = llm.provider == "embedded" or llm.fallback or "embedded" in kinds
    embedder = "onnx" if memory.engine == "auto" else memory.engine
    return {
        "stt": {stt.engine},
        "tts": {load_settings(TtsSettings).engine},
        "llm": {"server" if served and not is_embedded else "embedded"},
        "memory": {memory.store, memory.history_store, memory.knowledge_store, embedder},
        "st": {embedder},
        "voyage": {embedder},
        "milvus": {memory.store},
        "postgres": {memory.store},
        "redis": {memory.history_store},
        "wake": {load_settings(WakeSettings).engine},
        "tools": {"tools"},
        "documents": set(),  # only documents of some kinds want it
        "aec": {load_settings(SatelliteSettings).echo},
        "hub": {"org/repo" for name in models if parse_hub_name(name)},
        "metrics": set(),  # a command's own
        "secure": {"secure"} if secure_folder().path.is_dir() else set(),
    }


def system_package(name: str) -> str:
    """Return the command that installs one of the system's packages, by its Debian name."""
    if sys.platform == "darwin":
        brewed = {"libportaudio2": "portaudio"}
        return f"brew install {brewed.get(name, name)}"
    sudo = "" if os.geteuid() == 0 else "sudo "
    managers = {"apt": f"apt install {name}", "dnf": f"dnf install {_FEDORA.get(name, name)}"}
    for manager, command in managers.items():
        if shutil.which(manager, path=search_path()):
            return f"{sudo}{command}"
    return f"install {name} with your system's package manager"


_FEDORA = {"libportaudio2": "portaudio"}


def settings_problems() -> list[str]:
    """Return what is wrong with the settings of all parts, a sentence each."""
    problems = []
    for settings in settings_classes():
        try:
            load_settings(settings)
        except ConfigError as error:
            problems.append(str(error))
    known = {settings.section for settings in settings_classes()}
    problems += [
        f"antiphon.toml has a table [{name}] that nobody reads; there are: "
        f"{', '.join(sorted(known))}"
        for name in _tables()
        if name not in known
    ]
    return list(dict.fromkeys(problems))


def _tables() -> list[str]:
    try:
        path = config_path()
        return [] if path is None else list(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError):
        return []  # every part's own settings say so


def server_problems(file: ToolsFile) -> dict[str, str]:
    """Return what keeps MCP servers from being run here, a sentence by the server's name."""
    problems = {}
    for name, section in file.servers.items():
        command = section.command
        if not section.enabled:
            continue
        if command and shutil.which(command, path=search_path()) is None:
            problems[name] = f"there is no program {command}"
            continue
        try:
            resolve({**section.env, **section.headers})
        except ConfigError as error:
            problems[name] = str(error)
    return problems
