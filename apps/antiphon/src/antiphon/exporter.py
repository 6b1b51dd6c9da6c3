"""`antiphon up --metrics PORT`: the metrics exporter beside the workers, supervised as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, install_command
from rich.console import Console

from antiphon.output import print_line
from antiphon.settings import broker_variables, log_folder
from antiphon.supervisor import Child, Part, Supervisor

HOST = "127.0.0.1"


def refuse_without_library() -> None:
    """Refuse to start what cannot run.

    Raises:
        ConfigError: the library that serves metrics is not installed.
    """
    if find_spec("prometheus_client") is None:
        raise ConfigError(f"metrics need prometheus-client: {install_command('metrics')}")


@asynccontextmanager
async def keep_exporter(
    settings: RuntimeSettings, port: int, console: Console
) -> AsyncIterator[Supervisor]:
    """Run `antiphon metrics` on this machine while the block runs; it is restarted if it dies.

    Args:
        settings: how it reaches the broker.
        port: where it listens, on 127.0.0.1 alone.
        console: where it is said how it ended, if it does.
    """

    def on_change(child: Child) -> None:
        if child.pid is None and child.trouble:
            print_line(console, f"metrics: {child.trouble}")

    part = Part("metrics", "antiphon", arguments=("metrics", "--port", str(port), "--host", HOST))
    exporter = Supervisor([part], broker_variables(settings), log_folder(settings), on_change)
    async with exporter.run():
        print_line(console, f"metrics: http://{HOST}:{port}/metrics")
        yield exporter
