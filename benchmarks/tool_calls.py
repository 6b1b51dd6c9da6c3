"""Calls of an MCP server's tool: through the bus and the tool worker, against the SDK directly.

Both talk to a server of their own over its standard input and output, in interleaved blocks of one
run. One tool only reads; the other may change something, so that each call is first noted on disk.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from antiphon_contracts import (
    TOOLS_CALL,
    TOOLS_REGISTRY,
    EngineError,
    Message,
    ToolCall,
    ToolRegistry,
)
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, listen
from antiphon_runtime.broker import BrokerAddress, embedded_broker
from bus import interleaved, one_by_one
from children import HERE
from command import Options, main, say
from figures import Figure, Report, block_ratio, pooled, spread
from mcp import Client, StdioServerParameters

SERVER = str(HERE / "tool_server.py")
TEXT = "x" * 200
START_S = 60.0
WARM_UP_CALLS = 50
GOAL_MS = 5.0

Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        blocks: interleaved blocks of each way.
        calls: in a block.
    """

    blocks: int = 6
    calls: int = 200


QUICK = Size(blocks=2, calls=10)


@asynccontextmanager
async def directly() -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Yield a call by the SDK alone."""
    async with Client(StdioServerParameters(command=sys.executable, args=[SERVER])) as client:

        async def call(name: str) -> None:
            result = await client.call_tool(name, {"text": TEXT})
            if result.is_error:
                raise EngineError("the server failed")

        yield call


@asynccontextmanager
async def tool_worker(env: Mapping[str, str]) -> AsyncIterator[None]:
    """Run a tool worker while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon_tools"), env={**os.environ, **env}
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def by_the_bus(
    broker: BrokerAddress, folder: Path
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Yield a call through a broker and a tool worker in a process of its own."""
    file = folder / "tools.toml"
    file.write_text(f'[servers.bench]\ncommand = "{sys.executable}"\nargs = ["{SERVER}"]\n')
    options = BrokerOptions(
        host=broker.host, port=broker.port, username=broker.username, password=broker.password
    )
    there = asyncio.Event()

    async def on_registry(message: Message[ToolRegistry]) -> None:
        if any(spec.source == "bench" for spec in message.data.tools):
            there.set()

    bus = Bus(PahoTransport(options), source="bench")
    bus.install([listen(TOOLS_REGISTRY, on_registry)], [TOOLS_CALL])

    async def call(name: str) -> None:
        asked = ToolCall(name=f"bench.{name}", arguments={"text": TEXT})
        result = await bus.request(TOOLS_CALL, asked, timeout_s=10)
        if result.error is not None:
            raise EngineError(result.error)

    env = {
        "ANTIPHON_HOST": broker.host,
        "ANTIPHON_PORT": str(broker.port),
        "ANTIPHON_USERNAME": broker.username,
        "ANTIPHON_PASSWORD": broker.password,
        "ANTIPHON_DATA_DIR": str(folder),
        "ANTIPHON_TOOLS_FILE": str(file),
        "ANTIPHON_LOG_LEVEL": "warning",
    }
    async with bus.open(), bus.handling(drain_s=0), tool_worker(env):
        async with asyncio.timeout(START_S):
            await there.wait()
        yield call


def cpu_s() -> float:
    """Return the processor time that this process and all its children have taken."""
    every = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in every)


async def cpu_ms(call: Call, calls: int) -> float:
    """Return the processor time of a call, in all processes that take part."""
    begun = cpu_s()
    await one_by_one(call, calls)
    return 1000 * (cpu_s() - begun) / calls


async def measure(options: Options) -> Report:
    """Return the comparison."""
    size = QUICK if options.quick else Size()
    report = Report("tool_calls", options.quick)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(embedded_broker(folder, kind="mosquitto"))
            bus = await stack.enter_async_context(by_the_bus(broker.address, folder))
            sdk = await stack.enter_async_context(directly())
            found, taken = {}, {}
            for tool in ("look", "write"):
                say(f"tool_calls: {tool}")
                ask: dict[str, Call] = {"bus": partial(bus, tool), "sdk": partial(sdk, tool)}
                for call in ask.values():
                    await one_by_one(call, 2 if options.quick else WARM_UP_CALLS)
                found[tool] = await interleaved(ask, size.blocks, size.calls)
                for way, call in ask.items():
                    taken[f"{tool} by {way}"] = round(await cpu_ms(call, size.calls), 2)
    for tool, blocks in found.items():
        added = [
            statistics.median(ours) - statistics.median(theirs)
            for ours, theirs in zip(blocks["bus"], blocks["sdk"], strict=True)
        ]
        report.figures += [
            Figure(f"{tool}: p50 added", statistics.median(added), "ms", GOAL_MS),
            Figure(f"{tool}: p50 to the SDK", block_ratio(blocks["bus"], blocks["sdk"]), "x"),
        ]
    report.details = {
        "calls": size.blocks * size.calls,
        "cpu_ms": taken,  # on a busy machine this says more than the times
        "ms": {
            f"{tool} by {way}": spread(pooled(ours)).as_json()
            for tool, blocks in found.items()
            for way, ours in blocks.items()
        },
    }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("tool_calls", measure)
