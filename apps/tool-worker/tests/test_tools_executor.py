"""Calls that are stopped, wait, crowd each other and are written down."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from antiphon_contracts import (
    TOOLS_CALL,
    TOOLS_CANCEL,
    TOOLS_LOG,
    TOOLS_REGISTRY,
    ToolCall,
    ToolCancel,
    ToolLogQuery,
    ToolResult,
)
from antiphon_runtime import RuntimeSettings, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_tools import Tool, ToolContext, ToolsSettings, tool
from antiphon_tools.wiring import build
from pydantic import JsonValue


class Shop:
    """A tool worker with a tool that is done when the test says so, and one that is done at once.

    Attributes:
        entered: the numbers of the calls that were begun.
        left: those that came to their end.
    """

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.folder = folder
        self.entered: list[int] = []
        self.left: list[int] = []
        self.go_on = asyncio.Event()
        self._more = asyncio.Event()

    def tools(self) -> list[Tool]:
        number = {"number": {"type": "integer"}}

        @tool("wait", "Waits.", number, idempotent=True)
        async def wait(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
            self.entered.append(arguments["number"])
            self._more.set()
            await self.go_on.wait()
            self.left.append(arguments["number"])
            return True

        @tool("quick", "Quick.", {}, idempotent=True)
        async def quick(_arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
            return True

        return [wait, quick]

    async def until_entered(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.entered) < count:
                self._more.clear()
                await self._more.wait()

    async def wait(self, number: int, **call: Any) -> ToolResult:
        data = ToolCall(name="wait", arguments={"number": number}, **call)
        return await self.house.bus.request(TOOLS_CALL, data, timeout_s=10, message_id=f"c{number}")

    def cancel(self, number: int) -> None:
        self.house.bus.publish(TOOLS_CANCEL, ToolCancel(call_id=f"c{number}"))


@asynccontextmanager
async def shop_with(**settings: Any) -> AsyncIterator[Shop]:
    with TemporaryDirectory() as folder:
        async with House(requests=[TOOLS_CALL, TOOLS_LOG]) as house:
            shop = Shop(house, Path(folder))

            def build_it(worker: Worker[ToolsSettings]) -> Wiring:
                return build(worker, lambda _faults: shop.tools())

            runtime = RuntimeSettings(data_dir=Path(folder))
            await house.move_in("tools", ToolsSettings(**settings), build_it, runtime=runtime)
            yield shop


@pytest.mark.unit
async def test_a_call_is_stopped_while_it_runs_waits_or_is_on_its_way() -> None:
    async with shop_with(concurrency=1) as shop, asyncio.TaskGroup() as group:
        running = group.create_task(shop.wait(1), name="running")
        await shop.until_entered(1)
        waiting = group.create_task(shop.wait(2), name="waiting")
        shop.cancel(3)
        await asyncio.sleep(0)
        early = await shop.wait(3)
        shop.cancel(2)
        shop.cancel(1)
        shop.cancel(99)  # nobody's
        results = [await running, await waiting, early]
        assert {result.error_code for result in results} == {"cancelled"}
        assert results[0].error == "It was stopped; what it had done until then stays done."
        assert results[1].error == "It was stopped before it began; nothing was done."
        assert (shop.entered, shop.left) == ([1], [])
        shop.go_on.set()
        assert (await shop.wait(4)).error is None


@pytest.mark.unit
async def test_high_priority_first_and_too_many_are_refused() -> None:
    async with shop_with(concurrency=1, waiting=3) as shop, asyncio.TaskGroup() as group:
        tasks = [group.create_task(shop.wait(1), name="1")]
        await shop.until_entered(1)
        for number, priority in ((2, "low"), (3, "normal"), (4, "high"), (5, "high")):
            tasks.append(group.create_task(shop.wait(number, priority=priority), name=str(number)))
            await asyncio.sleep(0)
        assert (await tasks[1]).error_code == "busy"
        shop.go_on.set()
        assert [(await task).error_code for task in tasks] == [None, "busy", None, None, None]
        assert shop.left == [1, 4, 5, 3]


@pytest.mark.unit
async def test_calls_are_written_down_without_what_they_were_about() -> None:
    async with shop_with() as shop:
        shop.go_on.set()
        await shop.wait(1)
        await shop.house.bus.request(TOOLS_CALL, ToolCall(name="quick"), timeout_s=5, site_id="den")
        await shop.house.bus.request(TOOLS_CALL, ToolCall(name="none" * 30), timeout_s=5)
        ask = ToolLogQuery(limit=2)
        log = await shop.house.bus.request(TOOLS_LOG, ask, timeout_s=5)
        assert [(e.name[:5], e.error_code, e.site_id, e.caller) for e in log.entries] == [
            ("nonen", "unknown_tool", "default", "test"),
            ("quick", None, "den", "test"),
        ]
        assert all(entry.ms >= 0 and not entry.asked for entry in log.entries)
        log = await shop.house.bus.request(TOOLS_LOG, ToolLogQuery(name="wait"), timeout_s=5)
        assert [entry.name for entry in log.entries] == ["wait"]


@pytest.mark.integration
async def test_a_changed_file_is_in_force_within_seconds() -> None:
    async with shop_with() as shop:
        heard = await shop.house.hear(TOOLS_REGISTRY)
        await heard.until(1)
        first = heard[0].data.version
        path = shop.folder / "tools.toml"
        path.write_text("[tools.quick]\npolicy = 'deny'\n[tools.wait]\npolicy = 'confirm'\n")
        await heard.until(2, 10)
        assert [(spec.name, spec.policy) for spec in heard[1].data.tools] == [("wait", "confirm")]
        assert heard[1].data.version > first
        denied = await shop.house.bus.request(TOOLS_CALL, ToolCall(name="quick"), timeout_s=5)
        assert denied.error_code == "denied"


@pytest.mark.unit
async def test_the_registry_s_version_grows_across_a_restart() -> None:
    versions = []
    for _ in range(2):
        async with shop_with() as shop:
            heard = await shop.house.hear(TOOLS_REGISTRY)
            await heard.until(1)
            versions.append(heard[0].data.version)
    assert versions[1] > versions[0] > 1_700_000_000_000
