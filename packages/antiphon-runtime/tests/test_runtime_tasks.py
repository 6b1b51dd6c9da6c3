"""Structured concurrency, logs, and the tables of replies."""

import asyncio
import json
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import orjson
import pytest
import structlog
from antiphon_contracts import (
    STT_FINAL,
    AntiphonError,
    BusError,
    EngineError,
    Message,
    SttFinal,
)
from antiphon_runtime import configure_logs, listen, running
from antiphon_runtime.logs import crash
from antiphon_runtime.replies import STORED_REPLIES, STORED_REPLY_BYTES, ReplyStore, SeenIds
from antiphon_runtime.tasks import in_daemon_thread
from antiphon_runtime.testing import House

pytestmark = [pytest.mark.unit, pytest.mark.timeout(20)]


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail(error: Exception) -> None:
    raise error


# running


async def test_tasks_are_named_and_end_with_the_block() -> None:
    async with running(background=for_ever()):
        tasks = {task.get_name(): task for task in asyncio.all_tasks()}
    assert tasks["background"].cancelled()


async def test_an_error_of_a_task_ends_the_block_and_comes_out_as_itself() -> None:
    cause = OSError("disk")

    async def fail_with_a_cause() -> None:
        raise EngineError("store") from cause

    with pytest.raises(EngineError, match="store") as raised:
        async with running(broken=fail_with_a_cause(), other=for_ever()):
            await for_ever()
    assert raised.value.__cause__ is cause


async def test_an_error_of_the_block_comes_out_as_itself_through_nested_blocks() -> None:
    with pytest.raises(BusError, match="away"):
        async with running(a=for_ever()), running(b=for_ever()):
            raise BusError("away")


async def test_two_errors_come_out_together() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with running(a=fail(BusError("a")), b=fail(EngineError("b"))):
            await for_ever()
    assert {type(error) for error in raised.value.exceptions} == {BusError, EngineError}


async def test_cancelling_passes_through() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with running(a=for_ever()):
            begun.set()
            await for_ever()

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_daemon_thread_returns_and_raises() -> None:
    def lose() -> str:
        raise LookupError("lost")

    assert await in_daemon_thread(lambda: threading.current_thread().name, name="x") == "x"
    with pytest.raises(LookupError, match="lost"):
        await in_daemon_thread(lose, name="x")


def test_a_hanging_daemon_thread_does_not_hold_up_the_loops_end() -> None:
    go_on = threading.Event()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await in_daemon_thread(go_on.wait, name="hangs")

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    (thread,) = (t for t in threading.enumerate() if t.name == "hangs")
    assert thread.daemon
    go_on.set()
    thread.join(5)


# Logs


@pytest.fixture
def fresh_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("fresh_logs")
@pytest.mark.parametrize("style", ["json", "text"])
async def test_lines_have_worker_and_turn_and_nothing_that_was_said(
    capsys: pytest.CaptureFixture[str], style: str
) -> None:
    configure_logs("stt-1", level="info", style="json" if style == "json" else "text")

    async def on_final(message: Message[SttFinal]) -> None:
        words = message.data.text
        structlog.get_logger().info("heard", turn_words=len(words.split()))
        raise LookupError(words)

    async with House() as house:
        bus = await house.serve(listen(STT_FINAL, on_final))
        house.say(STT_FINAL, SttFinal(utterance_id="u", text="secret bicycle"), turn_id="t-17")
        for _ in range(20):
            await asyncio.sleep(0)
    assert bus.counters["handler_errors"] == 1
    printed = capsys.readouterr().err
    assert "secret" not in printed
    assert "bicycle" not in printed
    assert "LookupError" in printed
    assert "test_runtime_tasks.py" in printed
    assert printed.count("t-17") == 2
    if style == "json":
        heard, crashed = (json.loads(line) for line in printed.splitlines())
        assert (heard["event"], heard["worker"], heard["turn_id"]) == ("heard", "stt-1", "t-17")
        assert (crashed["event"], crashed["level"]) == ("handler.crashed", "error")


@pytest.mark.usefixtures("fresh_logs")
@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure_logs("stt-1", level="debug", style="json" if style == "json" else "text")

    def think(words: str) -> None:
        thought = words.upper()
        assert thought
        raise LookupError

    try:
        think("secret bicycle")
    except LookupError:
        structlog.get_logger().exception("broken")
    printed = capsys.readouterr().err
    assert "think" in printed
    assert "BICYCLE" not in printed.upper().replace('THINK("SECRET BICYCLE")', "")


@pytest.mark.usefixtures("fresh_logs")
def test_the_level_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger()
    configure_logs("stt-1", level="warning", style="json")
    log.info("quiet")
    configure_logs("stt-1", level="debug", style="json")
    log.debug("loud")
    printed = capsys.readouterr().err
    assert "loud" in printed
    assert "quiet" not in printed


def test_a_crash_is_told_without_its_text() -> None:
    def think() -> None:
        raise LookupError("secret")

    with pytest.raises(LookupError) as raised:
        think()
    told = crash(raised.value)
    assert told["error"] == "LookupError"
    assert told["where"][-1].endswith("think")
    assert "secret" not in str(told)


# Replies


def test_answers_are_kept_within_bounds() -> None:
    store = ReplyStore()
    for number in range(STORED_REPLIES + 10):
        assert store.begin(str(number)) == "new"
        store.finish(str(number), b"answer")
    assert store.begin("0") == "new"
    assert store.begin(str(STORED_REPLIES + 9)) == b"answer"
    half = bytes(STORED_REPLY_BYTES // 2)
    for name in ("a", "b", "c"):
        store.begin(name)
        store.finish(name, half)
    assert store.begin("c") == half
    assert store.begin("b") == half
    assert store.begin("a") == "new"


def test_seen_ids_are_kept_within_bounds() -> None:
    seen = SeenIds(limit=3)
    assert [seen.is_new(name) for name in "abca"] == [True, True, True, False]
    assert seen.is_new("d")
    assert seen.is_new("a")
    assert not seen.is_new("d")


def test_every_error_of_the_house_is_of_one_tree() -> None:
    def below(kind: type[Exception]) -> Counter[str]:
        return Counter([kind.__name__]) + sum(map(below, kind.__subclasses__()), Counter())

    assert {"BusError", "LostError", "OtherVersionError"} <= set(below(AntiphonError))


def test_a_stored_reply_takes_little_more_than_its_bytes() -> None:
    store = ReplyStore()
    payloads = [orjson.dumps({"number": number, "text": "x" * 200}) for number in range(500)]
    tracemalloc.start()
    try:
        for number, payload in enumerate(payloads):
            # As the bus does: encoded, stored, and held by nobody else.
            store.finish(str(number), orjson.dumps(orjson.loads(payload)))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown / 500 < 1_000
