"""A house: broker and workers, started together and watched through their health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
    running,
)
from antiphon_runtime.broker import BrokerKind, EmbeddedBroker, embedded_broker
from pydantic import SecretStr

from antiphon.settings import broker_variables, log_folder
from antiphon.supervisor import PARTS, Child, Part, Supervisor

State = Literal["starting", "ready", "degraded", "stopping", "gone"]
BrokerChoice = BrokerKind | Literal["auto"]

READY = frozenset({"ready", "degraded"})
STALLED_AFTER_S = 10.0
STALL_CHECK_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """How a worker is, as its process and its health together say.

    Attributes:
        state: as in `Health`.
        health: what its present process said last; None if it has not spoken yet.
        trouble: how its last process ended, as long as the next is not ready.
    """

    state: State
    health: Health | None = None
    trouble: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say about it, for people."""
        trouble = (self.trouble,) if self.trouble else ()
        muted = ("The microphone is muted.",) if self.health and self.health.muted else ()
        return (*trouble, *muted, *(self.health.notes if self.health else ()))


class HouseWatch:
    """Follows the health of all workers.

    Args:
        expected: ids of the workers that shall become ready.
        pid_of: process id of an expected worker; what another process says under its id is
            old news that the broker kept. None takes every word.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        expected: Sequence[str] = (),
        pid_of: Callable[[str], int | None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.health: dict[str, Health] = {}
        self._now = now
        self._heard_at: dict[str, float] = {}
        self._connected_at = now()
        self._expected = expected
        self._pid_of = pid_of
        self._changed = asyncio.Event()

    async def on_health(self, message: Message[Health]) -> None:
        """Take in one worker's health."""
        before = self.health.get(message.data.worker)
        self.health[message.data.worker] = message.data
        self._heard_at[message.data.worker] = self._now()
        if before is None or _news(before) != _news(message.data):
            self._changed.set()

    def is_ready(self, worker: str) -> bool:
        """Whether a worker says so, and is the one that runs now."""
        health = self.health.get(worker)
        if health is None or health.state not in READY:
            return False
        return self._pid_of is None or health.pid == self._pid_of(worker)

    def on_connect(self) -> None:
        """Nobody could be heard until now: their silence begins anew."""
        self._connected_at = self._now()

    @property
    def stalled(self) -> list[str]:
        """Workers that were ready and have said nothing for long; those that start may be silent.

        A worker says how it is once a second, from its event loop: one that does not is stuck.
        """
        oldest = self._now() - STALLED_AFTER_S
        if self._connected_at > oldest:
            return []
        return [
            worker
            for worker in self._expected
            if self.is_ready(worker) and self._heard_at[worker] < oldest
        ]

    @property
    def missing(self) -> list[str]:
        """Workers that are expected and not ready."""
        return [worker for worker in self._expected if not self.is_ready(worker)]

    async def change(self) -> None:
        """Return when a worker's state or notes change, or something else is worth a look."""
        await self._changed.wait()
        self._changed.clear()

    def touch(self) -> None:
        """Something else is worth a look."""
        self._changed.set()


def _news(health: Health) -> tuple[object, ...]:
    return (health.state, health.notes, health.pid, health.muted)


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
    def states(self) -> dict[str, WorkerState]:
        """How every worker is: those of this house, and whoever else is on the broker."""
        states = {
            worker: WorkerState(health.state, health)
            for worker, health in self.watch.health.items()
            if worker not in self.supervisor.children
        }
        for worker, child in self.supervisor.children.items():
            states[worker] = self._state(worker, child)
        return states

    def _state(self, worker: str, child: Child) -> WorkerState:
        health = self.watch.health.get(worker)
        if health is not None and health.pid != child.pid:
            health = None  # of a life that is over
        if child.pid is None:
            return WorkerState("gone" if child.trouble else "starting", None, child.trouble)
        state = "starting" if health is None else health.state
        trouble = "" if self.watch.is_ready(worker) else child.trouble
        return WorkerState(state, health, trouble)

    def reasons(self, workers: Sequence[str]) -> str:
        """Return one sentence part for each worker: what keeps it from being ready."""
        parts = []
        for worker in workers:
            state = self.states[worker]
            said = state.trouble or "; ".join(state.notes) or "still starting"
            parts.append(f"{worker} ({said}; log: {self.supervisor.log_path(worker)})")
        return ", ".join(parts)

    async def all_ready(self, timeout_s: float) -> None:
        """Return when every expected worker is ready.

        Raises:
            ConfigError: not within `timeout_s`, or the settings of one are wrong; the text says
                who is missing and why.
        """
        children = self.supervisor.children
        try:
            async with asyncio.timeout(timeout_s):
                while self.watch.missing:
                    hopeless = [name for name, child in children.items() if child.misconfigured]
                    if hopeless:
                        raise ConfigError(f"not to be started: {self.reasons(hopeless)}")
                    await self.watch.change()
        except TimeoutError:
            msg = f"not ready after {timeout_s:g} s: {self.reasons(self.watch.missing)}"
            raise ConfigError(msg) from None


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
                tls="off",
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
    log_dir: Path | None = None,
    connect_timeout_s: float = 15.0,
) -> AsyncIterator[House]:
    """Run workers on a broker while the block runs.

    Args:
        settings: how to reach the broker.
        parts: which workers.
        variables: environment for them on top of the broker's.
        log_dir: folder for the workers' logs; else `logs` in the data folder.
        connect_timeout_s: how long the broker may take to answer.
    """

    def on_change(_child: Child) -> None:
        watch.touch()

    supervisor = Supervisor(
        parts,
        {**broker_variables(settings), **(variables or {})},
        log_dir or log_folder(settings),
        on_change,
    )
    watch = HouseWatch(
        [part.worker_id for part in parts],
        lambda worker: supervisor.children[worker].pid,
    )
    bus = client_bus(settings)
    bus.at_connect(watch.on_connect)
    bus.install([listen(HEALTH, watch.on_health)])
    async with (
        open_bus(bus, connect_timeout_s),
        supervisor.run(),
        running(stalls=_end_stalled(watch, supervisor, bus)),
    ):
        yield House(settings, bus, watch, supervisor)


async def _end_stalled(watch: HouseWatch, supervisor: Supervisor, bus: Bus) -> None:
    """End workers that are stuck, for ever; the supervisor starts them again."""
    reason = f"said nothing for {STALLED_AFTER_S:g} s and was ended"
    while True:
        await asyncio.sleep(STALL_CHECK_S)
        for worker in watch.stalled if bus.connected else ():
            supervisor.end(worker, reason)
