"""The worker as a process on a real broker."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from antiphon_contracts import TOOLS_CALL, TOOLS_REGISTRY, Message, ToolCall, ToolRegistry
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, listen
from antiphon_runtime.broker import embedded_broker
from antiphon_runtime.testing.house import Heard

pytestmark = pytest.mark.integration

GARBAGE = (b"", b"not json", b"[]", b'{"id": "x", "type": "tools.call/1"}', bytes(99))


async def calculated(bus: Bus, expression: str) -> object:
    call = ToolCall(name="calculate", arguments={"expression": expression})
    return (await bus.request(TOOLS_CALL, call, timeout_s=10)).result


async def test_a_worker_answers_survives_garbage_and_a_lost_broker_and_ends(tmp_path: Path) -> None:
    heard = Heard()

    async def on_registry(message: Message[ToolRegistry]) -> None:
        heard.add(message)

    # Without persistence the broker forgets the registry when it dies.
    async with embedded_broker(tmp_path, persistence=False) as broker:
        at = broker.address
        options = BrokerOptions(
            host=at.host, port=at.port, username=at.username, password=at.password, client_id="t"
        )
        bus = Bus(PahoTransport(options), source="t")
        bus.install([listen(TOOLS_REGISTRY, on_registry)], [TOOLS_CALL])
        variables = {
            "ANTIPHON_HOST": at.host,
            "ANTIPHON_PORT": str(at.port),
            "ANTIPHON_USERNAME": at.username,
            "ANTIPHON_PASSWORD": at.password,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "antiphon_tools"),
            env={**os.environ, **variables},
        )
        try:
            async with bus.open(), bus.handling(drain_s=0):
                await heard.until(1, 30)
                assert await calculated(bus, "12 * 7") == {"result": 84}
                for payload in GARBAGE:
                    bus.publish_raw(TOOLS_CALL, payload)
                assert await calculated(bus, "1 + 1") == {"result": 2}
                await broker.kill()
                known = len(heard)
                await broker.restart()
                await heard.until(known + 1, 20)
                assert await calculated(bus, "2 + 2") == {"result": 4}
                begun = time.monotonic()
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(5):
                    assert await process.wait() == 0
                assert time.monotonic() - begun < 2
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
