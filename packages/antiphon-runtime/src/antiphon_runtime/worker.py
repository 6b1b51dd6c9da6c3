"""A worker process: settings, bus, health, handlers, and an orderly end."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
from antiphon_contracts import (
    CONTROL,
    BusError,
    ConfigError,
    Control,
    Message,
    RequestTopic,
)

from antiphon_runtime.bus import Bus
from antiphon_runtime.dead_letters import DeadLetters
from antiphon_runtime.handlers import Handler, listen
from antiphon_runtime.health import HealthReporter, last_will
from antiphon_runtime.logs import configure_logs
from antiphon_runtime.loop_monitor import LoopMonitor
from antiphon_runtime.paho_transport import BrokerOptions, PahoTransport
from antiphon_runtime.settings import RuntimeSettings, Settings, load_settings
from antiphon_runtime.tasks import running
from antiphon_runtime.tls import client_context

S = TypeVar("S", bound=Settings)

log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S = 0.0005  # keeps the loop's lag low beside threads that hold the GIL
THREADS_END_S = 0.3
# What the broker gave to a member of a group stays with it: one that is gone for good must not take
# its turns for long.
GROUP_SESSION_EXPIRY_S = 5
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


@asynccontextmanager
async def no_lifespan() -> AsyncIterator[None]:
    """Nothing to start and nothing to stop."""
    yield


@dataclass(frozen=True)
class Wiring:
    """What a worker is made of.

    Attributes:
        handlers: its table of handlers.
        requests: the requests that it makes.
        lifespan: loads models and runs background work; handlers run inside it. The worker is
            `starting` until it is entered; messages wait in their queues meanwhile.
        mute: obeys `mute` (true) and `unmute`; None where there is no microphone.
    """

    handlers: Sequence[Handler]
    requests: Sequence[RequestTopic[Any, Any]] = ()
    lifespan: Callable[[], AbstractAsyncContextManager[None]] = no_lifespan
    mute: Callable[[bool], Awaitable[None]] | None = None


@dataclass(frozen=True)
class Worker(Generic[S]):
    """What a worker's wiring is built from.

    Attributes:
        settings: the worker's own settings.
        runtime: what every worker knows.
        bus: not yet open while the wiring is built.
        health: for notes about what works with less, and the engine's name.
    """

    settings: S
    runtime: RuntimeSettings
    bus: Bus
    health: HealthReporter


Build = Callable[[Worker[S]], Wiring]


@dataclass
class _Orders:
    """What the process was told from outside."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    mute: Callable[[bool], Awaitable[None]] | None = None

    async def wait(self) -> None:
        async with running(
            stop=_set_when(self.stop, done := asyncio.Event()),
            reload=_set_when(self.reload, done),
        ):
            await done.wait()


async def _set_when(event: asyncio.Event, done: asyncio.Event) -> None:
    await event.wait()
    done.set()


def run(kind: str, settings: type[S], build: Build[S]) -> None:
    """Run a worker until SIGTERM, SIGINT or a `drain`; the body of every `__main__`.

    Exits with 78 and one sentence on standard error if the settings are wrong.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        runtime = load_settings(RuntimeSettings)
        worker_id = runtime.worker_id or f"{kind}-1"
        configure_logs(worker_id, level=runtime.log_level, style=runtime.log_style)
        asyncio.run(_main(kind, worker_id, runtime, settings, build))
    except ConfigError as error:
        print(f"antiphon {kind}: {error}", file=sys.stderr)  # noqa: T201  (before and after logs)
        _leave_threads_behind(EXIT_CONFIG)
        raise SystemExit(EXIT_CONFIG) from None
    _leave_threads_behind(0)


def _leave_threads_behind(exit_code: int) -> None:
    """End the process now if a model's thread still computes: it cannot be cancelled."""
    deadline = time.monotonic() + THREADS_END_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(exit_code)


async def _main(
    kind: str, worker_id: str, runtime: RuntimeSettings, settings: type[S], build: Build[S]
) -> None:
    orders = _Orders()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, orders.stop.set)
    loop.add_signal_handler(signal.SIGHUP, orders.reload.set)
    loop.add_signal_handler(signal.SIGUSR1, dump_tasks)
    transport = PahoTransport(
        broker_options(runtime, client_id=worker_id, will_of=(worker_id, kind))
    )
    bus = Bus(transport, source=worker_id, base=runtime.base, group=runtime.group)
    monitor = LoopMonitor()
    health = HealthReporter(bus, worker_id, kind, monitor, ready_file=runtime.ready_file)
    obey = partial(_on_control, worker_id, runtime, orders)
    bus.install(listen(CONTROL.narrowed(worker=name), obey) for name in ("all", worker_id))
    bus.install(DeadLetters(bus).handlers)
    wiring = build(Worker(load_settings(settings), runtime, bus, health))
    bus.install(wiring.handlers, wiring.requests)
    orders.mute = wiring.mute
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(monitor.watch())
        await stack.enter_async_context(bus.open())
        await stack.enter_async_context(running(health=health.beat()))
        stack.push_async_callback(_say_gone, bus, health)
        while not orders.stop.is_set():
            await _serve_until_told(bus, health, wiring, orders, runtime.drain_s)
            if orders.reload.is_set():
                orders.reload.clear()
                wiring = _rebuild(wiring, settings, build, runtime, bus, health)
                orders.mute = wiring.mute


