"""A house: broker and workers, started together and watched through their health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from antiphon_contracts import HEALTH, ConfigError, Health, Message
from antiphon_runtime import (
    Bus,
    PahoTransport,
    RuntimeSettings,
    broker_options,
    listen,
    load_settings,
)
from antiphon_runtime.broker import BrokerKind, EmbeddedBroker, embedded_broker
from pydantic import SecretStr

from antiphon.settings import broker_variables, log_folder
from antiphon.supervisor import PARTS, Child, Part, Supervisor

BrokerChoice = BrokerKind | Literal["auto"]

READY = frozenset({"ready", "degraded"})


class HouseWatch:
    """Follows the health of all workers."""

    def __init__(self, expected: Sequence[str]) -> None:
        self.health: dict[str, Health] = {}
        self._expected = expected
        self._changed = asyncio.Event()

    async def on_health(self, message: Message[Health]) -> None:
        """Take in one worker's health."""
        before = self.health.get(message.data.worker)
        self.health[message.data.worker] = message.data
        if before is None or (before.state, before.notes) != (
            message.data.state,
            message.data.notes,
        ):
            self._changed.set()

    @property
    def missing(self) -> list[str]:
        """Workers that are expected and not ready."""
        return [
            worker
            for worker in self._expected
            if worker not in self.health or self.health[worker].state not in READY
        ]

    async def change(self) -> None:
        """Return when a worker's state or notes change, or something else is worth a look."""
        await self._changed.wait()
        self._changed.clear()

    def touch(self) -> None:
        """Something else is worth a look."""
        self._changed.set()

    async def all_ready(self, timeout_s: float) -> None:
        """Return when every expected worker is ready.

        Raises:
            ConfigError: not within `timeout_s`; the text names who is missing.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.missing:
                    await self.change()
        except TimeoutError:
            msg = f"not ready after {timeout_s:g} s: {', '.join(self.missing)}"
            raise ConfigError(msg) from None


class House:
    """Broker, workers and a bus of one's own.

    Attributes:
        settings: how to reach the broker.
        bus: for the command line itself; open.
        watch: the workers' health.
        supervisor: the workers' processes.
    """

    def __init__(
        self, settings: RuntimeSettings, bus: Bus, watch: HouseWatch, supervisor: Supervisor
    ) -> None:
        self.settings = settings
        self.bus = bus
        self.watch = watch
        self.supervisor = supervisor

    @property
    def troubles(self) -> dict[str, str]:
        """What keeps workers from running, by worker."""
        return {
            worker: child.trouble
            for worker, child in self.supervisor.children.items()
            if child.pid is None and child.trouble
        }


@asynccontextmanager
async def open_bus(bus: Bus, timeout_s: float) -> AsyncIterator[Bus]:
    """Connect a bus of the command line while the block runs.

    Raises:
        BusError: the broker does not answer within `timeout_s`.
    """
    async with bus.open():
        await bus.wait_connected(timeout_s)
        async with bus.handling(drain_s=0):
            yield bus


def client_bus(settings: RuntimeSettings) -> Bus:
    """Return a bus for a command; not yet open."""
    return Bus(PahoTransport(broker_options(settings)), source="cli", base=settings.base)


@asynccontextmanager
async def broker_settings(
    directory: Path, kind: BrokerChoice, *, port: int | None = None
) -> AsyncIterator[tuple[RuntimeSettings, EmbeddedBroker]]:
    """Run an embedded broker while the block runs; yields how to reach it."""
    async with embedded_broker(directory, kind=kind, port=port) as broker:
        address = broker.address
        yield (
            load_settings(
                RuntimeSettings,
                host=address.host,
                port=address.port,
                username=address.username,
                password=SecretStr(address.password),
            ),
            broker,
        )


@asynccontextmanager
async def keep_house(
    settings: RuntimeSettings,
    *,
    parts: Sequence[Part] = PARTS,
    variables: Mapping[str, str] | None = None,
    handlers: Callable[[Bus], None] = lambda _bus: None,
    connect_timeout_s: float = 15.0,
) -> AsyncIterator[House]:
    """Run workers on a broker while the block runs.

    Args:
        settings: how to reach the broker.
        parts: which workers.
        variables: environment for them on top of the broker's.
        handlers: installs further handlers on the bus before it opens.
        connect_timeout_s: how long the broker may take to answer.
    """
    watch = HouseWatch([part.worker_id for part in parts])
    bus = client_bus(settings)
    bus.install([listen(HEALTH, watch.on_health)])
    handlers(bus)

    def on_change(_child: Child) -> None:
        watch.touch()

    supervisor = Supervisor(
        parts,
        {**broker_variables(settings), **(variables or {})},
        log_folder(settings),
        on_change,
    )
    async with open_bus(bus, connect_timeout_s), supervisor.run():
        yield House(settings, bus, watch, supervisor)
