"""A bit that flipped on the disk: the model is refused, and the sentence says what mends it."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from antiphon_contracts import ConfigError
from antiphon_models import ModelStore, default_root
from antiphon_runtime.broker.address import free_port
from running_stack import isolated_environment

pytestmark = pytest.mark.e2e

MODEL = "whisper-tiny.en"
FLIPS = 50


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    shutil.copytree(default_root() / MODEL, root / MODEL)
    return root


def flip(file: Path, bit: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(bit // 8)
        (byte,) = opened.read(1)
        opened.seek(bit // 8)
        opened.write(bytes([byte ^ 1 << bit % 8]))


def test_each_of_50_flipped_bits_is_seen(models: Path) -> None:
    store = ModelStore(models)
    manifest = store.manifest(MODEL)
    assert manifest is not None
    files = sorted(manifest.files)
    numbers = random.Random(7)  # noqa: S311  (the same bits in each run)
    for number in range(FLIPS):
        # The weights are nearly all of it; the small files have their turn as well.
        file = models / MODEL / files[number % len(files)]
        bit = numbers.randrange(8 * file.stat().st_size)
        flip(file, bit)
        with pytest.raises(ConfigError, match="is not sound"):
            store.checked_path(MODEL)
        flip(file, bit)
    assert store.checked_path(MODEL) == models / MODEL


def test_a_worker_with_damaged_weights_ends_and_says_what_mends_it(
    models: Path, tmp_path: Path
) -> None:
    flip(models / MODEL / "model.bin", 8 * 40_000_000)
    done = subprocess.run(
        [sys.executable, "-m", "antiphon_stt"],
        env={
            **isolated_environment(tmp_path),
            "ANTIPHON_MODELS_DIR": str(models),
            "ANTIPHON_PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert f"run `antiphon models fetch {MODEL}`" in done.stderr
    assert "Traceback" not in done.stderr