@dataclass
class _Service:
    """How far the running of one wiring is."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def _serve_until_told(
    bus: Bus, health: HealthReporter, wiring: Wiring, orders: _Orders, drain_s: float
) -> None:
    """Run one wiring until told to stop or to reload; a start is broken off, work is drained."""
    service = _Service()
    async with running(serve=_serve(bus, health, wiring, service, drain_s)):
        await orders.wait()
        if orders.stop.is_set():
            health.enter("stopping")
        if service.begun.is_set():
            service.end.set()
            await service.ended.wait()


async def _serve(
    bus: Bus, health: HealthReporter, wiring: Wiring, service: _Service, drain_s: float
) -> None:
    health.enter("starting")
    async with wiring.lifespan(), bus.handling(drain_s=drain_s):
        health.enter("ready")
        log.info("worker.ready", engine=health.engine)
        service.begun.set()
        await service.end.wait()
    service.ended.set()


def _rebuild(
    old: Wiring,
    settings: type[S],
    build: Build[S],
    runtime: RuntimeSettings,
    bus: Bus,
    health: HealthReporter,
) -> Wiring:
    try:
        wiring = build(Worker(load_settings(settings), runtime, bus, health))
    except ConfigError as error:
        log.error("reload.refused", detail=str(error))  # noqa: TRY400  (the sentence says it)
        health.note("reload", f"the new settings were refused: {error}")
        return old
    health.clear_note("reload")
    bus.install(wiring.handlers, wiring.requests)
    return wiring


async def _say_gone(bus: Bus, health: HealthReporter) -> None:
    health.enter("gone")
    if not bus.connected:
        return
    try:
        async with asyncio.timeout(1.0):
            await health.publish()
    except (BusError, TimeoutError):
        log.warning("worker.end_not_told")


async def _on_control(
    worker_id: str, runtime: RuntimeSettings, orders: _Orders, message: Message[Control]
) -> None:
    """Obey `control/all` and `control/<worker>`."""
    order = message.data
    log.info("worker.control", action=order.action, by=message.source)
    if order.action == "reload":
        orders.reload.set()
    elif order.action == "drain":
        orders.stop.set()
    elif order.action in {"mute", "unmute"} and orders.mute is not None:
        await orders.mute(order.action == "mute")
    elif order.action == "log_level" and order.level is not None:
        configure_logs(worker_id, level=order.level, style=runtime.log_style)


def broker_options(
    runtime: RuntimeSettings, *, client_id: str = "", will_of: tuple[str, str] | None = None
) -> BrokerOptions:
    """Return how to reach the broker that the settings name.

    Args:
        runtime: the settings.
        client_id: stable ids get a session that outlives a lost connection.
        will_of: worker id and kind whose last will the broker keeps.

    Raises:
        ConfigError: the authority's certificate cannot be used.
    """
    return BrokerOptions(
        host=runtime.host,
        port=runtime.port,
        username=runtime.username,
        password=runtime.password.get_secret_value(),
        client_id=f"{runtime.base.replace('/', '-')}-{client_id}" if client_id else "",
        session_expiry_s=_session_expiry_s(runtime) if client_id else 0,
        protocol=runtime.protocol,
        tls=client_context(runtime.tls_ca) if runtime.encrypted else None,
        will=last_will(*will_of, runtime.base) if will_of else None,
    )


def _session_expiry_s(runtime: RuntimeSettings) -> int:
    if runtime.group:
        return min(runtime.session_expiry_s, GROUP_SESSION_EXPIRY_S)
    return runtime.session_expiry_s


def dump_tasks() -> None:
    """Log the live tasks and where each of them waits (SIGUSR1)."""
    for task in asyncio.all_tasks():
        log.warning("task", name=task.get_name(), where=_where(task.get_coro()))


def _where(coroutine: object) -> list[str]:
    """Return file, line and function of the coroutines that a task waits in, outermost first."""
    where = []
    while inspect.iscoroutine(coroutine) and coroutine.cr_frame is not None:
        frame = coroutine.cr_frame
        where.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")
        coroutine = coroutine.cr_await
    return where
