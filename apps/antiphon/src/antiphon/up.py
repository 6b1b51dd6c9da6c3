"""`antiphon up`: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from typing import Self

from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, load_settings, running, stack_file
from antiphon_runtime.broker import EmbeddedBroker
from rich.console import Console
from rich.live import Live

from antiphon import exporter, screens, weights
from antiphon.house import BrokerChoice, House, WorkerState, broker_settings, keep_house
from antiphon.interrupts import until_interrupted
from antiphon.output import print_line
from antiphon.secure.stack import SecuredHouse, refuse_open_door, secured_ways_in
from antiphon.settings import configured_broker, from_url, to_url
from antiphon.supervisor import PARTS, Part

REFRESH_S = 1.0
SLOW_START_S = 60.0
BROKER_PAUSES_S = (0.2, 10.0)
BROKER_STEADY_S = 60.0
BROKER_ATTEMPTS = 5


@dataclass(frozen=True)
class UpOptions:
    """What to start.

    Attributes:
        broker: address of a broker to use instead of an embedded one; None takes that of the
            settings, if they name a host.
        broker_kind: which embedded broker.
        port: the embedded broker's port; None takes a free one.
        without: kinds of workers that run elsewhere.
        secure: run the secured house: TLS, a user for each part, open to the network.
        listen: address to listen on; others than this machine's own need `secure`.
        metrics_port: port of this machine to serve metrics on; None serves none.
    """

    broker: str | None = None
    broker_kind: BrokerChoice = "auto"
    port: int | None = None
    without: tuple[str, ...] = ()
    secure: bool = False
    listen: str | None = None
    metrics_port: int | None = None


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


def ways_in(settings: RuntimeSettings, *, found_by_itself: bool) -> list[str]:
    """Return the command lines that ask the running stack a question.

    Args:
        settings: how its broker is reached.
        found_by_itself: whether `antiphon ask` finds the stack without being told.
    """
    broker = [] if found_by_itself else ["--broker", to_url(settings)]
    password = settings.password.get_secret_value()
    topic = f"{settings.base}/ask" if settings.base else "ask"
    pub = ["mosquitto_pub", "-h", settings.host, "-p", str(settings.port)]
    pub += ["-u", settings.username] if settings.username else []
    pub += ["-P", password] if password else []
    question = "what time is it"
    return [
        shlex.join(["antiphon", "ask", *broker, question]),
        shlex.join([*pub, "-t", topic, "-m", question]),
    ]


async def up(options: UpOptions, console: Console) -> None:
    """Run the stack until Ctrl-C or SIGTERM; a second one kills.

    Raises:
        ConfigError: it cannot start; the text says what mends it.
    """
    stack = _Stack(options, console)
    await until_interrupted(stack.run(), stack.on_stop, stack.on_kill)


class _Stack:
    """One run of the whole stack."""

    def __init__(self, options: UpOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._house: House | None = None
        self._stopping = False

    def on_stop(self) -> None:
        self._stopping = True

    def on_kill(self) -> None:
        if self._house is not None:
            print_line(self._console, "killing")
            self._house.supervisor.kill_all()

    async def run(self) -> None:
        """Run until cancelled; everything ends in good order then."""
        options, console = self._options, self._console
        external = external_broker(options)
        secured = secured_house(options, external)
        parts = parts_without(options.without)
        if secured is not None:
            parts = secured.parts(parts)
        runtime = load_settings(RuntimeSettings)
        if options.metrics_port is not None:
            exporter.refuse_without_library()
        async with AsyncExitStack() as stack:
            if external is None:
                stack.enter_context(stack_file.claim(stack_file.default_path()))
            await weights.fetch(runtime, weights.needed_models(), console)
            settings, broker = await stack.enter_async_context(
                _broker(options, external) if secured is None else secured.broker()
            )
            print_line(
                console, f"broker at {settings.host}:{settings.port}; starting the workers …"
            )
            house = await stack.enter_async_context(keep_house(settings, parts=parts))
            self._house = house
            if broker is not None:
                stack.enter_context(_announced(settings, broker))
                await stack.enter_async_context(running(broker=_keep_broker(broker, console)))
            if options.metrics_port is not None:
                await stack.enter_async_context(
                    exporter.keep_exporter(settings, options.metrics_port, console)
                )
            lines = (
                ways_in(settings, found_by_itself=options.broker is None)
                if secured is None
                else secured_ways_in(settings)
            )
            stack.callback(self._say_stopping)
            await _watch(house, lines, console)

    def _say_stopping(self) -> None:
        if self._stopping:
            print_line(self._console, "stopping; what has begun is finished (Ctrl-C again kills)")


def external_broker(options: UpOptions) -> RuntimeSettings | None:
    """Return the broker to use instead of an embedded one: that of the options or the settings.

    Raises:
        ConfigError: the options ask for both.
    """
    external = configured_broker() if options.broker is None else from_url(options.broker)
    if external is not None and (options.port is not None or options.broker_kind != "auto"):
        msg = (
            f"the broker at {external.host}:{external.port} is to be used, so --port and "
            "--broker-kind, which are for an embedded one, cannot be obeyed: leave out one side"
        )
        raise ConfigError(msg)
    return external


def secured_house(options: UpOptions, external: RuntimeSettings | None) -> SecuredHouse | None:
    """Return the secured house that the options ask for; None if they ask for none.

    Raises:
        ConfigError: they would open the door without one, or ask for what does not go with one.
    """
    if not options.secure:
        refuse_open_door(options.listen)
        return None
    if external is not None or options.broker_kind == "amqtt":
        msg = (
            "--secure runs a mosquitto of its own: leave out --broker and --broker-kind, and "
            "the host in the settings"
        )
        raise ConfigError(msg)
    return SecuredHouse(options.listen, options.port)


@asynccontextmanager
async def _broker(
    options: UpOptions, external: RuntimeSettings | None
) -> AsyncIterator[tuple[RuntimeSettings, EmbeddedBroker | None]]:
    if external is not None:
        yield external, None
        return
    directory = load_settings(RuntimeSettings).data_dir / "broker"
    async with broker_settings(directory, options.broker_kind, port=options.port) as found:
        yield found


@contextmanager
def _announced(settings: RuntimeSettings, broker: EmbeddedBroker) -> Iterator[None]:
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
            tls_ca=str(settings.tls_ca) if settings.encrypted else "",
        ),
        path,
    )
    try:
        yield
    finally:
        stack_file.remove(path, os.getpid())


async def _keep_broker(broker: EmbeddedBroker, console: Console) -> None:
    """Start the embedded broker again whenever it dies; everybody reconnects by itself.

    Raises:
        ConfigError: it cannot be started any more.
    """
    loop = asyncio.get_running_loop()
    pause_s, failures = BROKER_PAUSES_S[0], 0
    while True:
        begun = loop.time()
        await broker.wait()
        if loop.time() - begun > BROKER_STEADY_S:
            pause_s, failures = BROKER_PAUSES_S[0], 0
        print_line(console, f"the broker died; starting it again in {pause_s:g} s")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, BROKER_PAUSES_S[1])
        try:
            await broker.restart()
        except ConfigError:
            failures += 1
            if failures == BROKER_ATTEMPTS:
                raise


async def _watch(house: House, lines: Sequence[str], console: Console) -> None:
    """Show the workers' health, for ever."""
    begun = time.monotonic()
    announced, warned = False, False
    screen: _LiveTable | _ChangeLog
    screen = _LiveTable(console) if console.is_terminal else _ChangeLog(console)
    with screen:
        while True:
            waited_s = time.monotonic() - begun
            if not house.watch.missing and not announced:
                announced = True
                print_line(console, f"ready after {waited_s:.1f} s; ask it from anywhere here:")
                for line in lines:
                    print_line(console, f"  {line}")
            elif not announced and not warned and waited_s > SLOW_START_S:
                warned = True
                print_line(console, f"still not ready: {house.reasons(house.watch.missing)}")
            screen.show(house.states)
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await house.watch.change()


class _LiveTable(AbstractContextManager["_LiveTable"]):
    """A table that stays at the foot of a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def show(self, states: Mapping[str, WorkerState]) -> None:
        self._live.update(screens.health_table(states), refresh=True)


class _ChangeLog(AbstractContextManager["_ChangeLog"]):
    """A line for every change, where nobody looks at a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def __exit__(self, *exc: object) -> None:
        return

    def show(self, states: Mapping[str, WorkerState]) -> None:
        for worker, state in states.items():
            notes = f" ({'; '.join(state.notes)})" if state.notes else ""
            sentence = f"{worker}: {state.state}{notes}"
            if self._said.get(worker) != sentence:
                self._said[worker] = sentence
                print_line(self._console, sentence)
