"""The two example files say what the settings are, and work when their lines are used."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from antiphon import examples
from antiphon_contracts import ConfigError
from antiphon_runtime import Settings, load_settings

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
MAKE = "run: .venv/bin/python -m antiphon.examples"
CLASSES = examples.settings_classes()
USED = re.compile(r"^#(?=[A-Za-z_0-9]+ ?=(?!  # unset))", re.MULTILINE)


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ANTIPHON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_env_example_is_current() -> None:
    assert (ROOT / ".env.example").read_text() == examples.render_env(), MAKE


def test_toml_example_is_current() -> None:
    assert (ROOT / "antiphon.toml.example").read_text() == examples.render_toml(), MAKE


def test_every_worker_with_settings_is_shown() -> None:
    modules = {path.parent.name for path in ROOT.glob("*/*/src/antiphon_*/settings.py")}
    assert modules == {settings.__module__.partition(".")[0] for settings in CLASSES}


def test_sections_and_prefixes_belong_together() -> None:
    assert len({settings.section for settings in CLASSES}) == len(CLASSES)
    for settings in CLASSES:
        name = "" if settings.section == "antiphon" else f"{settings.section.upper()}_"
        assert settings.model_config.get("env_prefix") == f"ANTIPHON_{name}"


def test_sites_are_understood_wherever_a_wake_word_is_heard() -> None:
    limits = [
        (field.default, field.metadata)
        for settings in CLASSES
        for name, field in settings.model_fields.items()
        if name == "max_sites"
    ]
    assert len(limits) == 2
    assert limits[0] == limits[1]


def test_examples_know_nothing_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = examples.render_env() + examples.render_toml()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert examples.render_env() + examples.render_toml() == here
    assert str(tmp_path) not in here


@pytest.mark.parametrize("settings", CLASSES, ids=lambda c: c.__name__)
def test_toml_lines_are_the_defaults(settings: type[Settings], tmp_path: Path) -> None:
    defaults = load_settings(settings)
    text = USED.sub("", examples.render_toml())
    assert len(tomllib.loads(text)[settings.section]) > 0
    (tmp_path / "antiphon.toml").write_text(text)
    assert load_settings(settings) == defaults


@pytest.mark.parametrize("settings", CLASSES, ids=lambda c: c.__name__)
def test_env_lines_are_the_defaults(
    settings: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = load_settings(settings)
    lines = [line for line in examples.render_env().splitlines() if re.match(r"#[A-Z_]+=", line)]
    assert len(lines) > len(settings.model_fields)
    for line in lines:
        name, _, value = line[1:].partition("=")
        monkeypatch.setenv(name, value if value.startswith("[") else " ".join(shlex.split(value)))
    assert load_settings(settings) == defaults


def test_every_setting_has_one_sentence() -> None:
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            text = field.description or ""
            assert text.endswith((".", ")")), f"{settings.__name__}.{name}: {text!r}"


def test_secrets_are_shown_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PASSWORD", "canary")
    text = examples.render_env() + examples.render_toml()
    assert "canary" not in text
    assert "\n#ANTIPHON_PASSWORD=\n" in text
    assert '\n#password = ""\n' in text


def test_a_tilde_in_a_path_is_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = CLASSES[0]
    monkeypatch.setenv("ANTIPHON_DATA_DIR", "~/antiphon")
    assert load_settings(runtime).model_dump()["data_dir"] == tmp_path / "antiphon"


def test_the_command_writes_only_into_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no checkout"):
        examples.main(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    examples.main(tmp_path)
    assert (tmp_path / ".env.example").read_text() == examples.render_env()
    assert (tmp_path / "antiphon.toml.example").read_text() == examples.render_toml()
