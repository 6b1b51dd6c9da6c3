"""Router, language-model worker and memory worker with a language model that takes no time.

From `stt/final` to the first `tts/say`, each part a process of its own on mosquitto: what the house
itself adds to a turn.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from antiphon.house import broker_settings, client_bus, keep_house, open_bus
from antiphon.supervisor import PARTS
from antiphon_contracts import (
    MEMORY_REMEMBER,
    STT_FINAL,
    TTS_SAY,
    MemoryRemember,
    Message,
    SttFinal,
    TtsSay,
    new_id,
)
from antiphon_runtime import Bus, RuntimeSettings, listen, load_settings
from antiphon_runtime.testing.openai_server import OpenAiServer, Recorded, Text
from children import Child, all_ready, child
from command import say
from figures import RATIO, Figure, Report, block_ratio, pooled, rotated, spread

TURN_TIMEOUT_S = 20.0
MEMORIES = 50
WARM_UP_TURNS = 5
BLOCK = 50
BARE = "chat client alone"


class Asker:
    """Says what a recognised speaker would, and waits until the answer begins to be spoken."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._begun: dict[str, asyncio.Future[str]] = {}
        self._turns = 0

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Asker]:
        """Connect while the block runs."""
        self._bus.install([listen(TTS_SAY, self._on_say)], [MEMORY_REMEMBER])
        async with open_bus(self._bus, TURN_TIMEOUT_S):
            yield self

    async def remember(self) -> None:
        """Fill the memory a little."""
        for number in range(MEMORIES):
            fact = MemoryRemember(text=f"My {FACTS[number % len(FACTS)]}, says note {number}.")
            await self._bus.request(MEMORY_REMEMBER, fact, timeout_s=TURN_TIMEOUT_S)

    async def _on_say(self, message: Message[TtsSay]) -> None:
        begun = self._begun.pop(message.turn_id or "", None)
        if begun is not None:
            begun.set_result(message.data.text)

    async def turn(self) -> float:
        """Return the ms from a transcript to the first clause.

        Raises:
            RuntimeError: it is not what the language model said.
        """
        turn_id = new_id()
        self._turns += 1
        heard = asyncio.get_running_loop().create_future()
        self._begun[turn_id] = heard
        final = SttFinal(
            utterance_id=turn_id,
            text=f"Tell me the story of fox number {self._turns}.",
            confidence=1,
        )
        begun = time.perf_counter()
        # A site of its own: turns at one site would interrupt each other's speech.
        self._bus.publish(
            STT_FINAL, final, turn_id=turn_id, site_id=f"bench-{self._turns}", ttl_s=TURN_TIMEOUT_S
        )
        async with asyncio.timeout(TURN_TIMEOUT_S):
            clause = await heard
        took_ms = 1000 * (time.perf_counter() - begun)
        if clause != CLAUSE:
            msg = f"the answer was not the language model's: {clause}"
            raise RuntimeError(msg)
        return took_ms


CLAUSE = "Foxes are clever animals."


def _reply(_request: Recorded) -> Text:
    return Text((f"{CLAUSE} ", "They live in ", "the forest."))


@asynccontextmanager
async def house(
    kinds: tuple[str, ...], variables: Mapping[str, str], base_url: str
) -> AsyncIterator[Asker]:
    """Run these workers on a broker of their own."""
    runtime = load_settings(RuntimeSettings)
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        async with broker_settings(folder / "broker", "mosquitto") as (broker, _):
            settings = broker.model_copy(
                update={"data_dir": folder, "models_dir": runtime.models_dir}
            )
            parts = [part for part in PARTS if part.kind in kinds]
            told = {"ANTIPHON_LLM_BASE_URL": base_url, **variables}
            async with keep_house(settings, parts=parts, variables=told) as found:
                await all_ready(found)
                async with Asker(client_bus(settings)).asking() as asker:
                    yield asker


PLAIN = {
    "ANTIPHON_ROUTER_USE_RAG": "false",
    "ANTIPHON_ROUTER_TOOLS": "false",
    "ANTIPHON_LLM_HISTORY_TOKENS": "0",
}
FACTS = ("bicycle is red", "umbrella is in the hall", "sister lives in Bergen", "tea is green")


async def _ask_bare(bare: Child, base_url: str) -> float:
    answered = await bare.ask({"text": "Tell me a story.", "base_url": base_url})
    return float(answered["ms"])


async def measure(report: Report, turns: int, *, with_memory: bool) -> None:
    """Add what the house takes for a turn, if wanted also with retrieval from memory."""
    say("turn: stt/final to first tts/say, with an instant language model")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(OpenAiServer(_reply))
        url = server.base_url
        plain = await stack.enter_async_context(house(("router", "llm"), PLAIN, url))
        bare = await stack.enter_async_context(child("bare_stages.py", "chat", config={}))
        ask: dict[str, Callable[[], Awaitable[float]]] = {
            "plain": plain.turn,
            BARE: partial(_ask_bare, bare, url),
        }
        if with_memory:
            parts = ("router", "llm", "memory")
            remembering = await stack.enter_async_context(house(parts, {}, url))
            await remembering.remember()
            ask["with memory"] = remembering.turn
        times: dict[str, list[list[float]]] = {name: [] for name in ask}
        for turn in ask.values():
            for _ in range(WARM_UP_TURNS):
                await turn()
        for number in range(max(1, turns // BLOCK)):
            for name in rotated(list(ask), number):
                times[name].append([await ask[name]() for _ in range(min(turns, BLOCK))])
    spreads = {name: spread(pooled(blocks)) for name, blocks in times.items()}
    goals_ms = {
        "plain": ("instant model", 5.0),
        "with memory": ("instant model, with memory", 25.0),
    }
    for name, (label, goal_ms) in goals_ms.items():
        if name in times:
            ratio = block_ratio(times[name], times[BARE])
            report.figures += [
                Figure(f"{label}: p50", spreads[name].p50, "ms", goal_ms),
                Figure(f"{label}: p50 to the chat client alone", ratio, RATIO),
            ]
    report.details["instant_turns"] = {name: len(pooled(blocks)) for name, blocks in times.items()}
    report.details["instant_ms"] = {name: found.as_json() for name, found in spreads.items()}
