"""Every engine that pyproject.toml declares is there, and a stranger can add one."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import ConfigError
from antiphon_runtime import engine_names, load_engine

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GROUPS: dict[str, dict[str, str]] = PROJECT["entry-points"]
OWNERS = {
    "antiphon.transcribers": "antiphon_stt",
    "antiphon.turn_detectors": "antiphon_stt",
    "antiphon.synthesizers": "antiphon_tts",
    "antiphon.embedders": "antiphon_memory",
    "antiphon.rerankers": "antiphon_memory",
    "antiphon.stores": "antiphon_memory",
    "antiphon.conversation_stores": "antiphon_memory",
    "antiphon.knowledge_stores": "antiphon_memory",
    "antiphon.wake_detectors": "antiphon_wake",
    "antiphon.weather": "antiphon_tools",
}
POINTS = [(group, name) for group, points in GROUPS.items() for name in points]
HEAVY = {
    "faster_whisper", "ctranslate2", "onnxruntime", "piper", "sentence_transformers", "torch",
    "openai", "xllamacpp", "sounddevice", "tokenizers", "huggingface_hub",
    "pymicro_wakeword", "pyopen_wakeword", "voyageai",
    "asyncpg", "pymilvus", "redis",
}  # fmt: skip


def test_each_group_belongs_to_its_worker() -> None:
    assert GROUPS.keys() == OWNERS.keys()
    for group, points in GROUPS.items():
        for name, value in points.items():
            assert value.partition(":")[0].partition(".")[0] == OWNERS[group], f"{name} of {group}"


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_installed_is_what_is_declared(group: str) -> None:
    ours = {
        point.name: point.value
        for point in entry_points(group=group)
        if point.dist is not None and point.dist.name == PROJECT["name"]
    }
    assert ours == GROUPS[group], "pyproject.toml has changed: install the project again (./run)"
    assert set(engine_names(group)) >= set(ours)


@pytest.mark.parametrize(("group", "name"), POINTS)
def test_an_engine_loads_without_its_library(group: str, name: str) -> None:
    factory = load_engine(group, name)
    assert factory is EntryPoint(name, GROUPS[group][name], group).load()
    assert callable(factory)
    parameters = list(inspect.signature(factory).parameters)
    assert parameters[0] == "settings", f"{name} of {group} takes {parameters}"
    assert len(parameters) >= 2


def test_an_unknown_engine_is_answered_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="faster-whisper, openai"):
        load_engine("antiphon.transcribers", "vosk")


def test_engines_import_their_libraries_only_when_chosen() -> None:
    modules = sorted(
        {value.partition(":")[0] for points in GROUPS.values() for value in points.values()}
    )
    script = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(*sorted(set(sys.modules) & {HEAVY!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []


def test_the_command_line_is_declared() -> None:
    assert PROJECT["scripts"] == {"antiphon": "antiphon.main:main"}
    assert callable(EntryPoint("antiphon", "antiphon.main:main", "console_scripts").load())
