"""What the tool worker is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, tzinfo

from antiphon_contracts import (
    TOOLS_CALL,
    TOOLS_REGISTRY,
    ConfigError,
    Message,
    ToolCall,
    ToolRegistry,
)
from antiphon_runtime import (
    Bus,
    HealthReporter,
    Wiring,
    Worker,
    engine_names,
    load_engine,
    running,
    serve,
)

from antiphon_tools.builtin.clock import zone_of
from antiphon_tools.engine import compile_schema
from antiphon_tools.house import House
from antiphon_tools.journal import CallJournal
from antiphon_tools.memory_requests import BusMemory
from antiphon_tools.offering import REQUESTS, house_tools, keep_offering
from antiphon_tools.registry import Registry
from antiphon_tools.service import Executor
from antiphon_tools.settings import ToolsSettings
from antiphon_tools.tool import Tool, ToolContext, ToolError
from antiphon_tools.tools_file import ToolsFile

GROUP = "antiphon.tools"

_CONCURRENCY = 8
_LOOK_S = 1.0


def installed_tools(faults: list[str]) -> list[Tool]:
    """Return what third parties' entry points name; what cannot be loaded goes into `faults`."""
    tools: list[Tool] = []
    for name in engine_names(GROUP):
        try:
            tool = load_engine(GROUP, name)
        except ConfigError as error:
            faults.append(f"The tool {name} cannot be used: {error}.")
            continue
        if isinstance(tool, Tool):
            tools.append(tool)
        else:
            faults.append(f"The tool {name} cannot be used: its entry point names no tool.")
    return tools


def utc_now() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


def build(
    worker: Worker[ToolsSettings],
    find_tools: Callable[[list[str]], Iterable[Tool]] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Wiring:
    """Return the worker's handler and its lifespan: the registry published and kept so.

    Args:
        worker: what it is built from.
        find_tools: takes a list for sentences about faults; what it returns is on offer instead of
            our own tools and those of third parties.
        clock: the time now, with a time zone.
    """
    settings, bus, health = worker.settings, worker.bus, worker.health
    zone = _zone(settings.timezone)
    faults: list[str] = []
    registry = Registry(compile_schema, settings.allow)
    house = House(
        data_dir=worker.runtime.data_dir,
        bus=bus,
        health=health,
        base=worker.runtime.base,
        retry_s=worker.runtime.server_retry_s,
    )
    file = ToolsFile()

    def offer_ours() -> list[str]:
        return [] if find_tools else registry.offer("installed", house_tools(file, house))

    faults += offer_ours()
    faults += registry.offer("third parties", (find_tools or installed_tools)(faults))
    faults += [f"The tool {name} is allowed but not there." for name in registry.missing()]
    _note(health, faults)

    def context_of(call: Message[ToolCall]) -> ToolContext:
        memory = BusMemory(bus, call, timeout_s=settings.memory_timeout_s)
        return ToolContext(call.site_id, call.turn_id, memory, clock, zone, call.id)

    journal = CallJournal(worker.runtime.data_dir / "tool-calls.log")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await journal.open()
        health.engine = f"{len(registry.specs())} tools"
        async with (
            house.open(),
            running(announce=announce(bus, registry), offer=keep_offering(house, offer_ours)),
        ):
            yield

    executor = Executor(registry, context_of, journal)
    return Wiring(
        [serve(TOOLS_CALL, executor.on_call, concurrency=_CONCURRENCY)],
        requests=REQUESTS,
        lifespan=lifespan,
    )


async def announce(bus: Bus, registry: Registry) -> None:
    """Publish the registry now, at every change and after every reconnect, for ever.

    A broker that was restarted may have forgotten what it had retained.
    """
    connects = -1
    while True:
        if registry.changed.is_set() or bus.counters["connects"] != connects:
            registry.changed.clear()
            connects = bus.counters["connects"]
            bus.publish(TOOLS_REGISTRY, ToolRegistry(tools=registry.specs()))
        try:
            async with asyncio.timeout(_LOOK_S):
                await registry.changed.wait()
        except TimeoutError:
            continue


def _note(health: HealthReporter, faults: list[str]) -> None:
    if faults:
        health.note("tools", " ".join(faults))
    else:
        health.clear_note("tools")


def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    try:
        return zone_of(name)
    except ToolError:
        msg = "timezone in [tools] is no known time zone; write it like Europe/Paris"
        raise ConfigError(msg) from None
