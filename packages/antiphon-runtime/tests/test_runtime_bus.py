"""The bus: requests, handlers and their lanes, on the in-memory broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from antiphon_contracts import (
    ASK,
    AUDIO_IN,
    CONTROL,
    HEALTH,
    MAX_MESSAGE_BYTES,
    MEMORY_QUERY,
    MEMORY_RESULTS,
    SAY,
    STT_FINAL,
    TOOLS_REGISTRY,
    BusError,
    Busy,
    ConfigError,
    ContractError,
    Control,
    EngineError,
    Flow,
    Health,
    MemoryQuery,
    MemoryResults,
    Message,
    RawTopic,
    RemoteError,
    RequestTimeout,
    SttFinal,
    ToolRegistry,
    WorkerGone,
    encode,
    new_id,
)
from antiphon_runtime import Bus, Presence, PublishOptions, RawMessage, listen, listen_raw, serve
from antiphon_runtime.handlers import Handler
from antiphon_runtime.testing import House

pytestmark = [pytest.mark.unit, pytest.mark.timeout(20)]

WAIT_S = 5.0
QUERY = MemoryQuery(text="what colour is my bicycle")
QUERY_PATH = f"antiphon/{MEMORY_QUERY.pattern}"
FINAL_PATH = f"antiphon/{STT_FINAL.pattern}"

OnQuery = Callable[[Message[MemoryQuery]], Awaitable[MemoryResults]]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with House(requests=[MEMORY_QUERY]) as house:
        yield house


async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
    return MemoryResults(results=())


class Gate:
    """A handler that notes its messages and stands still until told to go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open = asyncio.Event()
        self._changed = asyncio.Event()

    async def on_query(self, message: Message[MemoryQuery]) -> MemoryResults:
        await self.pass_through(message.id)
        return MemoryResults(results=())

    async def on_final(self, message: Message[SttFinal]) -> None:
        await self.pass_through(message.data.text)

    async def on_raw(self, message: RawMessage) -> None:
        await self.pass_through(message.payload.decode())

    async def pass_through(self, name: str) -> None:
        self.begun.append(name)
        self._changed.set()
        await self.open.wait()

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.begun) < count:
                self._changed.clear()
                await self._changed.wait()


def inject(house: House, path: str, payload: bytes) -> asyncio.Future[None]:
    """Publish bytes as a foreign client would."""
    return house.bus._transport.publish(path, payload, PublishOptions(qos=1))


async def settle() -> None:
    """Let everything that is on its way arrive: the in-memory broker needs a few loop turns."""
    for _ in range(20):
        await asyncio.sleep(0)


def final(text: str) -> SttFinal:
    return SttFinal(utterance_id="u", text=text)


async def ask(house: House, *, timeout_s: float = WAIT_S) -> MemoryResults:
    return await house.bus.request(MEMORY_QUERY, QUERY, timeout_s=timeout_s)


def query_envelope(**changes: object) -> bytes:
    message = orjson.loads(encode(MEMORY_QUERY.message(QUERY, source="foreign")))
    return orjson.dumps({key: v for key, v in (message | changes).items() if v is not ...})


# Requests


async def test_a_request_gets_its_reply(house: House) -> None:
    seen: list[Message[MemoryQuery]] = []

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        seen.append(message)
        return MemoryResults(results=())

    replies = await house.hear(MEMORY_RESULTS)
    await house.serve(serve(MEMORY_QUERY, on_query), source="memory-1")
    result = await house.bus.request(
        MEMORY_QUERY, QUERY, timeout_s=3, turn_id="t1", site_id="kitchen"
    )
    assert result == MemoryResults(results=())
    assert house.bus.pending_requests == 0
    assert (seen[0].data, seen[0].source, seen[0].ttl_s) == (QUERY, "test", 3)
    (reply,) = await replies.until(1)
    assert (reply.source, reply.turn_id, reply.site_id) == ("memory-1", "t1", "kitchen")
    assert reply.correlation_id == seen[0].id


