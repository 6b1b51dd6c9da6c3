"""The contract at work: bases, replies that cannot be written, senders that keep no rule."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    STT_FINAL,
    TOOLS_CALL,
    Message,
    RemoteError,
    SttFinal,
    ToolCall,
    ToolResult,
)
from antiphon_runtime import Bus, PublishOptions, listen, serve
from antiphon_runtime.testing import House, MemoryBroker

pytestmark = pytest.mark.unit


async def _calculate(message: Message[ToolCall]) -> ToolResult:
    return ToolResult(name="calculate", result=10 ** message.data.arguments["digits"])


async def test_a_reply_that_json_cannot_carry_is_a_refusal_and_the_worker_lives() -> None:
    async with House(requests=[TOOLS_CALL]) as house, asyncio.timeout(5):
        await house.serve(serve(TOOLS_CALL, _calculate), source="tools-1")
        call = ToolCall(name="calculate", arguments={"digits": 30})
        with pytest.raises(RemoteError, match="holds a value that JSON cannot carry") as caught:
            await house.bus.request(TOOLS_CALL, call, timeout_s=2)
        assert caught.value.code == "internal"
        good = ToolCall(name="calculate", arguments={"digits": 3})
        reply = await house.bus.request(TOOLS_CALL, good, timeout_s=2)
        assert reply.result == 1_000


@pytest.mark.parametrize("base", ["", "antiphon", "house/floor 1"])
async def test_every_topic_lies_under_the_base(base: str) -> None:
    broker = MemoryBroker()
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def on_final(message: Message[SttFinal]) -> None:
        heard.put_nowait(message.site_id)

    ear = Bus(broker.transport(), source="ear-1", base=base)
    ear.install([listen(STT_FINAL, on_final)])
    mouth = Bus(broker.transport(), source="mouth-1", base=base)
    stranger = Bus(broker.transport(), source="stranger-1", base="elsewhere")
    async with ear.open(), mouth.open(), stranger.open(), ear.handling(), asyncio.timeout(5):
        stranger.publish(STT_FINAL, SttFinal(utterance_id="u0"), site_id="nowhere")
        mouth.publish(STT_FINAL, SttFinal(utterance_id="u1"), site_id="hall")
        assert await heard.get() == "hall"
    prefix = f"{base}/" if base else ""
    assert broker.published[-1][0] == f"{prefix}stt/final"
    assert mouth.path(ANSWER, site="hall") == f"{prefix}answer/hall"


async def test_messages_with_a_site_that_is_no_topic_level_are_dropped_and_counted() -> None:
    async with House() as house, asyncio.timeout(5):
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def on_final(message: Message[SttFinal]) -> None:
            heard.put_nowait(message.site_id)

        bus = await house.serve(listen(STT_FINAL, on_final))
        for site in ("a/b", "+", "#", "\x00", "\n", "x" * 129, "{site}"):
            data = {"utterance_id": "u"}
            raw = {"id": site, "type": STT_FINAL.type, "site_id": site, "data": data}
            house.broker.take(house.bus.path(STT_FINAL), orjson.dumps(raw), PublishOptions(qos=1))
        house.say(STT_FINAL, SttFinal(utterance_id="u"), site_id="hall")
        assert await heard.get() == "hall"
        assert bus.counters["malformed"] == 7
