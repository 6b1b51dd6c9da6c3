"""Logs on a disk that is full: who writes one goes on."""

from __future__ import annotations

import errno
import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog
from antiphon_runtime.logs import configure_logs

pytestmark = pytest.mark.unit


class FullDisk(io.StringIO):
    """A stream to a file on a disk that may be full."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.root, "handlers", [])
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_full_disk_costs_the_line_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FullDisk()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logs("stt-1", level="info", style="json")
    log = structlog.get_logger("test")
    log.warning("lost")
    stream.is_full = False
    log.warning("kept")
    assert "lost" not in stream.getvalue()
    assert "kept" in stream.getvalue()
