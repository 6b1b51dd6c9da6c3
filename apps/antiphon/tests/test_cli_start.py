"""A quick start, guarded without a clock: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

pytestmark = pytest.mark.unit

LISTING = """
import sys
from antiphon.main import main
try:
    main()
except SystemExit:
    pass
print("MODULES", *sorted({name.partition(".")[0] for name in sys.modules}))
"""

ENGINES = {
    "amqtt",
    "ctranslate2",
    "faster_whisper",
    "hassil",
    "onnxruntime",
    "openai",
    "piper",
    "sentence_transformers",
    "sounddevice",
    "tokenizers",
    "torch",
    "xllamacpp",
}
FOR_OTHERS = {
    "huggingface_hub",
    "jsonschema",
    "numpy",
    "prometheus_client",
    "rapidfuzz",
    "simpleeval",
    "soundfile",
    "soxr",
    "text_to_num",
}
FOR_TALKING = {"antiphon_contracts", "antiphon_runtime", "asyncio", "paho", "pydantic", "rich"}


def imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (listed,) = (line for line in done.stdout.splitlines() if line.startswith("MODULES "))
    return set(listed.split()[1:])


def test_help_is_there_without_anything_that_only_commands_need() -> None:
    found = imported("--help")
    assert "typer" in found
    assert found & (ENGINES | FOR_OTHERS | FOR_TALKING) == set()


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("ask", "hi"), ("say", "hi"), ("pub", "ask", "hi"), ("version",)],
    ids=lambda arguments: arguments[0],
)
def test_talking_to_the_stack_needs_no_engine_and_no_numpy(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert "antiphon_contracts" in found
    assert found & (ENGINES | FOR_OTHERS) == set()


NUMERIC = {"numpy", "soundfile", "soxr"}


@pytest.mark.parametrize(
    "arguments",
    [("up", "--without", "nobody"), ("mute",), ("doctor", "--broker", "mqtt://127.0.0.1:1")],
    ids=lambda arguments: arguments[0],
)
def test_starting_and_looking_after_the_stack_loads_no_engine_in_this_process(
    arguments: tuple[str, ...],
) -> None:
    found = imported(*arguments)
    assert "antiphon_runtime" in found
    assert found & ((ENGINES - {"sounddevice"}) | NUMERIC) == set()


@pytest.mark.parametrize(
    "package",
    ["antiphon_llm", "antiphon_memory", "antiphon_satellite", "antiphon_stt", "antiphon_tts"],
)
def test_a_worker_package_and_its_settings_come_without_numpy(package: str) -> None:
    code = f"import sys, {package}.settings; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
    names = import_module(package)
    assert all(getattr(names, name) for name in names.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        names.nothing  # noqa: B018  (it is asked for)
