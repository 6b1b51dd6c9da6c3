"""Real workers killed, fed nonsense and asked by a hundred at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import orjson
import psutil
import pytest
from antiphon_contracts import (
    ANSWER,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    TOOLS_CALL,
    MemoryQuery,
    MemoryRemember,
    RawTopic,
    RequestTopic,
    ToolCall,
    ToolResult,
    Topic,
    WorkerGone,
    new_id,
)
from antiphon_contracts import topics as contract
from antiphon_runtime import Bus, PublishOptions, RawMessage, listen_raw
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.testing.openai_server import OpenAiServer, Text
from chaos import (
    SUPPORT,
    WAIT_S,
    Scale,
    WorkerProcess,
    environment_of,
    transport_to,
    worker_process,
)
from hypothesis import HealthCheck, Phase, given, seed, settings

READY = {"ready", "degraded"}

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with embedded_broker(tmp_path / "broker", kind="mosquitto", persistence=False) as broker:
        yield broker


@asynccontextmanager
async def workers(
    broker: EmbeddedBroker, folder: Path, *names: str, **variables: str
) -> AsyncIterator[dict[str, WorkerProcess]]:
    """Run real workers by module name, none of which needs a model."""
    environment = environment_of(
        broker.address,
        ANTIPHON_DATA_DIR=str(folder / "data"),
        ANTIPHON_MODELS_DIR=str(folder / "no models"),
        ANTIPHON_ROUTER_USE_RAG="false",
        **variables,
    )
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                worker_process(name, folder / f"{name}.log", environment)
            )
            for name in names
        }


@asynccontextmanager
async def a_bus(broker: EmbeddedBroker) -> AsyncIterator[Bus]:
    bus = Bus(transport_to(broker.address, "person"), source="person")
    requests: list[RequestTopic[Any, Any]] = [MEMORY_QUERY, MEMORY_REMEMBER, TOOLS_CALL]
    bus.install(requests=requests)
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(WAIT_S)
        yield bus


async def remember(bus: Bus, text: str) -> None:
    """Ask until it is done, with the same id each time, as whoever is told "gone" may."""
    message_id = new_id()
    while True:
        try:
            await bus.request(
                MEMORY_REMEMBER, MemoryRemember(text=text), timeout_s=60, message_id=message_id
            )
        except WorkerGone:
            await asyncio.sleep(0.05)
        else:
            return


async def test_memory_is_killed_while_it_is_told_things(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    total, kills = scale(3_000), scale(30)
    numbers = iter(range(total))
    done = 0

    async def tell(bus: Bus) -> None:
        nonlocal done
        for number in numbers:
            await remember(bus, f"Box {number} holds {number * 7} screws.")
            done += 1

    async def kill(memory: WorkerProcess) -> None:
        for number in range(kills):
            while done < (number + 1) * total // (kills + 1):  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.005)
            await memory.kill()
            await memory.start()

    async with workers(broker, tmp_path, "antiphon_memory") as running, a_bus(broker) as bus:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(tell(bus), name=f"teller:{number}")
            group.create_task(kill(running["antiphon_memory"]), name="killer")
        await running["antiphon_memory"].stop()
    with closing(sqlite3.connect(tmp_path / "data" / "memory.sqlite")) as connection:
        [(rows, texts)] = connection.execute("SELECT count(*), count(DISTINCT text) FROM memories")
    scale.record(f"memory killed {kills} times under {total} things to remember", f"{rows} rows")
    assert rows == texts == total


# Nonsense


def nonsense(count: int, seed_number: int = 7) -> list[tuple[str, bytes]]:
    """Return topics and payloads: bytes, JSON of any shape, envelopes that are nearly right."""
    found: list[tuple[str, bytes]] = []
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=8,
    )
    topics = [topic for topic in contract.all_topics().values() if topic is not contract.CONTROL]

    def envelopes(topic: RawTopic) -> st.SearchStrategy[bytes]:
        kind = topic.type if isinstance(topic, Topic) else "ask/1"
        fields = list(topic.model.model_fields) if isinstance(topic, Topic) else ["text"]
        envelope = st.fixed_dictionaries(
            {"id": st.text(max_size=40) | json_values, "type": st.just(kind) | st.text()},
            optional={
                "data": json_values | st.dictionaries(st.sampled_from(fields), json_values),
                "ttl_s": json_values,
                "site_id": json_values,
                "turn_id": json_values,
                "correlation_id": json_values,
                "ts": json_values,
            },
        )
        return (envelope | json_values).map(orjson.dumps)

    def path(topic: RawTopic) -> str:
        return topic.at(**dict.fromkeys(topic.slots, "nonsense"))

    messages = st.sampled_from(topics).flatmap(
        lambda topic: st.tuples(st.just(path(topic)), st.binary(max_size=500) | envelopes(topic))
    )

    @seed(seed_number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(messages)
    def collect(message: tuple[str, bytes]) -> None:
        found.append(message)

    collect()
    return found


async def test_nonsense_kills_nobody(broker: EmbeddedBroker, tmp_path: Path, scale: Scale) -> None:
    names = ("antiphon_memory", "antiphon_router", "antiphon_tools")
    bad = await asyncio.to_thread(nonsense, scale(10_000))
    answered = 0
    async with workers(broker, tmp_path, *names) as running, a_bus(broker) as bus:
        await remember(bus, "My bicycle is red.")
        for number, (path, payload) in enumerate(bad):
            bus._transport.publish(f"antiphon/{path}", payload, PublishOptions(qos=1))
            if number % 20 == 0:
                found = await bus.request(
                    MEMORY_QUERY, MemoryQuery(text="bicycle"), timeout_s=WAIT_S
                )
                answered += "My bicycle is red." in [one.text for one in found.results]
        alive = [psutil.pid_exists(worker.pid) for worker in running.values()]
        codes = [await worker.stop() for worker in running.values()]
    asked = len(range(0, len(bad), 20))
    scale.record(
        f"{len(bad)} messages of nonsense", f"{answered} of {asked} good requests answered"
    )
    assert alive == [True] * len(names)
    assert codes == [0] * len(names)
    assert answered == asked


# Many at once


async def test_a_hundred_people_ask_at_once(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    heard: dict[str, bytes] = {}

    async def on_answer(message: RawMessage) -> None:
        heard[message.slots["site"]] = message.payload

    async with workers(broker, tmp_path, "antiphon_router", "antiphon_tools"), a_bus(broker) as bus:
        ear = Bus(transport_to(broker.address, "ear"), source="ear")
        ear.install([listen_raw(ANSWER, on_answer, queue_limit=1_000)])
        async with ear.open(), ear.handling(drain_s=0):
            await ear.wait_connected(WAIT_S)
            await one_answer(bus, heard)
            for number in range(100):
                question = orjson.dumps({"text": f"what is {number} times 7", "speak": False})
                bus.publish_raw(contract.ASK_SITE, question, site=f"room-{number}")
            async with asyncio.timeout(WAIT_S):
                while len(heard) < 101:  # noqa: ASYNC110  (counted here)
                    await asyncio.sleep(0.01)
    right = sum(
        f"{number * 7}" in str(orjson.loads(heard[f"room-{number}"])["answer"])
        for number in range(100)
    )
    scale.record("100 questions at once from 100 sites", f"{right} answered rightly")
    assert right >= 95, heard


async def one_answer(bus: Bus, heard: dict[str, bytes]) -> None:
    """Ask until the router is there."""
    async with asyncio.timeout(WAIT_S):
        while "first" not in heard:
            bus.publish_raw(contract.ASK_SITE, b'{"text": "what time is it"}', site="first")
            await asyncio.sleep(0.2)


# Tools


@pytest.mark.parametrize("name", ["look", "ring"])
async def test_the_tool_worker_is_killed_under_calls(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale, name: str
) -> None:
    total, kills = scale(500), scale(10)
    numbers = iter(range(total))
    results: list[ToolResult] = []

    async def call(bus: Bus) -> None:
        for number in numbers:
            result = await call_tool(bus, name, number)
            results.append(result)

    async def kill(tools: WorkerProcess) -> None:
        for number in range(kills):
            while len(results) < (number + 1) * total // (kills + 1):  # noqa: ASYNC110  (counted)
                await asyncio.sleep(0.005)
            await tools.kill()
            await tools.start()

    file = str(SUPPORT / "counting_tools.py")
    environment = environment_of(broker.address, ANTIPHON_DATA_DIR=str(tmp_path))
    async with (
        worker_process(file, tmp_path / "tools.log", environment) as tools,
        a_bus(broker) as bus,
        asyncio.TaskGroup() as group,
    ):
        for number in range(8):
            group.create_task(call(bus), name=f"caller:{number}")
        group.create_task(kill(tools), name="killer")
    done = Counter((tmp_path / "ledger").read_text().split())
    outcomes = Counter(result.error_code or "done" for result in results)
    kind = "idempotent tool" if name == "look" else "effectful tool"
    scale.record(
        f"tool worker killed {kills} times under {total} calls of an {kind}",
        f"{dict(outcomes)}, {sum(done.values())} effects",
    )
    if name == "look":
        assert outcomes == {"done": total}
    else:
        assert outcomes.keys() <= {"done", "unknown_outcome"}
        assert outcomes.total() == total
        assert set(done.values()) == {1}
        assert outcomes["done"] <= len(done) <= total


async def call_tool(bus: Bus, name: str, number: int) -> ToolResult:
    """Call until there is a result, with the same id each time."""
    message_id = new_id()
    while True:
        try:
            return await bus.request(
                TOOLS_CALL,
                ToolCall(name=name, arguments={"number": number}),
                timeout_s=60,
                message_id=message_id,
            )
        except WorkerGone:
            await asyncio.sleep(0.05)


async def test_many_turns_leave_nothing_behind(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    total, sites = scale(1_000), 10
    warm_up = max(200, 2 * total)
    names = ("antiphon_router", "antiphon_tools", "antiphon_llm", "antiphon_memory")
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_answer(message: RawMessage) -> None:
        answers.put_nowait(message.payload)

    async def ask(bus: Bus, number: int) -> None:
        # Every other one needs the language model.
        text = f"what is {number} times 2" if number % 2 else f"tell me about fox {number}"
        question = orjson.dumps({"text": text, "id": f"q{number}", "speak": False})
        bus.publish_raw(contract.ASK_SITE, question, site=f"room-{number % sites}")

    def rss_mb(running: dict[str, WorkerProcess]) -> float:
        return sum(psutil.Process(one.pid).memory_info().rss for one in running.values()) / 2**20

    async def turns(bus: Bus, numbers: range) -> list[dict[str, Any]]:
        """Ask them all, one at a time at each site."""
        found = []
        for number in numbers[:sites]:
            await ask(bus, number)
        for number in [*numbers[sites:], *[-1] * min(sites, len(numbers))]:
            async with asyncio.timeout(WAIT_S):
                found.append(orjson.loads(await answers.get()))
            if number >= 0:
                await ask(bus, number)
        return found

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            OpenAiServer(lambda _request: Text(("Foxes are clever. ", "They live in the forest.")))
        )
        running = await stack.enter_async_context(
            workers(broker, tmp_path, *names, ANTIPHON_LLM_BASE_URL=server.base_url)
        )
        bus = await stack.enter_async_context(a_bus(broker))
        ear = Bus(transport_to(broker.address, "ear"), source="ear")
        ear.install([listen_raw(ANSWER, on_answer, queue_limit=1_000)])
        await stack.enter_async_context(ear.open())
        await stack.enter_async_context(ear.handling(drain_s=0))
        await ready(bus, *names)
        # Until then modules are loaded late and the heap finds its size; what is bounded (stored
        # replies, ids seen, pydantic's 16,384 strings) fills for some thousand turns more.
        await turns(bus, range(warm_up))
        before_mb = rss_mb(running)
        found = await turns(bus, range(1_000, 1_000 + total))
        grown_mb = rss_mb(running) - before_mb
    wrong = [one for one in found if one["error"]]
    scale.record(
        f"{total} turns in a row after {warm_up}",
        f"{len(wrong)} failed, workers grew by {grown_mb:.1f} MB in all",
    )
    assert not wrong
    assert {one["id"] for one in found} == {f"q{n}" for n in range(1_000, 1_000 + total)}
    assert grown_mb <= 10


async def ready(bus: Bus, *names: str) -> None:
    """Return when these workers say that they are."""
    kinds = {name.removeprefix("antiphon_") for name in names}
    async with asyncio.timeout(60):
        while kinds - _ready_kinds(bus):  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.05)


def _ready_kinds(bus: Bus) -> set[str]:
    return {one.kind for one in bus.presence.workers.values() if one.state in READY}
