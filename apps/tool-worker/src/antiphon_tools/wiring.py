"""What the tool worker is made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from weakref import WeakKeyDictionary

from antiphon_contracts import (
    ASK_USER,
    TOOLS_CALL,
    TOOLS_CANCEL,
    TOOLS_LOG,
    TOOLS_REGISTRY,
    ConfigError,
    Message,
    ToolCall,
    ToolRegistry,
    ToolSpec,
)
from antiphon_runtime import (
    Bus,
    Handler,
    HealthReporter,
    Wiring,
    Worker,
    engine_names,
    listen,
    load_engine,
    running,
    serve,
)

from antiphon_tools.builtin.clock import zone_of
from antiphon_tools.call_log import CallLog
from antiphon_tools.confirming import SpokenConsent
from antiphon_tools.engine import compile_schema
from antiphon_tools.engine.servers import Fleet, check_library
from antiphon_tools.gate import Gate
from antiphon_tools.house import House
from antiphon_tools.journal import CallJournal
from antiphon_tools.memory_requests import BusMemory
from antiphon_tools.offering import REQUESTS, house_tools, keep_offering
from antiphon_tools.registry import Registry
from antiphon_tools.reloading import FollowedFile
from antiphon_tools.service import Executor, Guard
from antiphon_tools.settings import ToolsSettings, file_of
from antiphon_tools.taint import Taints
from antiphon_tools.tool import Origin, Tool, ToolContext, ToolError
from antiphon_tools.tools_file import ToolsFile

GROUP = "antiphon.tools"

_LOOK_S = 1.0
_AT_THE_DOOR = 16
"""Calls beyond those that run or wait: to be refused, or with a person to be asked first."""


@dataclass(frozen=True)
class Lasting:
    """What outlives a reload of the settings.

    Attributes:
        taints: which turns have seen something from outside the house.
        calls: the last calls.
    """

    taints: Taints = field(default_factory=Taints)
    calls: CallLog = field(default_factory=CallLog)


_LASTING: WeakKeyDictionary[Bus, Lasting] = WeakKeyDictionary()


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
    followed = FollowedFile(file_of(settings, worker.runtime.data_dir), health)
    check_library(followed.read().servers)
    registry = Registry(compile_schema, settings.allow, lambda: followed.rules)
    house = House(
        data_dir=worker.runtime.data_dir,
        bus=bus,
        health=health,
        base=worker.runtime.base,
        retry_s=worker.runtime.server_retry_s,
    )
    fleet = Fleet(registry.offer, registry.withdraw, health)

    def offer_ours() -> list[str]:
        if find_tools is not None:
            return []
        return registry.offer("installed", house_tools(followed.content, house))

    def on_file(file: ToolsFile) -> None:
        check_library(file.servers)
        offer_ours()
        fleet.follow(file.servers)
        registry.changed.set()  # policies are part of it

    faults += offer_ours()
    faults += registry.offer("third parties", (find_tools or installed_tools)(faults))
    # Those of MCP servers come later.
    missing = [name for name in registry.missing() if "." not in name]
    faults += [f"The tool {name} is allowed but not there." for name in missing]
    _note(health, faults)

    def context_of(call: Message[ToolCall]) -> ToolContext:
        memory = BusMemory(bus, call, origin := Origin(), timeout_s=settings.memory_timeout_s)
        return ToolContext(call.site_id, call.turn_id, memory, clock, zone, call.id, origin)

    lasting = _LASTING.setdefault(bus, Lasting())
    guard = Guard(
        rules=lambda: followed.rules,
        consent=SpokenConsent(bus, settings.language),
        taints=lasting.taints,
        gate=Gate(
            settings.concurrency,
            settings.waiting,
            lambda source: fleet.limit_of(source) or settings.concurrency,
        ),
        journal=CallJournal(worker.runtime.data_dir / "tool-calls.log"),
        calls=lasting.calls,
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await guard.journal.open()
        health.engine = f"{len(registry.specs())} tools"
        async with (
            house.open(),
            fleet.open(followed.content.servers),
            running(
                announce=announce(bus, registry),
                offer=keep_offering(house, offer_ours),
                follow=followed.follow(on_file),
            ),
        ):
            yield

    return Wiring(
        _handlers(Executor(registry, context_of, guard), lasting.calls, settings),
        requests=[*REQUESTS, ASK_USER],
        lifespan=lifespan,
    )


def _handlers(executor: Executor, calls: CallLog, settings: ToolsSettings) -> list[Handler]:
    # All that may run or wait is taken out of the lane, and more: the gate knows who has to wait or
    # to go, the lane does not.
    at_once = settings.concurrency + settings.waiting + _AT_THE_DOOR
    return [
        serve(TOOLS_CALL, executor.on_call, concurrency=at_once, queue_limit=at_once),
        listen(TOOLS_CANCEL, executor.on_cancel),
        serve(TOOLS_LOG, calls.on_query),
    ]


async def announce(bus: Bus, registry: Registry) -> None:
    """Publish the registry now, at every change and after every reconnect, for ever.

    A broker that was restarted may have forgotten what it had retained.
    """
    connects, version = -1, 0
    told: tuple[ToolSpec, ...] | None = None
    while True:
        if registry.changed.is_set() or bus.counters["connects"] != connects:
            registry.changed.clear()
            specs = registry.specs()
            if specs != told:
                # Grows across restarts as well, where nothing is remembered.
                version = max(version + 1, int(time.time() * 1000))
            if specs != told or bus.counters["connects"] != connects:
                bus.publish(TOOLS_REGISTRY, ToolRegistry(tools=specs, version=version))
            connects, told = bus.counters["connects"], specs
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
