"""Preparing: with a candidate the first words of the answer are made ready, and nothing is said."""

from __future__ import annotations

import asyncio

import pytest
from antiphon_contracts import LlmResponse, SttControl
from antiphon_router import phrases
from antiphon_router.clauses import first_clause
from antiphon_router.language_model import Listener, Reply
from antiphon_router.preparing import FirstClause
from antiphon_router.settings import RouterSettings, SiteSettings
from antiphon_router.speculation import Tentative
from antiphon_router.testing import Home, home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit

TIME = "It is half past seven in the evening, and dark. Really."
FIRST = "It is half past seven in the evening,"


@pytest.fixture
def it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "spoken_time", lambda _now: TIME)


async def fall_silent(h: Home, text: str) -> tuple[Room, SttControl]:
    """Say something that may be all."""
    room = await Room(h).begin()
    room.wake()
    window = await room.until_window("wake")
    room.partial(text, window, 0, candidate=True)
    await settled()
    return room, window


async def until_streamed(h: Home) -> None:
    await asyncio.wait_for(h.streamed.wait(), 5)
    await settled()


def prepared(h: Home) -> list[str]:
    return [message.data.text for message in h.prepared]


@pytest.mark.usefixtures("it_is_late")
async def test_the_fast_path_s_answer_is_prepared_as_it_will_be_said() -> None:
    rules = RouterSettings(sites={"kitchen": SiteSettings(voice="anna", speed=1.2)})
    async with home(rules) as h:
        room, window = await fall_silent(h, "What time is it")
        (message,) = h.prepared
        assert (message.site_id, message.turn_id) == ("kitchen", window.utterance_id)
        assert not h.said
        room.final("What time is it?", window)
        await h.answers.until(1)
        await room.until_spoken(lambda room: room.clauses[-1].last)
        said, sound = room.clauses[0], message.data
        assert (sound.text, sound.voice, sound.speed) == (FIRST, "anna", 1.2)
        assert (said.text, said.voice, said.speed) == (FIRST, "anna", 1.2)
        assert room.spoken == TIME
        assert prepared(h) == [FIRST]
        assert h.router.counters["preparations"] == 1


async def test_the_answer_is_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(["It is 7:59.", "It is 8 o'clock."])
    monkeypatch.setattr(phrases, "spoken_time", lambda _now: next(times))
    async with home() as h:
        room, window = await fall_silent(h, "What time is it")
        assert prepared(h) == ["It is 7:59."]
        room.final("What time is it?", window)
        await h.answers.until(1)
        assert room.spoken == "It is 8 o'clock."


async def test_what_was_said_last_is_known() -> None:
    async with home() as h:
        await fall_silent(h, "Say that again")
        assert prepared(h) == [first_clause(phrases.NOTHING_TO_REPEAT)]


@pytest.mark.parametrize(
    "text",
    [
        "Stop",
        "Never mind",
        "Pause",
        "Go on",
        "Remember that the milk is sour",
        "Forget that the milk is sour",
        "What is 12 times 7",
        "Set a timer for five minutes",
    ],
)
async def test_nothing_that_asks_or_changes_something_is_prepared(text: str) -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = ()
        await fall_silent(h, text)
        assert not h.prepared
        assert not h.remembered
        assert not h.answers
        h.gate.set()


async def test_the_language_model_s_first_clause_is_prepared_when_it_is_complete() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = ("**It** is ",)
        room, window = await fall_silent(h, "Is it red")
        await until_streamed(h)
        assert not h.prepared
        h.stream_more("red. And large. ")
        await h.prepared.until(1)
        h.stream_more("Really.")
        h.response = LlmResponse(reply="**It** is red. And large. Really.", finish_reason="stop")
        await settled()
        assert prepared(h) == ["It is red."]
        assert not h.said
        room.final("Is it red?", window)
        h.gate.set()
        await h.answers.until(1)
        await room.until_spoken(lambda room: room.clauses[-1].last)
        assert room.clauses[0].text == "It is red."
        assert prepared(h) == ["It is red."]


async def test_a_short_reply_is_prepared_at_its_end() -> None:
    async with home() as h:
        h.deltas = ("It is ",)
        h.response = LlmResponse(reply="It is red", finish_reason="stop")
        room, window = await fall_silent(h, "Is it red")
        await h.prepared.until(1)
        room.final("Is it red?", window)
        await h.answers.until(1)
        assert prepared(h) == [room.spoken] == ["It is red"]


async def test_what_comes_after_the_final_is_said_and_not_prepared() -> None:
    heard: list[str] = []
    said: list[str] = []
    tentative = Tentative("Is it red", FirstClause(heard.append))

    async def ask() -> Reply:
        tentative.take("It is ")
        await wanted.wait()
        tentative.take("red. ")
        tentative.first_clause.finish("Really.")
        return Reply("It is red. Really.", rest="Really.")

    async def again(_listener: Listener) -> Reply:
        return Reply("", rest="")

    wanted = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tentative.task = group.create_task(ask(), name="ask")
        await settled()
        taken = group.create_task(tentative.reply(Listener(said.append), again), name="reply")
        await settled()
        wanted.set()
        assert (await taken).rest == "Really."
    assert said == ["It is ", "red. "]
    assert not heard


async def test_who_goes_on_ends_it() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = ("It is ",)
        room, window = await fall_silent(h, "Is it red")
        await until_streamed(h)
        room.partial("Is it red and", window, 1)
        await h.cancelled.until(1)
        h.stream_more("red. ")
        await settled()
        assert not h.prepared
        h.gate.set()


@pytest.mark.usefixtures("it_is_late")
async def test_a_candidate_that_is_told_twice_is_prepared_for_each_once() -> None:
    async with home() as h:
        room, window = await fall_silent(h, "What time is it")
        room.partial("What time", window, 0, candidate=True)
        await settled()
        assert prepared(h) == [FIRST]
        room.partial("Is it red", window, 1, candidate=True)
        await h.prepared.until(2)
        room.partial("Is it red", window, 2, candidate=True)
        await settled()
        assert prepared(h) == [FIRST, "It is red."]


@pytest.mark.usefixtures("it_is_late")
async def test_an_interruption_by_a_question_of_the_fast_path_is_prepared() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.wake()
        window = await room.until_window("barge_in")
        room.partial("What time is it", window, 0, candidate=True)
        await settled()
        assert prepared(h) == [FIRST]
        assert h.asked == ["Is it red?"]


@pytest.mark.usefixtures("it_is_late")
@pytest.mark.parametrize("text", ["What time is it", "Is it red"])
async def test_it_is_switched_off_with_speculation(text: str) -> None:
    async with home(RouterSettings(speculate=False)) as h:
        room, window = await fall_silent(h, text)
        room.final(text, window)
        await h.answers.until(1)
        assert not h.prepared


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("", ""),
        ("Yes", "Yes"),
        ("**Yes**. It is.", "Yes."),
        ("```\ncode\n```\nDone. Good.", "Done."),
        ("🙂\nHello there.", "Hello there."),
    ],
)
def test_the_first_clause_of_a_text(text: str, clause: str) -> None:
    assert first_clause(text) == clause
    heard: list[str] = []
    first = FirstClause(heard.append)
    for letter in text:
        first.feed(letter)
    first.finish("")
    first.finish(" And more. ")
    assert heard == [clause or "And more."]
