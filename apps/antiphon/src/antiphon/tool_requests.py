"""Tools from the command line: what is on offer, calling one, and what was called."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from antiphon_contracts import (
    TOOLS_CALL,
    TOOLS_LOG,
    TOOLS_REGISTRY,
    ConfigError,
    EngineError,
    Message,
    RequestTimeout,
    RequestTopic,
    ToolCall,
    ToolLogQuery,
    ToolRegistry,
    ToolSpec,
)
from antiphon_runtime import Bus, listen
from rich.console import Console
from rich.table import Table

from antiphon.house import client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (TOOLS_CALL, TOOLS_LOG)

CONNECT_TIMEOUT_S = 5.0
REGISTRY_TIMEOUT_S = 3.0
MORE_REGISTRIES_S = 0.2
"""Several tool workers may each have one; the broker keeps them, so they come at once."""

LOG_TIMEOUT_S = 10.0
CALL_MARGIN_S = 5.0
CONFIRM_S = 60.0
"""How long a person may take who is asked for confirmation."""


class _Offers:
    def __init__(self) -> None:
        self.by_worker: dict[str, ToolRegistry] = {}
        self.arrived = asyncio.Event()

    async def on_registry(self, message: Message[ToolRegistry]) -> None:
        self.by_worker[message.source] = message.data
        self.arrived.set()

    @property
    def specs(self) -> list[ToolSpec]:
        found = {tool.name: tool for offer in self.by_worker.values() for tool in offer.tools}
        return [found[name] for name in sorted(found)]


@asynccontextmanager
async def _tools(broker: str | None) -> AsyncIterator[tuple[Bus, list[ToolSpec]]]:
    """Connect, and yield the bus and the tools on offer.

    Raises:
        RequestTimeout: nobody offers any.
    """
    offers = _Offers()
    bus = client_bus(find_broker(broker))
    bus.install([listen(TOOLS_REGISTRY, offers.on_registry)], requests=REQUESTS)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        try:
            async with asyncio.timeout(REGISTRY_TIMEOUT_S):
                await offers.arrived.wait()
        except TimeoutError:
            msg = "no tool worker has said what it offers: see `antiphon status`"
            raise RequestTimeout(msg) from None
        await asyncio.sleep(MORE_REGISTRIES_S)
        yield bus, offers.specs


async def show_list(*, json: bool, broker: str | None) -> None:
    """Print the tools on offer.

    Raises:
        BusError: there is no broker or no tool worker.
    """
    async with _tools(broker) as (_, specs):
        pass
    if json:
        print_json([spec.model_dump() for spec in specs])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("tool", "from", "policy", "what it does"):
        table.add_column(heading, no_wrap=heading != "what it does")
    for spec in specs:
        first, _, _ = spec.description.strip().partition("\n")
        table.add_row(spec.name, spec.source, spec.policy, first)
    Console().print(table, markup=False)


async def call(
    name: str,
    given: Sequence[str],
    *,
    site: str,
    yes: bool,
    json: bool,
    broker: str | None,
) -> bool:
    """Call a tool and print its result; returns whether it went well.

    Args:
        name: the tool.
        given: `name=value` pairs, or one JSON object.
        site: where it is called from.
        yes: whether it is confirmed hereby.
        json: the whole result as JSON.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no tool worker, or no answer in time.
        ConfigError: there is no such tool, or the arguments cannot be read.
    """
    async with _tools(broker) as (bus, specs):
        spec = next((spec for spec in specs if spec.name == name), None)
        if spec is None:
            msg = f"there is no tool {name!r}: see `antiphon tools list`"
            raise ConfigError(msg)
        result = await bus.request(
            TOOLS_CALL,
            ToolCall(name=name, arguments=arguments_of(given, spec), confirmed=yes),
            timeout_s=spec.timeout_s + CALL_MARGIN_S + CONFIRM_S,
            site_id=site,
        )
    if json:
        print_json(result.model_dump())
        return result.error is None
    if result.error is not None:
        raise EngineError(result.error)
    told = result.result
    print_line(Console(), told if isinstance(told, str) else _as_text(told))
    return True


def _as_text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def arguments_of(given: Sequence[str], spec: ToolSpec) -> dict[str, Any]:
    """Return a call's arguments from `name=value` pairs or one JSON object.

    A value is text where the tool's schema wants text, else JSON where it is JSON.

    Raises:
        ConfigError: they cannot be read.
    """
    if len(given) == 1 and given[0].lstrip().startswith("{"):
        try:
            whole = orjson.loads(given[0])
        except orjson.JSONDecodeError as error:
            msg = f"the arguments are no JSON: {error}"
            raise ConfigError(msg) from None
        return dict(whole)
    arguments: dict[str, Any] = {}
    properties = spec.parameters.get("properties", {})
    for pair in given:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            msg = f"write arguments as name=value, or all as one JSON object; not {pair!r}"
            raise ConfigError(msg)
        wants_text = properties.get(key, {}).get("type") == "string"
        arguments[key] = value if wants_text else _json_or_text(value)
    return arguments


def _json_or_text(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


async def show_log(name: str | None, *, count: int, json: bool, broker: str | None) -> None:
    """Print which tools were called lately, oldest first.

    Raises:
        BusError: there is no broker or no tool worker.
    """
    bus = client_bus(find_broker(broker))
    bus.install(requests=REQUESTS)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        asked = ToolLogQuery(limit=count, name=name)
        log = await bus.request(TOOLS_LOG, asked, timeout_s=LOG_TIMEOUT_S)
    if json:
        print_json([entry.model_dump() for entry in log.entries])
        return
    console = Console()
    if not log.entries:
        print_line(console, "no tool was called")
    for entry in reversed(log.entries):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.ts))
        outcome = entry.error_code or "ok"
        asked_ = ", a person was asked" if entry.asked else ""
        print_line(
            console,
            f"{when}  {entry.name}  {outcome}  {entry.ms:.0f} ms  "
            f"by {entry.caller} in {entry.site_id}{asked_}",
        )
