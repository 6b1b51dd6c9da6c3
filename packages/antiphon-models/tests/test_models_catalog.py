import re

import pytest
from antiphon_models import CATALOGUE, DEFAULTS, Model

pytestmark = pytest.mark.unit

MODELS = sorted(CATALOGUE.values(), key=lambda model: model.name)
SHA256 = re.compile("[0-9a-f]{64}")


def test_names() -> None:
    assert set(CATALOGUE) == {
        "whisper-tiny.en",
        "whisper-base",
        "piper-en_US-joe-medium",
        "minilm-l6-v2-int8",
        "minilm-l6-v2",
        "smollm2-135m-instruct-q4_1",
        "smart-turn-v3.2",
    }


def test_defaults_are_one_of_each_kind() -> None:
    assert set(DEFAULTS) == {"stt", "tts", "embedder", "llm", "turn"}
    for kind, name in DEFAULTS.items():
        assert CATALOGUE[name].kind == kind


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_everything_is_pinned(model: Model) -> None:
    assert model.licence
    assert model.title
    assert all(SHA256.fullmatch(sha256) for sha256 in model.files.values())
    assert all(SHA256.fullmatch(pack.sha256) and pack.version for pack in model.packs)
    assert re.fullmatch("[0-9a-f]{40}", model.hub.revision)
    assert len(model.files) == len(model.contents)
    assert model.size_bytes > 8_000_000
    assert model.download_bytes > 8_000_000


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_parts_come_from_the_models_packs_in_their_order(model: Model) -> None:
    order = [pack.name for pack in model.packs]
    used = set()
    for file in model.contents:
        packs = [part.pack for part in file.parts]
        assert packs == sorted(packs, key=order.index)
        used.update(packs)
    assert used == set(order)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_hub_gives_the_same_paths_with_pinned_weights(model: Model) -> None:
    assert {file.path for file in model.hub.files} == set(model.files)
    weights = max(model.contents, key=lambda file: file.size_bytes).path
    pinned = {file.path: file.sha256 for file in model.hub.files}
    assert SHA256.fullmatch(pinned[weights] or "")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_no_path_leads_out_of_the_folder(model: Model) -> None:
    for path in model.files:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
