"""What the LLM worker adds to the time to the first piece of text, over its server's own.

A scripted server answers after a fixed time. It is asked by the worker, over MQTT and as the router
does, and by the openai client alone in a process of its own; both in one run, block by block in
turn. Retrieval, history and tools are left out: they are not the server's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from antiphon.house import broker_settings, client_bus, keep_house, open_bus
from antiphon.supervisor import PARTS
from antiphon_contracts import LLM_REQUEST, LLM_STREAM, LlmRequest, LlmStream, Message, new_id
from antiphon_runtime import Bus
from antiphon_runtime.handlers import listen
from antiphon_runtime.testing.openai_server import OpenAiServer, Recorded, Text
from children import Child, all_ready, child
from command import Options, main, say
from figures import Figure, Report, block_ratio, pooled, rotated, spread

DELAY_S = 0.02
BLOCK, BLOCKS, QUICK_BLOCKS, WARM_UP = 20, 15, 1, 10
TIMEOUT_S = 20.0
GOAL_MS = 5.0
ALONE = "client alone"


def _reply(_request: Recorded) -> Text:
    return Text(("Foxes are ", "clever."), delay_s=DELAY_S)


class Asker:
    """Asks the LLM worker and takes the time to the first piece."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._first: dict[str, asyncio.Future[float]] = {}

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Asker]:
        """Connect while the block runs."""
        handler = listen(LLM_STREAM, self._on_piece, queue_limit=1000)
        self._bus.install([handler], [LLM_REQUEST])
        async with open_bus(self._bus, TIMEOUT_S):
            yield self

    async def _on_piece(self, message: Message[LlmStream]) -> None:
        first = self._first.pop(message.correlation_id or "", None)
        if first is not None:
            first.set_result(time.perf_counter())

    async def ask(self) -> float:
        """Return the ms to the first piece; the answer is waited for to its end."""
        name = new_id()
        first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._first[name] = first
        begun = time.perf_counter()
        request = LlmRequest(text="Tell me a story.", use_rag=False, tools=False)
        await self._bus.request(LLM_REQUEST, request, timeout_s=TIMEOUT_S, message_id=name)
        return 1000 * (await first - begun)


@asynccontextmanager
async def worker(base_url: str) -> AsyncIterator[Asker]:
    """Run the LLM worker on a mosquitto of its own."""
    variables = {"ANTIPHON_LLM_BASE_URL": base_url, "ANTIPHON_LLM_HISTORY_TOKENS": "0"}
    parts = [part for part in PARTS if part.kind == "llm"]
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        async with broker_settings(folder / "broker", "mosquitto") as (broker, _):
            settings = broker.model_copy(update={"data_dir": folder})
            async with keep_house(settings, parts=parts, variables=variables) as found:
                await all_ready(found)
                async with Asker(client_bus(settings)).asking() as asker:
                    yield asker


async def _alone(bare: Child, base_url: str) -> float:
    answered = await bare.ask({"text": "Tell me a story.", "base_url": base_url})
    return float(answered["ms"])


async def measure(options: Options) -> Report:
    """Return the comparison."""
    report = Report("llm_overhead", options.quick)
    blocks = QUICK_BLOCKS if options.quick else BLOCKS
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(OpenAiServer(_reply))
        asker = await stack.enter_async_context(worker(server.base_url))
        bare = await stack.enter_async_context(child("bare_stages.py", "chat", config={}))
        ask: dict[str, Callable[[], Awaitable[float]]] = {
            "worker": asker.ask,
            ALONE: partial(_alone, bare, server.base_url),
        }
        for turn in ask.values():
            for _ in range(WARM_UP):
                await turn()
        say(f"llm_overhead: {blocks * BLOCK} answers each")
        times: dict[str, list[list[float]]] = {name: [] for name in ask}
        for number in range(blocks):
            for name in rotated(list(ask), number):
                times[name].append([await ask[name]() for _ in range(BLOCK)])
    ours, theirs = (spread(pooled(times[name])) for name in ("worker", ALONE))
    report.figures = [
        Figure("first piece: p50 added by the worker", ours.p50 - theirs.p50, "ms", GOAL_MS),
        Figure("first piece: p50 through the worker", ours.p50, "ms"),
        Figure("first piece: p50 of the client alone", theirs.p50, "ms"),
        Figure(
            "first piece: p50 to the client alone", block_ratio(times["worker"], times[ALONE]), "x"
        ),
    ]
    report.details = {
        "delay_ms": 1000 * DELAY_S,
        "worker_ms": ours.as_json(),
        "alone_ms": theirs.as_json(),
    }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("llm_overhead", measure)
