"""A person's own machine, for tests of the command line: empty folders, no settings, no stack."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from antiphon.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it wrote, spaces and line ends as one space."""

    code: int
    out: str
    complaint: str


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep this machine's own Antiphon out of every test."""
    for name in [name for name in os.environ if name.startswith("ANTIPHON_")]:
        monkeypatch.delenv(name)
    for name in ("STATE", "CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def antiphon(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `antiphon …` in this process, just as the installed script does."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["antiphon", *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            structlog.reset_defaults()
            structlog.contextvars.clear_contextvars()
        captured = capfd.readouterr()
        return Outcome(code, captured.out, " ".join(captured.err.split()))

    return run
