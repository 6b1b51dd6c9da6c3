"""A tool worker with two tools that write down each call, run as a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from antiphon_runtime import Wiring, Worker, run
from antiphon_tools import Tool, ToolContext, ToolsSettings, tool
from antiphon_tools.wiring import build
from pydantic import JsonValue

NUMBER = {"number": {"type": "integer"}}


def counting(worker: Worker[ToolsSettings]) -> Wiring:
    ledger = os.open(
        worker.runtime.data_dir / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
    )

    async def count(arguments: Mapping[str, Any], _context: ToolContext) -> JsonValue:
        os.write(ledger, f"{arguments['number']}\n".encode())
        await asyncio.sleep(0.02)
        return {"number": arguments["number"]}

    tools: list[Tool] = [
        tool("look", "Looks.", NUMBER, required=["number"], idempotent=True)(count),
        tool("ring", "Rings.", NUMBER, required=["number"])(count),
    ]
    return build(worker, lambda _faults: tools)


if __name__ == "__main__":
    run("tools", ToolsSettings, counting)
