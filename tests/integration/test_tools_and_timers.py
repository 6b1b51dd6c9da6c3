"""The language model's tools for timers, with the tool worker and the timer worker as processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import TOOLS_CALL, TOOLS_REGISTRY, Message, ToolCall, ToolRegistry
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, listen
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.testing.house import Heard

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@asynccontextmanager
async def worker(module: str, broker: EmbeddedBroker, data_dir: Path) -> AsyncIterator[None]:
    at = broker.address
    variables = {
        "ANTIPHON_HOST": at.host,
        "ANTIPHON_PORT": str(at.port),
        "ANTIPHON_USERNAME": at.username,
        "ANTIPHON_PASSWORD": at.password,
        "ANTIPHON_DATA_DIR": str(data_dir),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module), env={**os.environ, **variables}
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_timers_by_tools(tmp_path: Path) -> None:
    heard = Heard()

    async def on_registry(message: Message[ToolRegistry]) -> None:
        heard.add(message)

    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(embedded_broker(tmp_path / "broker"))
        at = broker.address
        options = BrokerOptions(
            host=at.host, port=at.port, username=at.username, password=at.password, client_id="t"
        )
        bus = Bus(PahoTransport(options), source="t")
        bus.install([listen(TOOLS_REGISTRY, on_registry)], [TOOLS_CALL])
        await stack.enter_async_context(bus.open())
        await stack.enter_async_context(bus.handling(drain_s=0))
        for module in ("antiphon_timer", "antiphon_tools"):
            await stack.enter_async_context(worker(module, broker, tmp_path))
        await heard.until(1, 60)

        async def call(tool: str, /, **arguments: Any) -> Any:
            request = ToolCall(name=tool, arguments=arguments)
            done = await bus.request(TOOLS_CALL, request, timeout_s=20, site_id="kitchen")
            return done.result or (done.error_code, done.error)

        async with asyncio.timeout(60):
            while (await call("list_timers")) == ("failed", "My timers are offline."):  # noqa: ASYNC110  (what another process knows has no event here)
                await asyncio.sleep(0.1)
        said = await call("set_timer", name="pasta", after_s=600)
        assert said["text"] in {
            "The pasta timer has 10 minutes left.",
            "The pasta timer has 9 minutes and 59 seconds left.",
        }
        done = await call("change_timer", action="add", name="pasta", seconds=300)
        assert done["timers"][0]["left_s"] == pytest.approx(900, abs=30)
        await call("set_timer", kind="alarm", at="07:00", days=[0, 1, 2, 3, 4])
        listed = (await call("list_timers"))["text"]
        assert "The alarm is set for 07:00 every weekday." in listed
        assert "pasta timer" in listed
        done = await call("change_timer", action="cancel", name="pasta")
        assert done["text"] == "Cancelled: the pasta timer."
        assert "pasta" not in (await call("list_timers"))["text"]
        code, sentence = await call("change_timer", action="cancel", name="soup")
        assert (code, sentence[-1]) == ("failed", ".")
