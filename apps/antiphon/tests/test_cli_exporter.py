"""The exporter beside the workers: a process of its own that comes back."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from antiphon import exporter
from antiphon.house import broker_settings
from antiphon.supervisor import Supervisor
from antiphon.up import UpOptions, up
from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.broker.address import free_port
from rich.console import Console

WAIT_S = 30


@pytest.fixture
async def settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RuntimeSettings]:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path))
    async with broker_settings(tmp_path / "broker", "auto") as (settings, _):
        yield settings


async def metrics(port: int) -> str:
    """Fetch the page, as soon as it is served."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            page = await reader.read()
            writer.close()
            return page.decode()


def pid_of(running: Supervisor) -> int | None:
    return running.children["metrics-1"].pid


@pytest.mark.integration
async def test_it_serves_the_house_and_comes_back_when_it_dies(settings: RuntimeSettings) -> None:
    said, port = io.StringIO(), free_port()
    async with exporter.keep_exporter(settings, port, Console(file=said)) as running:
        assert "antiphon_broker_connected" in await metrics(port)
        first = pid_of(running)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            while pid_of(running) in {None, first}:  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.02)
        assert "antiphon_broker_connected" in await metrics(port)
    assert f"metrics: http://127.0.0.1:{port}/metrics" in said.getvalue()
    assert "metrics: ended with signal SIGKILL" in said.getvalue()


@pytest.mark.integration
async def test_a_port_that_is_taken_is_said(settings: RuntimeSettings) -> None:
    said = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        console = Console(file=said, width=400)
        async with exporter.keep_exporter(settings, port, console), asyncio.timeout(WAIT_S):
            while "choose another --port" not in said.getvalue():  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.02)
    assert f"metrics cannot be served on 127.0.0.1:{port}" in said.getvalue()


@pytest.mark.unit
async def test_without_its_library_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "find_spec", lambda _name: None)
    options = UpOptions(broker="mqtt://127.0.0.1:1", metrics_port=9464)
    with pytest.raises(ConfigError, match=r"metrics need prometheus-client: .*install"):
        await up(options, Console(file=io.StringIO()))
