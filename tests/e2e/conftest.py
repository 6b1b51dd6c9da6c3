"""One running stack for all end-to-end tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_stack import Stack, start_stack, stop_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    running = start_stack(folder)
    yield running
    code = stop_stack(running.process)
    log = (folder / "up.log").read_text()
    assert code == 0, log


@pytest.fixture(scope="session")
def question_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "question.wav"
    subprocess.run(
        ["espeak-ng", "-s", "150", "-w", str(path), "what is twelve times seven"], check=True
    )
    return path