async def test_many_requests_at_once_get_each_its_own_reply(house: House) -> None:
    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        await asyncio.sleep(0)
        if message.data.text == "odd":
            raise EngineError("odd")
        return MemoryResults(results=())

    await house.serve(serve(MEMORY_QUERY, on_query, concurrency=8, queue_limit=100))
    async with asyncio.timeout(WAIT_S):
        results = await asyncio.gather(
            *(
                house.bus.request(
                    MEMORY_QUERY, MemoryQuery(text="odd" if n % 2 else "even"), timeout_s=3
                )
                for n in range(50)
            ),
            return_exceptions=True,
        )
    assert [isinstance(result, RemoteError) for result in results] == [False, True] * 25


async def test_a_request_that_nobody_answers_times_out_and_leaves_no_entry(house: House) -> None:
    with pytest.raises(RequestTimeout, match=r"memory/query .* 0\.02 s"):
        await ask(house, timeout_s=0.02)
    assert house.bus.pending_requests == 0


async def test_a_cancelled_request_leaves_no_entry(house: House) -> None:
    task = asyncio.ensure_future(ask(house))
    await settle()
    assert house.bus.pending_requests == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.bus.pending_requests == 0


async def test_a_request_given_up_in_an_outage_is_never_sent(house: House) -> None:
    house.broker.go_offline()
    with pytest.raises(RequestTimeout):
        await ask(house, timeout_s=0.02)
    house.broker.go_online()
    await settle()
    assert house.broker.published == []


async def test_late_foreign_and_second_replies_are_counted_and_dropped(house: House) -> None:
    gate = Gate()
    await house.serve(serve(MEMORY_QUERY, gate.on_query))
    with pytest.raises(RequestTimeout):
        await ask(house, timeout_s=0.02)
    gate.open.set()
    await settle()
    assert house.bus.counters["replies_unclaimed"] == 1
    for correlation_id in ("nobody's", None):
        message = MEMORY_RESULTS.message(MemoryResults(results=()), correlation_id=correlation_id)
        inject(house, f"antiphon/{MEMORY_RESULTS.pattern}", encode(message))
    await settle()
    assert house.bus.counters["replies_unclaimed"] == 3


async def test_a_request_that_was_not_declared_is_a_contract_error() -> None:
    async with House() as house:
        with pytest.raises(ContractError, match="not declared"):
            await ask(house)


async def test_two_open_requests_of_one_id_are_a_contract_error(house: House) -> None:
    task = asyncio.ensure_future(
        house.bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S, message_id="same")
    )
    await settle()
    with pytest.raises(ContractError, match="under way"):
        await house.bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S, message_id="same")
    await house.serve(serve(MEMORY_QUERY, on_query))
    inject(house, QUERY_PATH, query_envelope(id="same"))
    assert await task == MemoryResults(results=())


async def test_a_request_goes_out_again_after_a_reconnect(house: House) -> None:
    task = asyncio.ensure_future(ask(house))
    await settle()
    assert [path for path, _ in house.broker.published] == [QUERY_PATH]
    await house.serve(serve(MEMORY_QUERY, on_query))
    house.broker.go_offline()
    house.broker.go_online()
    async with asyncio.timeout(0.5):  # sooner than the first resend by time
        assert await task == MemoryResults(results=())


async def test_a_request_goes_out_again_when_its_worker_is_back(house: House) -> None:
    def beat(kind: str, connects: int) -> None:
        health = Health(worker=f"{kind}-1", kind=kind, state="ready", pid=7, version="1")
        counted = health.model_copy(update={"counters": {"connects": connects}})
        house.say(HEALTH, counted, worker=f"{kind}-1")

    on_wire = await house.hear_raw(RawTopic(MEMORY_QUERY.pattern, 1, Flow(), ""))
    beat("memory", 1)
    await settle()
    task = asyncio.ensure_future(ask(house))
    await on_wire.until(1)
    beat("memory", 1)
    beat("llm", 1)
    await settle()
    assert len(on_wire) == 1
    await house.serve(serve(MEMORY_QUERY, on_query))
    beat("memory", 2)
    async with asyncio.timeout(0.5):  # sooner than the first resend by time
        assert await task == MemoryResults(results=())


async def test_a_request_goes_out_again_until_it_is_answered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon_runtime.replies.RESEND_AFTER_S", 0.01)
    on_wire = await house.hear_raw(RawTopic(MEMORY_QUERY.pattern, 1, Flow(), ""))
    task = asyncio.ensure_future(ask(house))
    await on_wire.until(3)
    assert len({message.payload for message in on_wire}) == 1
    await house.serve(serve(MEMORY_QUERY, on_query))
    assert await task == MemoryResults(results=())
    assert house.bus.counters["requests_resent"] >= 2


