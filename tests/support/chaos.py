"""Real processes to be killed under load, many requests at once, and what became of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from antiphon_contracts import (
    MEMORY_QUERY,
    AntiphonError,
    MemoryQuery,
    WorkerGone,
    new_id,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, Transport
from antiphon_runtime.broker import BrokerAddress

SUPPORT = Path(__file__).parent
WAIT_S = 20.0


@dataclass(frozen=True)
class Scale:
    """How much is done: all of it, or a tenth.

    Attributes:
        full: whether `--full` was given.
        seen: rows for the table at the end: what, and what was seen.
    """

    full: bool
    seen: list[tuple[str, str]]

    def __call__(self, count: int) -> int:
        """Return the count to be done, at least 2."""
        return count if self.full else max(2, count // 10)

    def record(self, what: str, figures: str) -> None:
        """Add a row to the table."""
        self.seen.append((what, figures))


@dataclass
class WorkerProcess:
    """A worker in a process of its own, which may be killed and started again."""

    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        with self.log.open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, env=self.environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def stop(self) -> int:
        """End it in good order; returns its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()


def environment_of(address: BrokerAddress, **variables: str) -> dict[str, str]:
    """Return the environment of a worker on that broker; nothing of this machine's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return {
        **kept,
        "ANTIPHON_HOST": address.host,
        "ANTIPHON_PORT": str(address.port),
        "ANTIPHON_USERNAME": address.username,
        "ANTIPHON_PASSWORD": address.password,
        **variables,
    }


@asynccontextmanager
async def worker_process(
    module_or_file: str, log: Path, environment: dict[str, str]
) -> AsyncIterator[WorkerProcess]:
    """Run a worker while the block runs."""
    how = (module_or_file,) if module_or_file.endswith(".py") else ("-m", module_or_file)
    worker = WorkerProcess((sys.executable, *how), environment, log)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.kill()


@asynccontextmanager
async def counting_worker(
    address: BrokerAddress, folder: Path, name: str = "memory-1", **variables: str
) -> AsyncIterator[WorkerProcess]:
    """Run a worker that writes each request it carries out into `ledger` in the folder."""
    environment = environment_of(
        address,
        ANTIPHON_WORKER_ID=name,
        ANTIPHON_COUNTING_LEDGER=str(folder / "ledger"),
        **variables,
    )
    file = str(SUPPORT / "counting_worker.py")
    async with worker_process(file, folder / f"{name}.log", environment) as worker:
        yield worker


def carried_out(folder: Path) -> Counter[str]:
    """Return how often each request was carried out."""
    return Counter((folder / "ledger").read_text().split())


def transport_to(address: BrokerAddress, name: str) -> Transport:
    """Return a connection as a worker's, which tries again soon."""
    return PahoTransport(
        BrokerOptions(
            host=address.host,
            port=address.port,
            username=address.username,
            password=address.password,
            client_id=name,
            backoff_s=(0.02, 0.5),
        )
    )


@asynccontextmanager
async def asker(
    address: BrokerAddress, *, transport: Transport | None = None, name: str = "asker"
) -> AsyncIterator[Bus]:
    """Yield a connected bus that may ask memory."""
    bus = Bus(transport or transport_to(address, name), source=name)
    bus.install(requests=[MEMORY_QUERY])
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        yield bus


@dataclass
class Load:
    """Requests, many at once, and what became of them.

    Attributes:
        outcomes: `answered`, or the name of the error.
        wrong: answers to somebody else's request.
    """

    bus: Bus
    total: int
    at_once: int = 100
    timeout_s: float = 30.0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    _progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Ask them all."""
        numbers = iter(range(self.total))
        async with asyncio.TaskGroup() as group:
            for number in range(self.at_once):
                group.create_task(self._work(numbers), name=f"asker:{number}")

    async def _work(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            try:
                await self._ask(new_id(), str(number))
            except AntiphonError as error:
                self.outcomes[type(error).__name__] += 1
            async with self._progress:
                self._progress.notify_all()

    async def _ask(self, message_id: str, text: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while True:
            try:
                reply = await self.bus.request(
                    MEMORY_QUERY,
                    MemoryQuery(text=text),
                    timeout_s=deadline - loop.time(),
                    message_id=message_id,
                )
            except WorkerGone:
                # Told at once that nobody is there: the same request may be made again.
                if loop.time() + 0.1 > deadline:
                    raise
                await asyncio.sleep(0.1)
                continue
            self.outcomes["answered"] += 1
            self.wrong += reply.results[0].id != message_id
            return

    async def until(self, done: int) -> None:
        """Return when so many requests have an outcome."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.outcomes.total() >= done)


async def under_load(load: Load, times: int, harm: Callable[[], Awaitable[None]]) -> None:
    """Do harm so many times, spread evenly over the requests."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run(), name="load")
        for number in range(times):
            await load.until((number + 1) * load.total // (times + 1))
            await harm()
        await running
