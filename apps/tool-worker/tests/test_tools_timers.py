import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from antiphon_contracts import (
    BusError,
    Busy,
    RequestTimeout,
    Timer,
    TimerDone,
    TimerList,
    WorkerGone,
)
from antiphon_tools import Tool, ToolContext, ToolError
from antiphon_tools.builtin.timer_phrases import phrase, span
from antiphon_tools.builtin.timers import timer_tools
from antiphon_tools.engine import compile_schema
from antiphon_tools.service import MAX_OUTPUT_BYTES

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday


class NoMemory:
    async def remember(self, text: str) -> Sequence[str]:
        raise ToolError(text)

    async def query(self, text: str) -> Sequence[str]:
        raise ToolError(text)


class TimerBus:
    """Answers each request as told, and writes down what was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any, dict[str, Any]]] = []

    async def request(self, topic: Any, data: Any, **envelope: Any) -> Any:
        self.asked.append((topic.pattern, data, envelope))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        raise BusError("nothing is published")


CONTEXT = ToolContext("kitchen", "t1", NoMemory(), lambda: NOON, UTC, "call-1")


def timer(**more: Any) -> Timer:
    fields = {"id": "a", "kind": "timer", "site_id": "kitchen", "state": "running", "left_s": 600}
    return Timer.model_validate({**fields, **more})


async def call(bus: TimerBus, name: str, /, **arguments: Any) -> Any:
    tools: dict[str, Tool] = {tool.spec.name: tool for tool in timer_tools(bus)}
    assert compile_schema(tools[name].spec.parameters)(arguments) is None
    return await tools[name](arguments, CONTEXT)


async def test_a_timer_is_set_where_it_was_asked_for() -> None:
    bus = TimerBus(TimerDone(action="set", timers=(timer(name="pasta", length_s=600),)))
    done = await call(bus, "set_timer", name="pasta", after_s=600)
    assert done["text"] == "The pasta timer has 10 minutes left."
    assert done["timers"][0]["name"] == "pasta"
    [(topic, data, envelope)] = bus.asked
    assert (topic, data.after_s, data.kind) == ("timer/set", 600, "timer")
    assert envelope == {
        "timeout_s": 5.0,
        "turn_id": "t1",
        "site_id": "kitchen",
        "message_id": "call-1.timer",
    }


async def test_an_alarm_and_a_reminder() -> None:
    tomorrow = NOON + timedelta(hours=19)
    alarm = timer(kind="alarm", at="07:00:00", due=tomorrow.timestamp(), left_s=68_400)
    bus = TimerBus(TimerDone(action="set", timers=(alarm,)))
    done = await call(bus, "set_timer", kind="alarm", at="07:00", days=[0, 1, 2, 3, 4])
    assert done["text"] == "The alarm is set for 07:00 tomorrow."
    assert bus.asked[0][1].days == (0, 1, 2, 3, 4)
    bus.answer = TimerDone(
        action="set", timers=(timer(kind="reminder", text="call Anna", length_s=60, left_s=60),)
    )
    done = await call(bus, "set_timer", kind="reminder", text="call Anna", after_s=60)
    assert done["text"] == "The reminder “call Anna” has 1 minute left."


@pytest.mark.parametrize(
    "arguments", [{}, {"after_s": 5, "at": "07:00"}, {"name": "pasta"}], ids=str
)
async def test_when_must_be_said_once(arguments: dict[str, Any]) -> None:
    bus = TimerBus(None)
    with pytest.raises(ToolError, match="Give either after_s or at"):
        await call(bus, "set_timer", **arguments)
    assert bus.asked == []


async def test_changes_say_which() -> None:
    paused = timer(name="tea", state="paused", left_s=61)
    bus = TimerBus(TimerDone(action="pause", timers=(paused,)))
    done = await call(bus, "change_timer", action="pause", name="tea", kind="timer")
    assert done["text"] == (
        "Paused: the tea timer. The tea timer is paused with 1 minute and 1 second left."
    )
    data = bus.asked[0][1]
    assert (data.which.name, data.which.kind, data.every) == ("tea", "timer", False)
    bus.answer = TimerDone(action="cancel", timers=(timer(state="cancelled"), timer(id="b")))
    done = await call(bus, "change_timer", action="cancel", every=True)
    assert done["text"] == "Cancelled: the timer and the timer."
    with pytest.raises(ToolError, match="how many seconds"):
        await call(bus, "change_timer", action="add")


async def test_what_there_is() -> None:
    bus = TimerBus(TimerList())
    assert (await call(bus, "list_timers"))["text"] == "Nothing is set."
    bus.answer = TimerList(
        timers=(
            timer(name="egg", length_s=300, left_s=12.4),
            timer(kind="alarm", state="ringing"),
            timer(kind="alarm", state="missed", left_s=-7200),
        )
    )
    assert (await call(bus, "list_timers"))["text"] == (
        "The egg timer has 12 seconds left. The alarm is ringing. The alarm was missed 2 hours ago."
    )


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ((0, 1, 2, 3, 4, 5, 6), "every day"),
        ((4, 0, 1, 2, 3), "every weekday"),
        ((5, 6), "at weekends"),
        ((1, 3), "every Tuesday and Thursday"),
    ],
)
def test_alarms_that_come_again(days: tuple[int, ...], words: str) -> None:
    alarm = timer(kind="alarm", at="06:30:00", days=days)
    assert phrase(alarm, CONTEXT) == f"The alarm is set for 06:30 {words}"


def test_alarms_on_a_far_day() -> None:
    due = datetime(2026, 12, 24, 18, 0, tzinfo=UTC).timestamp()
    assert phrase(timer(kind="alarm", at="18:00:00", due=due), CONTEXT) == (
        "The alarm is set for 18:00 on Thursday 24 December"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "1 minute and 30 seconds"),
        (3600, "1 hour"),
        (3661, "1 hour and 1 minute"),
        (3601, "1 hour"),
        (86_400, "1 day"),
        (90_061, "1 day and 1 hour"),
        (86_405, "1 day"),
        (-5, "0 seconds"),
    ],
)
def test_times_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (lambda: WorkerGone("x"), "My timers are offline."),
        (lambda: Busy("x"), "My timers are busy; try again in a moment."),
        (lambda: RequestTimeout("x"), "It is not known whether it was set."),
        (lambda: BusError("x"), "My timers failed: x."),
    ],
)
async def test_errors_are_sentences(error: Callable[[], Exception], sentence: str) -> None:
    with pytest.raises(ToolError) as caught:
        await call(TimerBus(error()), "set_timer", after_s=5)
    assert str(caught.value) == sentence
    assert caught.value.code == ("unknown_outcome" if "not known" in sentence else "failed")


async def test_the_timer_worker_s_own_error_comes_out() -> None:
    bus = TimerBus(TimerDone(action="set", error="No such date.", error_code="bad_time"))
    with pytest.raises(ToolError, match="No such date"):
        await call(bus, "set_timer", at="07:00", on="2026-02-30")


async def test_the_largest_answer_fits_into_a_result() -> None:
    many = tuple(timer(id=str(n), kind="reminder", text="漢" * 1000) for n in range(500))
    found = await call(TimerBus(TimerList(timers=many)), "list_timers")
    assert found["text"].endswith("There are 485 more.")
    assert len(orjson.dumps(found)) <= MAX_OUTPUT_BYTES
    done = await call(
        TimerBus(TimerDone(action="cancel", timers=many)), "change_timer", action="cancel"
    )
    assert len(orjson.dumps(done)) <= MAX_OUTPUT_BYTES