async def test_a_denied_request_fails_at_once(house: House) -> None:
    house.broker.denied.add(QUERY_PATH)
    with pytest.raises(BusError, match="denied"):
        await ask(house)
    assert house.bus.pending_requests == 0


async def test_closing_fails_open_requests() -> None:
    async with House(requests=[MEMORY_QUERY]) as house:
        task = asyncio.ensure_future(ask(house))
        await settle()
    with pytest.raises(BusError, match="closed"):
        await task
    assert house.bus.pending_requests == 0


async def test_a_request_to_a_worker_known_to_be_gone_fails_at_once(house: House) -> None:
    def say_health(worker: str, state: str) -> None:
        health = Health.model_validate({"worker": worker, "kind": "memory", "state": state})
        house.say(HEALTH, health, worker=worker)

    say_health("memory-1", "gone")
    await settle()
    with pytest.raises(WorkerGone, match="memory worker is offline"):
        await ask(house)
    assert QUERY_PATH not in [path for path, _ in house.broker.published]
    say_health("memory-2", "starting")
    await settle()
    with pytest.raises(RequestTimeout):
        await ask(house, timeout_s=0.01)
    say_health("memory-2", "gone")
    await settle()
    with pytest.raises(WorkerGone):
        await ask(house)
    for worker in ("memory-1", "memory-2"):
        inject(house, f"antiphon/health/{worker}", b"")
    await settle()
    assert house.bus.presence.workers == {}
    with pytest.raises(RequestTimeout):
        await ask(house, timeout_s=0.01)


async def test_a_request_to_a_worker_that_nobody_heard_of_fails_at_once(house: House) -> None:
    now = 0.0
    presence = Presence(lambda: now)
    bus = Bus(house.broker.transport(), source="llm-1", presence=presence)
    bus.install(requests=[MEMORY_QUERY])

    def asking() -> asyncio.Task[MemoryResults]:
        return asyncio.ensure_future(bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S))

    async with bus.open(), asyncio.timeout(0.5):
        right_after_the_connect = asking()
        await settle()
        now = 60.0
        with pytest.raises(WorkerGone, match="memory worker is offline"):
            await asking()
        house.broker.go_offline()
        in_an_outage = asking()
        await settle()
        house.broker.go_online()
        await house.serve(serve(MEMORY_QUERY, on_query))
        health = Health(worker="memory-1", kind="memory", state="starting")
        house.say(HEALTH, health, worker="memory-1")
        await right_after_the_connect
        await in_an_outage
        now = 120.0
        await asking()


async def test_right_after_a_connect_it_soon_shows_that_nobody_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon_runtime.replies.RESEND_AFTER_S", 0.02)
    sent = await house.hear_raw(RawTopic(MEMORY_QUERY.pattern, 1, MEMORY_QUERY.flow, ""))
    now = 0.0
    bus = Bus(house.broker.transport(), source="cli", presence=Presence(lambda: now))
    bus.install(requests=[MEMORY_QUERY])
    async with bus.open(), asyncio.timeout(WAIT_S):
        task = asyncio.ensure_future(bus.request(MEMORY_QUERY, QUERY, timeout_s=120))
        await sent.until(2)  # one may still come: it is sent again
        assert not task.done()
        now = 2.6
        with pytest.raises(WorkerGone, match="memory worker is offline"):
            await task
    assert bus.pending_requests == 0


async def test_a_reply_that_does_not_fit_fails_the_request(house: House) -> None:
    task = asyncio.ensure_future(
        house.bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S, message_id="m1")
    )
    await settle()
    bad = {"id": "r", "type": MEMORY_RESULTS.type, "correlation_id": "m1", "data": {"results": 1}}
    inject(house, f"antiphon/{MEMORY_RESULTS.pattern}", orjson.dumps(bad))
    with pytest.raises(ContractError, match="results"):
        await task
    assert house.bus.counters["malformed"] == 1


# Once and only once


