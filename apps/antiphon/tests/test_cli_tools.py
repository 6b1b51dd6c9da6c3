"""`antiphon tools`, with a scripted tool worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest
from antiphon import tool_requests
from antiphon.tool_requests import arguments_of
from antiphon_contracts import (
    TOOLS_CALL,
    TOOLS_LOG,
    TOOLS_REGISTRY,
    ConfigError,
    EngineError,
    Message,
    RequestTimeout,
    ToolCall,
    ToolLog,
    ToolLogEntry,
    ToolLogQuery,
    ToolRegistry,
    ToolResult,
    ToolSpec,
)
from antiphon_runtime import Bus, RuntimeSettings, serve
from antiphon_runtime.testing import House

pytestmark = pytest.mark.integration

HERE = "mqtt://h"
SPECS = (
    ToolSpec(
        name="unlock",
        description="Unlocks the door.\nMore about it.",
        parameters={
            "type": "object",
            "properties": {"door": {"type": "string"}, "minutes": {"type": "number"}},
        },
        source="locks",
        policy="confirm",
    ),
)


@dataclass
class Worker:
    """A scripted tool worker."""

    calls: list[ToolCall] = field(default_factory=list)
    result: ToolResult = field(
        default_factory=lambda: ToolResult(name="unlock", result={"open": True})
    )

    async def on_call(self, message: Message[ToolCall]) -> ToolResult:
        self.calls.append(message.data)
        return self.result

    async def on_log(self, message: Message[ToolLogQuery]) -> ToolLog:
        entries = [
            ToolLogEntry(
                ts=float(number),
                name="unlock",
                caller="llm-1",
                site_id="hall",
                ms=12.0,
                error_code="denied" if number else None,
                asked=bool(number),
            )
            for number in (1, 0)
        ]
        return ToolLog(entries=tuple(entries[: message.data.limit]))


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    scripted = Worker()
    async with House() as house:

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(tool_requests, "client_bus", bus)
        there = await house.serve(
            serve(TOOLS_CALL, scripted.on_call), serve(TOOLS_LOG, scripted.on_log)
        )
        await there.publish(TOOLS_REGISTRY, ToolRegistry(tools=SPECS, version=3))
        yield scripted


async def test_the_list_names_source_and_policy(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not worker.calls
    await tool_requests.show_list(json=False, broker=HERE)
    _, line = capsys.readouterr().out.strip().splitlines()
    assert line.split()[:3] == ["unlock", "locks", "confirm"]
    assert "Unlocks the door." in line
    await tool_requests.show_list(json=True, broker=HERE)
    assert orjson.loads(capsys.readouterr().out)[0]["name"] == "unlock"


async def test_a_call_takes_pairs_and_prints_the_result(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["door=7", "minutes=1.5"]
    assert await tool_requests.call("unlock", given, site="hall", yes=True, json=False, broker=HERE)
    assert orjson.loads(capsys.readouterr().out) == {"open": True}
    (made,) = worker.calls
    assert made.arguments == {"door": "7", "minutes": 1.5}
    assert made.confirmed


async def test_a_call_is_confirmed_only_when_said_so(worker: Worker) -> None:
    await tool_requests.call("unlock", [], site="hall", yes=False, json=True, broker=HERE)
    assert not worker.calls[0].confirmed


async def test_a_failed_call_ends_with_its_sentence(worker: Worker) -> None:
    worker.result = ToolResult(name="unlock", error="Nobody said yes.", error_code="denied")
    with pytest.raises(EngineError, match="Nobody said yes"):
        await tool_requests.call("unlock", [], site="hall", yes=False, json=False, broker=HERE)
    assert not await tool_requests.call(
        "unlock", [], site="hall", yes=False, json=True, broker=HERE
    )


async def test_an_unknown_tool_is_called_by_nobody(worker: Worker) -> None:
    with pytest.raises(ConfigError, match="antiphon tools list"):
        await tool_requests.call("unlok", [], site="hall", yes=True, json=False, broker=HERE)
    assert not worker.calls


async def test_the_log_is_shown_oldest_first(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not worker.calls
    await tool_requests.show_log(None, count=2, json=False, broker=HERE)
    first, second = capsys.readouterr().out.strip().splitlines()
    assert "unlock  ok  12 ms  by llm-1 in hall" in first
    assert "denied" in second
    assert "a person was asked" in second


async def test_without_a_tool_worker_it_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_requests, "REGISTRY_TIMEOUT_S", 0.01)
    async with House() as house, asyncio.timeout(10):

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(tool_requests, "client_bus", bus)
        with pytest.raises(RequestTimeout, match="antiphon status"):
            await tool_requests.show_list(json=True, broker=HERE)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (['{"door": "a"}'], {"door": "a"}),
        (["door=a=b"], {"door": "a=b"}),
        (["door=1", "other=1", "more=x"], {"door": "1", "other": 1, "more": "x"}),
        ([], {}),
    ],
)
def test_arguments(given: list[str], expected: dict[str, object]) -> None:
    assert arguments_of(given, SPECS[0]) == expected


@pytest.mark.parametrize("given", [["door"], ["=x"], ["{door}"]])
def test_arguments_that_cannot_be_read_are_refused(given: list[str]) -> None:
    with pytest.raises(ConfigError):
        arguments_of(given, SPECS[0])
