"""Bad input: a clear error on its turn or a counted drop, and the next good message is answered."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import orjson
import pytest
import soundfile
from antiphon.asking import Questioner
from antiphon.house import client_bus, open_bus
from antiphon.settings import from_url
from antiphon_contracts import (
    ANSWER,
    ASK,
    AUDIO_UTTERANCE,
    LLM_REQUEST,
    MEMORY_QUERY,
    TOOLS_CALL,
    BusError,
    Flow,
    MemoryQuery,
    PlainAnswer,
    RawTopic,
    Refusal,
    RequestTopic,
    new_id,
    validate,
)
from antiphon_runtime import Bus, PublishOptions, RawMessage, listen_raw
from running_stack import Stack

pytestmark = pytest.mark.e2e


def recording(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]], form: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, 16_000, format=form)
    return out.getvalue()


SILENCE = recording(np.zeros(32_000), "WAV")
NOISE = recording(np.random.default_rng(1).normal(0, 0.1, 32_000).clip(-1, 1), "WAV")
TEN_MINUTES = recording(np.zeros(16_000 * 600), "FLAC")


def client(stack: Stack) -> Bus:
    host, port, user, password = (stack.broker[index] for index in (1, 3, 5, 7))
    return client_bus(from_url(f"mqtt://{user}:{password}@{host}:{port}/antiphon"))


@asynccontextmanager
async def listening(bus: Bus, topic: RawTopic) -> AsyncIterator[asyncio.Queue[bytes]]:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_message(message: RawMessage) -> None:
        heard.put_nowait(message.payload)

    bus.install([listen_raw(topic, on_message)])
    async with open_bus(bus, 10):
        yield heard


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "empty"),
        (b"not audio at all", ""),
        (SILENCE[:40], ""),
        (SILENCE, ""),
        (NOISE, ""),
        (TEN_MINUTES, "long"),
    ],
    ids=["empty", "text", "broken", "silence", "noise", "ten minutes"],
)
async def test_bad_sound_ends_its_turn_with_a_sentence(
    stack: Stack, data: bytes, detail: str
) -> None:
    bus = client(stack)
    utterance_id = new_id()
    async with listening(bus, ANSWER.narrowed(site="default")) as heard:
        bus.publish_raw(AUDIO_UTTERANCE, data, site="default", utterance=utterance_id)
        async with asyncio.timeout(30):
            answer = PlainAnswer.model_validate_json(await heard.get())
    assert answer.turn_id == utterance_id
    assert answer.error
    assert detail in answer.error.lower()
    assert stack.answer("what is 2 plus 2") == "That is 4."


@pytest.mark.parametrize("payload", [b"\xff\xfe\x00", b"", b'{"text":', b'{"speak": true}'])
async def test_bad_plain_questions_are_answered_with_a_sentence(
    stack: Stack, payload: bytes
) -> None:
    bus = client(stack)
    async with listening(bus, ANSWER.narrowed(site="default")) as heard:
        bus.publish_raw(ASK, payload)
        async with asyncio.timeout(10):
            answer = PlainAnswer.model_validate_json(await heard.get())
    assert answer.error
    assert stack.answer("what is 2 plus 2") == "That is 4."


@pytest.mark.parametrize("topic", [LLM_REQUEST, MEMORY_QUERY, TOOLS_CALL])
@pytest.mark.parametrize(
    "change",
    [{"data": None}, {"data": []}, {"type": "nonsense/9"}, {"data": {"text": 5, "name": 7}}],
    ids=["no data", "data is a list", "unknown type", "wrong fields"],
)
async def test_bad_requests_are_refused_by_name(
    stack: Stack,
    topic: RequestTopic[Any, Any],
    change: dict[str, object],
) -> None:
    bus = client(stack)
    message_id = new_id()
    envelope = {"id": message_id, "type": topic.type, "data": {}, **change}
    raw = RawTopic(topic.pattern, 1, Flow(), "test")
    reply = RawTopic(topic.reply.pattern, 1, Flow(), "test")
    async with listening(bus, reply) as heard:
        bus.publish_raw(raw, orjson.dumps(envelope))
        async with asyncio.timeout(10):
            while (got := orjson.loads(await heard.get()))["correlation_id"] != message_id:
                continue
    refusal = validate(got, Refusal, "error/1").data
    assert refusal.code == "bad_request"


async def test_garbage_retained_and_huge_messages_leave_everyone_well(stack: Stack) -> None:
    bus = client(stack)
    bus.install(requests=[MEMORY_QUERY])
    kept = PublishOptions(qos=1, retain=True)
    transport = bus._transport
    async with open_bus(bus, 10):
        for topic in (LLM_REQUEST, MEMORY_QUERY, TOOLS_CALL):
            for garbage in (b"\x00\xff" * 50, b"[]", b"null", b"[" * 100_000):
                await transport.publish(bus.path(topic), garbage, PublishOptions(qos=1))
        await transport.publish(bus.path(ASK), b"retained question", kept)
        await transport.publish(bus.path(ASK), b"", kept)
        with pytest.raises(BusError):
            await bus.publish_raw(ASK, b"x" * 20_000_000)
        found = await bus.request(MEMORY_QUERY, MemoryQuery(text="anything"), timeout_s=10)
        assert found.error is None
    assert stack.answer("what is 2 plus 2") == "That is 4."


async def test_a_question_asked_twice_at_once_is_answered_in_turn(stack: Stack) -> None:
    async with (
        Questioner(client(stack), "twice").asking(10) as questioner,
        asyncio.TaskGroup() as group,
    ):
        asked = [
            group.create_task(questioner.ask_text(f"what is {n} plus 1", speak=False))
            for n in (1, 2)
        ]
    assert [task.result().answer.answer for task in asked] == ["That is 2.", "That is 3."]