async def test_a_repeated_request_is_joined_while_it_runs_and_answered_when_done(
    house: House,
) -> None:
    gate, replies = Gate(), await house.hear(MEMORY_RESULTS)
    server = await house.serve(serve(MEMORY_QUERY, gate.on_query, concurrency=4))
    request = query_envelope(id="m1")
    for _ in range(3):
        inject(house, QUERY_PATH, request)
    await gate.until_begun(1)
    await settle()
    assert gate.begun == ["m1"]
    gate.open.set()
    await replies.until(1)
    inject(house, QUERY_PATH, request)
    await settle()
    assert gate.begun == ["m1"]
    assert server.counters["requests_repeated"] == 3
    # The ear drops the repeated reply as it is the very same message: count on the wire.
    on_wire = [p for path, p in house.broker.published if path.endswith(MEMORY_RESULTS.pattern)]
    assert len(on_wire) == 2
    assert on_wire[0] == on_wire[1]


async def test_a_failed_request_may_be_tried_again(house: House) -> None:
    outcomes = iter([EngineError("out of memory"), None])

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        if (error := next(outcomes)) is not None:
            raise error
        return MemoryResults(results=())

    await house.serve(serve(MEMORY_QUERY, on_query))
    with pytest.raises(RemoteError, match="out of memory") as refused:
        await house.bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S, message_id="m1")
    assert refused.value.code == "engine"
    reply = await house.bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S, message_id="m1")
    assert reply == MemoryResults(results=())


async def test_a_doubled_event_is_dropped(house: House) -> None:
    gate = Gate()
    gate.open.set()
    bus = await house.serve(listen(STT_FINAL, gate.on_final))
    event = encode(STT_FINAL.message(final("once")))
    inject(house, FINAL_PATH, event)
    inject(house, FINAL_PATH, event)
    inject(house, FINAL_PATH, encode(STT_FINAL.message(final("more"))))
    await gate.until_begun(2)
    assert gate.begun == ["once", "more"]
    assert bus.counters["events_doubled"] == 1


# Lanes


async def test_40_blocked_handlers_hold_up_neither_replies_nor_cancels(house: House) -> None:
    gate, cancelled = Gate(), asyncio.Event()

    async def on_control(message: Message[Control]) -> None:
        cancelled.set()

    worker = Bus(house.broker.transport(), source="llm-1")
    worker.install(
        [listen(STT_FINAL, gate.on_final, concurrency=40), listen(CONTROL, on_control)],
        requests=[MEMORY_QUERY],
    )
    await house.serve(serve(MEMORY_QUERY, on_query))
    async with worker.open(), worker.handling(drain_s=0):
        for n in range(100):
            house.say(STT_FINAL, final(str(n)))
        await gate.until_begun(40)
        async with asyncio.timeout(1):
            reply = await worker.request(MEMORY_QUERY, QUERY, timeout_s=1)
            house.say(CONTROL, Control(action="mute"), worker="llm-1")
            await cancelled.wait()
        assert reply == MemoryResults(results=())
        assert worker.queue_depths[STT_FINAL.pattern] == 60
    assert len(gate.begun) == 40


async def test_a_full_queue_says_busy_at_once(house: House) -> None:
    gate = Gate()
    bus = await house.serve(serve(MEMORY_QUERY, gate.on_query, queue_limit=1))
    handled = asyncio.ensure_future(ask(house))
    await gate.until_begun(1)
    queued = asyncio.ensure_future(ask(house))
    await settle()
    with pytest.raises(Busy, match="too much to do"):
        await ask(house)
    assert bus.counters["overflow"] == 1
    gate.open.set()
    assert await handled == await queued == MemoryResults(results=())
    assert await ask(house) == MemoryResults(results=())


async def test_a_full_queue_may_drop_its_oldest(house: House) -> None:
    gate = Gate()
    handler = listen_raw(AUDIO_IN, gate.on_raw, queue_limit=2, overflow="drop_oldest")
    bus = await house.serve(handler)
    for n in range(6):
        house.bus.publish_raw(AUDIO_IN, str(n).encode(), site="kitchen")
        await gate.until_begun(1)
    await settle()
    gate.open.set()
    await gate.until_begun(3)
    assert gate.begun == ["0", "4", "5"]
    assert bus.counters["overflow"] == 3


