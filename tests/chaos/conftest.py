"""`--full` for the long forms, and the table of what was seen."""

from __future__ import annotations

import pytest
from chaos import Scale

SEEN = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="do all of it, not a tenth")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SEEN] = []


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    full = bool(request.config.getoption("--full"))
    return Scale(full, request.config.stash[SEEN])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash.get(SEEN, [])
    if rows:
        terminalreporter.section("what happens when…")
    for what, figures in rows:
        terminalreporter.write_line(f"{what}: {figures}")
