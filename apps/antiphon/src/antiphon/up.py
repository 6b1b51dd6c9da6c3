"""`antiphon up`: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, load_settings, running, stack_file
from antiphon_runtime.broker import EmbeddedBroker
from rich.console import Console
from rich.live import Live

from antiphon import screens, weights
from antiphon.house import BrokerChoice, House, broker_settings, keep_house
from antiphon.settings import from_url
from antiphon.supervisor import PARTS, Part

REFRESH_S = 1.0
BROKER_PAUSE_S = 0.2


@dataclass(frozen=True)
class UpOptions:
    """What to start.

    Attributes:
        broker: address of a broker to use instead of the embedded one.
        broker_kind: which embedded broker.
        port: the embedded broker's port; None takes a free one.
        without: kinds of workers that run elsewhere.
    """

    broker: str | None = None
    broker_kind: BrokerChoice = "auto"
    port: int | None = None
    without: tuple[str, ...] = ()


def parts_without(kinds: Sequence[str]) -> list[Part]:
    """Return all parts but some.

    Raises:
        ConfigError: there is no part of that kind.
    """
    known = {part.kind for part in PARTS}
    for kind in kinds:
        if kind not in known:
            msg = f"there is no worker {kind!r}; there are: {', '.join(sorted(known))}"
            raise ConfigError(msg)
    return [part for part in PARTS if part.kind not in kinds]


def pub_line(settings: RuntimeSettings) -> str:
    """Return the complete `mosquitto_pub` line that asks the running stack a question."""
    user = f" -u {settings.username}" if settings.username else ""
    password = settings.password.get_secret_value()
    secret = f" -P {password}" if password else ""
    topic = f"{settings.base}/ask" if settings.base else "ask"
    return (
        f"mosquitto_pub -h {settings.host} -p {settings.port}{user}{secret} "
        f"-t {topic} -m 'what time is it'"
    )


async def up(options: UpOptions, console: Console) -> None:
    """Run the stack until Ctrl-C or SIGTERM; a second one kills.

    Raises:
        ConfigError: it cannot start; the text says what mends it.
    """
    parts = parts_without(options.without)
    runtime = load_settings(RuntimeSettings)
    await asyncio.to_thread(weights.fetch, runtime, weights.needed_models(), console)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        if options.broker is None:
            stack.enter_context(stack_file.claim(stack_file.default_path()))
        settings, broker = await stack.enter_async_context(_broker(options, runtime))
        house = await stack.enter_async_context(keep_house(settings, parts=parts))
        _obey_signals(house, stop, console)
        if broker is not None:
            await stack.enter_async_context(_announced(settings, broker))
            await stack.enter_async_context(running(broker=_keep_broker(broker, console)))
        await _watch(house, stop, console)
        console.print("stopping; what has begun is finished (Ctrl-C again kills)")


@asynccontextmanager
async def _broker(
    options: UpOptions, runtime: RuntimeSettings
) -> AsyncIterator[tuple[RuntimeSettings, EmbeddedBroker | None]]:
    if options.broker is not None:
        yield from_url(options.broker), None
        return
    directory = runtime.data_dir / "broker"
    async with broker_settings(directory, options.broker_kind, port=options.port) as found:
        yield found


@asynccontextmanager
async def _announced(settings: RuntimeSettings, broker: EmbeddedBroker) -> AsyncIterator[None]:
    """Write the file by which other commands find this stack, while the block runs."""
    path = stack_file.default_path()
    stack_file.write(
        stack_file.Stack(
            host=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password.get_secret_value(),
            base=settings.base,
            pid=os.getpid(),
            started_ts=time.time(),
            broker_kind=broker.kind,
        ),
        path,
    )
    try:
        yield
    finally:
        stack_file.remove(path, os.getpid())


def _obey_signals(house: House, stop: asyncio.Event, console: Console) -> None:
    def on_signal() -> None:
        if stop.is_set():
            console.print("killing")
            house.supervisor.kill_all()
        stop.set()
        house.watch.touch()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, on_signal)


async def _watch(house: House, stop: asyncio.Event, console: Console) -> None:
    """Show the workers' health until told to stop."""
    begun = time.monotonic()
    announced = False
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    async with AsyncExitStack() as stack:
        if live is not None:
            stack.enter_context(live)
        said: dict[str, str] = {}
        while not stop.is_set():
            if not house.watch.missing and not announced:
                announced = True
                console.print(
                    f"ready after {time.monotonic() - begun:.1f} s; ask it from anywhere here:\n"
                    f"  antiphon ask 'what time is it'\n  {pub_line(house.settings)}",
                    highlight=False,
                    soft_wrap=True,
                    markup=False,
                )
            if live is not None:
                live.update(screens.health_table(house.watch.health, house.troubles), refresh=True)
            else:
                _say_changes(house, said, console)
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await house.watch.change()


async def _keep_broker(broker: EmbeddedBroker, console: Console) -> None:
    """Start the embedded broker again whenever it dies; everybody reconnects by itself."""
    while True:
        await broker.wait()
        console.print("the broker died; starting it again")
        await asyncio.sleep(BROKER_PAUSE_S)
        await broker.restart()


def _say_changes(house: House, said: dict[str, str], console: Console) -> None:
    states: dict[str, str] = {worker: health.state for worker, health in house.watch.health.items()}
    states.update({worker: f"down: {trouble}" for worker, trouble in house.troubles.items()})
    for worker, state in states.items():
        if said.get(worker) != state:
            said[worker] = state
            console.print(f"{worker}: {state}", highlight=False, soft_wrap=True, markup=False)