async def test_one_handler_at_a_time_keeps_the_order_and_more_run_side_by_side(
    house: House,
) -> None:
    gate = Gate()
    await house.serve(listen(STT_FINAL, gate.on_final, concurrency=3))
    for n in range(10):
        house.say(STT_FINAL, final(str(n)))
    await settle()
    assert gate.begun == ["0", "1", "2"]
    gate.open.set()
    await gate.until_begun(10)
    assert gate.begun == [str(n) for n in range(10)]


async def test_what_waited_too_long_is_not_handled(house: House) -> None:
    gate = Gate()
    bus = await house.serve(listen(STT_FINAL, gate.on_final))
    house.say(STT_FINAL, final("first"))
    await gate.until_begun(1)
    inject(house, FINAL_PATH, encode(STT_FINAL.message(final("stale"), ttl_s=0.0)))
    inject(house, FINAL_PATH, encode(STT_FINAL.message(final("fresh"), ttl_s=60)))
    await settle()
    gate.open.set()
    await gate.until_begun(2)
    assert gate.begun == ["first", "fresh"]
    assert bus.counters["expired"] == 1


async def test_an_expired_request_may_come_again(house: House) -> None:
    gate = Gate()
    bus = await house.serve(serve(MEMORY_QUERY, gate.on_query))
    inject(house, QUERY_PATH, query_envelope(id="blocks"))
    await gate.until_begun(1)
    inject(house, QUERY_PATH, query_envelope(id="m1", ttl_s=0.0))
    await settle()
    gate.open.set()
    await settle()
    assert bus.counters["expired"] == 1
    inject(house, QUERY_PATH, query_envelope(id="m1", ttl_s=60))
    await gate.until_begun(2)
    assert gate.begun == ["blocks", "m1"]


async def test_slots_of_the_topic_reach_a_raw_handler(house: House) -> None:
    heard = await house.hear_raw(AUDIO_IN)
    house.bus.publish_raw(AUDIO_IN, b"pcm", site="kitchen")
    (message,) = await heard.until(1)
    assert (message.slots, message.site_id) == ({"site": "kitchen"}, "kitchen")


# Bad input


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": ...}, "no object 'data'"),
        ({"data": [1]}, "no object 'data'"),
        ({"type": "memory.query/2"}, "type is not 'memory.query/1'"),
        ({"data": {"text": 5}}, "text"),
        ({"ttl_s": "soon"}, "not numbers"),
        ({"site_id": 7}, "site_id"),
    ],
)
async def test_a_request_that_breaks_the_contract_is_told_so(
    house: House, changes: dict[str, object], reason: str
) -> None:
    bus = await house.serve(serve(MEMORY_QUERY, on_query))
    task = asyncio.ensure_future(
        house.bus.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S, message_id="m1")
    )
    inject(house, QUERY_PATH, query_envelope(id="bad", **changes))
    assert await task == MemoryResults(results=())
    refusals = [
        orjson.loads(payload)
        for path, payload in house.broker.published
        if path.endswith(MEMORY_RESULTS.pattern) and b'"error/1"' in payload
    ]
    assert [refusal["correlation_id"] for refusal in refusals] == ["bad"]
    assert refusals[0]["data"]["code"] == "bad_request"
    assert reason in refusals[0]["data"]["detail"]
    assert bus.counters["malformed"] == 1


async def test_whoever_listens_to_requests_answers_and_refuses_nothing(house: House) -> None:
    overheard = await house.hear(MEMORY_QUERY)
    await house.serve(serve(MEMORY_QUERY, on_query), source="memory-1")
    inject(house, QUERY_PATH, query_envelope(data={"top_k": "many"}))
    assert await ask(house) == MemoryResults(results=())
    await settle()
    assert [message.data for message in overheard] == [QUERY]
    reply_path = f"antiphon/{MEMORY_RESULTS.pattern}"
    answers = [orjson.loads(sent) for path, sent in house.broker.published if path == reply_path]
    assert [answer["source"] for answer in answers] == ["memory-1"] * 2


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b"1" * 400,
        b'{"id": 1e999}',
        b"[" * 10_000,
        b'{"id": "x", "type": "stt.final/1", "ts": ' + b"9" * 400 + b', "data": {}}',
        orjson.dumps({"id": "x" * 257, "type": "stt.final/1", "data": {}}),
    ],
    ids=range(10),
)
async def test_malformed_bytes_are_counted_and_the_next_message_is_handled(
    house: House, payload: bytes
) -> None:
    gate = Gate()
    gate.open.set()
    bus = await house.serve(
        listen(STT_FINAL, gate.on_final), serve(MEMORY_QUERY, on_query, queue_limit=4)
    )
    inject(house, FINAL_PATH, payload)
    inject(house, QUERY_PATH, payload)
    house.say(STT_FINAL, final("good"))
    await gate.until_begun(1)
    assert gate.begun == ["good"]
    assert await ask(house) == MemoryResults(results=())
    assert bus.counters["malformed"] == 2


