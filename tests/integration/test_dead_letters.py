"""Dead letters on a real broker: they outlive their worker, and are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from antiphon_contracts import ASK_SITE, DEAD_RETRY, DeadLetter
from antiphon_runtime import Bus, RawMessage, listen_raw
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.dead_letters import LETTERS, DeadLetters, read_letter
from chaos import WAIT_S, transport_to

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@asynccontextmanager
async def a_bus(
    broker: EmbeddedBroker, name: str, *handlers: object, letters: bool = False
) -> AsyncIterator[Bus]:
    bus = Bus(transport_to(broker.address, name), source=name)
    bus.install(handlers)  # type: ignore[arg-type]
    if letters:
        bus.install(DeadLetters(bus).handlers)
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        yield bus


async def test_a_letter_outlives_its_worker_and_is_tried_again(tmp_path: Path) -> None:
    held: dict[str, DeadLetter] = {}
    asked: asyncio.Queue[str] = asyncio.Queue()
    changed: asyncio.Queue[None] = asyncio.Queue()

    async def on_letter(message: RawMessage) -> None:
        if message.payload:
            held[message.slots["letter"]] = read_letter(message.payload)
        else:
            held.pop(message.slots["letter"])
        changed.put_nowait(None)

    async def crash(_message: RawMessage) -> None:
        raise ZeroDivisionError

    async def answer(message: RawMessage) -> None:
        asked.put_nowait(message.payload.decode())

    async with (
        asyncio.timeout(WAIT_S),
        embedded_broker(tmp_path, kind="mosquitto", persistence=False) as broker,
        a_bus(broker, "person") as person,
    ):
        async with a_bus(broker, "sick-1", listen_raw(ASK_SITE, crash), letters=True):
            person.publish_raw(ASK_SITE, b"Is it red?", site="hall")
            async with a_bus(broker, "early", listen_raw(LETTERS, on_letter)):
                await changed.get()
        held.clear()
        well = a_bus(broker, "sick-1", listen_raw(ASK_SITE, answer), letters=True)
        async with a_bus(broker, "late", listen_raw(LETTERS, on_letter)), well:
            changed.get_nowait() if not changed.empty() else await changed.get()
            [letter] = held.values()
            assert letter.attempts == 1
            person.publish_raw(DEAD_RETRY, b"", worker="sick-1", letter=letter.letter)
            assert await asked.get() == "Is it red?"
            while held:
                await changed.get()