async def test_malformed_health_and_replies_do_no_harm(house: House) -> None:
    await house.serve(serve(MEMORY_QUERY, on_query))
    inject(house, "antiphon/health/memory-1", b"gone")
    inject(house, f"antiphon/{MEMORY_RESULTS.pattern}", b"\xff")
    assert await ask(house) == MemoryResults(results=())
    assert house.bus.counters["malformed"] == 2


async def test_20_megabytes_are_counted_and_dropped(house: House) -> None:
    heard: list[RawMessage] = []

    async def on_say(message: RawMessage) -> None:
        heard.append(message)

    bus = await house.serve(listen_raw(SAY, on_say))
    transport = bus._transport
    for size in (20 * 1024 * 1024, MAX_MESSAGE_BYTES):
        house.broker.take("antiphon/say", bytes(size), PublishOptions(qos=1))
    await settle()
    assert [len(message.payload) for message in heard] == [MAX_MESSAGE_BYTES]
    assert bus.counters["oversize"] == 1
    assert transport.connected


async def test_a_retained_command_is_ignored_and_a_retained_state_is_not(house: House) -> None:
    retained = PublishOptions(qos=1, retain=True)
    command = encode(STT_FINAL.message(final("old")))
    state = encode(TOOLS_REGISTRY.message(ToolRegistry(tools=())))
    house.broker.take(FINAL_PATH, command, retained)
    house.broker.take(f"antiphon/{TOOLS_REGISTRY.pattern}", state, retained)
    gate, registries = Gate(), await house.hear(TOOLS_REGISTRY)
    bus = await house.serve(listen(STT_FINAL, gate.on_final))
    await registries.until(1)
    await settle()
    assert gate.begun == []
    assert bus.counters["retained_ignored"] == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (LookupError("what colour is my bicycle"), "internal", "LookupError"),
        (EngineError("no memory left"), "engine", "no memory left"),
        (ContractError("text is empty"), "bad_request", "text is empty"),
        (ConfigError("no model"), "internal", "no model"),
    ],
)
async def test_a_handler_that_fails_is_a_refusal_and_the_next_message_is_handled(
    house: House, capsys: pytest.CaptureFixture[str], error: Exception, code: str, told: str
) -> None:
    outcomes = iter([error, None])

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        if (failure := next(outcomes)) is not None:
            raise failure
        return MemoryResults(results=())

    await house.serve(serve(MEMORY_QUERY, on_query))
    with pytest.raises(RemoteError, match=told) as refused:
        await ask(house)
    assert refused.value.code == code
    assert "bicycle" not in str(refused.value)
    assert await ask(house) == MemoryResults(results=())


async def test_a_busy_engine_is_told_as_busy(house: House) -> None:
    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        raise Busy("all slots are taken")

    await house.serve(serve(MEMORY_QUERY, on_query))
    with pytest.raises(Busy, match="all slots are taken"):
        await ask(house)


# The life of a bus


async def test_what_has_begun_is_finished_and_nothing_new_is_taken() -> None:
    async with House() as house:
        gate = Gate()
        bus = Bus(house.broker.transport(), source="stt-1")
        bus.install([listen(STT_FINAL, gate.on_final)])
        ended: list[str] = []

        async def drain() -> None:
            async with bus.open():
                async with bus.handling(drain_s=WAIT_S):
                    house.say(STT_FINAL, final("begun"))
                    house.say(STT_FINAL, final("waits"))
                    await gate.until_begun(1)
                ended.append("drained")
                house.say(STT_FINAL, final("late"))
                await settle()
                assert bus.queue_depths == {STT_FINAL.pattern: 2}

        task = asyncio.ensure_future(drain())
        await gate.until_begun(1)
        await settle()
        assert ended == []
        gate.open.set()
        async with asyncio.timeout(WAIT_S):
            await task
    assert gate.begun == ["begun"]


async def test_a_drain_is_bounded(house: House) -> None:
    gate = Gate()
    bus = Bus(house.broker.transport(), source="stt-1")
    bus.install([listen(STT_FINAL, gate.on_final)])
    async with bus.open(), asyncio.timeout(WAIT_S), bus.handling(drain_s=0.01):
        house.say(STT_FINAL, final("stuck"))
        await gate.until_begun(1)


async def test_a_cancelled_request_handler_may_be_asked_again() -> None:
    async with House() as house:
        gate = Gate()
        bus = Bus(house.broker.transport(), source="memory-1")
        bus.install([serve(MEMORY_QUERY, gate.on_query)])
        async with bus.open():
            for count in (1, 2):
                async with bus.handling(drain_s=0):
                    inject(house, QUERY_PATH, query_envelope(id="m1"))
                    await gate.until_begun(count)
    assert gate.begun == ["m1", "m1"]


async def test_a_reload_swaps_functions_keeps_the_queue_and_adds_subscriptions() -> None:
    async with House() as house:
        old, new = Gate(), Gate()
        for gate in (old, new):
            gate.open.set()
        bus = Bus(house.broker.transport(), source="stt-1")
        bus.install([listen(STT_FINAL, old.on_final)])
        async with bus.open():
            async with bus.handling():
                house.say(STT_FINAL, final("one"))
                await old.until_begun(1)
            house.say(STT_FINAL, final("two"))
            await settle()
            bus.install([listen(STT_FINAL, new.on_final), listen_raw(SAY, new.on_raw)])
            async with bus.handling():
                await new.until_begun(1)
                house.bus.publish_raw(SAY, b"three")
                await new.until_begun(2)
    assert (old.begun, new.begun) == (["one"], ["two", "three"])


async def test_every_connect_is_told(house: House) -> None:
    bus = Bus(house.broker.transport(), source="stt-1")
    connects: list[bool] = []
    bus.at_connect(lambda: connects.append(bus.connected))
    async with bus.open():
        house.broker.go_offline()
        house.broker.go_online()
        await settle()
    assert connects == [True, True]
    assert bus.counters["connects"] == 2


@pytest.mark.parametrize("base", ["", "home/first floor"])
async def test_any_base_will_do(base: str) -> None:
    async with House() as house:
        heard: list[bytes] = []

        async def on_ask(message: RawMessage) -> None:
            heard.append(message.payload)

        server = Bus(house.broker.transport(), source="memory-1", base=base)
        server.install([serve(MEMORY_QUERY, on_query), listen_raw(ASK, on_ask)])
        client = Bus(house.broker.transport(), source="llm-1", base=base)
        client.install(requests=[MEMORY_QUERY])
        async with server.open(), client.open(), server.handling(drain_s=0):
            client.publish_raw(ASK, b"time?")
            reply = await client.request(MEMORY_QUERY, QUERY, timeout_s=WAIT_S)
        assert reply == MemoryResults(results=())
        assert heard == [b"time?"]
        assert all(path.startswith(base) for path, _ in house.broker.published)


async def test_a_bus_hears_nothing_but_what_it_asked_for(house: House) -> None:
    gate = Gate()
    await house.serve(listen(STT_FINAL, gate.on_final))
    inject(house, "antiphon/stt/final/more", encode(STT_FINAL.message(final("x"))))
    inject(house, "other/stt/final", encode(STT_FINAL.message(final("x"))))
    await settle()
    assert gate.begun == []


def test_a_handler_keeps_what_it_was_given() -> None:
    async def on_bytes(message: RawMessage) -> None:
        raise NotImplementedError

    topic = RawTopic("a/{site}", 1, Flow(), "")
    assert listen_raw(topic, on_bytes, concurrency=3, queue_limit=5, overflow="drop_oldest") == (
        Handler(topic, on_bytes, 3, 5, "drop_oldest")
    )
    assert new_id() != new_id()
