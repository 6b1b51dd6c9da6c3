"""Announcements, questions to people, and buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from antiphon_contracts import (
    ANNOUNCE,
    ASK_USER,
    Announce,
    Announced,
    AskUser,
    TtsStatus,
    UserAnswer,
)
from antiphon_contracts.topics import TTS_STATUS
from antiphon_router import announcing, hearing, speech
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit

DINNER = "Dinner is ready."


async def announce(h: Home, data: Announce) -> Announced:
    return await h.house.bus.request(ANNOUNCE, data, timeout_s=5)


async def ask_user(
    h: Home, text: str = "Tea or coffee?", *, turn_id: str | None = None
) -> UserAnswer:
    return await h.house.bus.request(
        ASK_USER, AskUser(text=text), timeout_s=5, site_id="kitchen", turn_id=turn_id
    )


async def play_to_the_end(room: Room, text: str) -> None:
    await room.until_spoken(lambda room: room.spoken == text and room.clauses[-1].last)
    room.plays("started")
    room.plays("finished", 1000)


def states(announced: Announced) -> dict[str, str]:
    return {at.site: at.state for at in announced.sites}


# Announcements


async def test_an_announcement_is_heard_at_every_site_with_a_satellite() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        rooms = [await Room(h, site).begin() for site in ("hall", "kitchen")]
        told = group.create_task(announce(h, Announce(text=DINNER)), name="announce")
        for room in rooms:
            await play_to_the_end(room, DINNER)
        assert states(await told) == {"hall": "heard", "kitchen": "heard"}
        assert {clause.priority for room in rooms for clause in room.clauses} == {0}
        assert not h.history
        assert all(not room.windows for room in rooms)


async def test_an_announcement_at_one_site_is_heard_there_alone() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        hall = await Room(h, "hall").begin(streaming=False)
        data = Announce(text=DINNER, sites=("kitchen",), voice="alan")
        told = group.create_task(announce(h, data), name="announce")
        await play_to_the_end(room, DINNER)
        assert states(await told) == {"kitchen": "heard"}
        assert not hall.clauses
        assert room.clauses[0].voice == "alan"


async def test_an_announcement_waits_until_the_conversation_pauses() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        told = group.create_task(announce(h, Announce(text=DINNER)), name="announce")
        await settled()
        assert DINNER not in h.spoken()
        room.plays("finished", 1000)
        window = await room.until_window("follow_up")
        assert DINNER not in h.spoken()
        room.final("", window, rejected="no_speech")
        await play_to_the_end(room, DINNER)
        assert states(await told) == {"kitchen": "heard"}


async def test_an_announcement_for_which_there_is_no_pause_is_unheard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcing, "PAUSE_WITHIN_S", 0.02)
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        assert states(await announce(h, Announce(text=DINNER))) == {"kitchen": "unheard"}
        assert DINNER not in h.spoken()


async def test_two_announcements_come_one_after_the_other() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        first = group.create_task(announce(h, Announce(text="One.")), name="one")
        second = group.create_task(announce(h, Announce(text="Two.")), name="two")
        await play_to_the_end(room, "One.")
        await play_to_the_end(room, "Two.")
        assert states(await first) == states(await second) == {"kitchen": "heard"}


async def test_an_alarm_interrupts() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        answer = room.utterance_id
        alarm = Announce(text="Fire!", priority=20)
        told = group.create_task(announce(h, alarm), name="announce")
        await room.until_told("stop")
        room.plays("stopped", 100, answer)
        await play_to_the_end(room, "Fire!")
        assert states(await told) == {"kitchen": "heard"}
        assert room.clauses[-1].priority == 20


async def test_the_wake_word_cuts_an_announcement_short() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        told = group.create_task(announce(h, Announce(text=DINNER)), name="announce")
        await room.until_spoken(lambda room: room.clauses[-1].last)
        utterance = room.utterance_id
        room.plays("started")
        room.wake()
        window = await room.until_window("barge_in")
        room.final("Stop.", window)
        await room.until_told("stop")
        room.plays("stopped", 100, utterance)
        assert states(await told) == {"kitchen": "interrupted"}


@pytest.mark.parametrize(("failed", "state"), [(True, "failed"), (False, "unheard")])
async def test_an_announcement_that_is_not_played_is_told_so(
    monkeypatch: pytest.MonkeyPatch, state: str, *, failed: bool
) -> None:
    monkeypatch.setattr(hearing, "SWEEP_S", 0.005)
    monkeypatch.setattr(speech, "UNPLAYED_AFTER_S", 0.02)
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        told = group.create_task(announce(h, Announce(text=DINNER)), name="announce")
        await room.until_spoken(lambda room: room.clauses[-1].last)
        if failed:
            status = TtsStatus(
                utterance_id=room.utterance_id, state="failed", detail="there is no such voice"
            )
            h.house.say(TTS_STATUS, status, site_id="kitchen")
        else:
            room.synthesised()
        [at] = (await told).sites
        assert at.state == state
        assert at.detail == ("there is no such voice" if failed else "")


async def test_without_a_speech_worker_an_announcement_fails_at_once() -> None:
    async with home() as h:
        await Room(h).begin()
        h.lose("tts")
        assert states(await announce(h, Announce(text=DINNER))) == {"kitchen": "failed"}


async def test_where_there_is_no_satellite_there_is_nobody_to_tell() -> None:
    async with home() as h:
        assert (await announce(h, Announce(text=DINNER))).sites == ()


# Questions to people


async def test_a_person_is_asked_and_the_answer_is_no_turn() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        asked = group.create_task(ask_user(h), name="ask")
        await play_to_the_end(room, "Tea or coffee?")
        window = await room.until_window("question")
        assert 7.5 < (window.window_s or 0) <= 8.0
        await room.until_state("listening question")
        room.final("Coffee, please.", window)
        answer = await asked
        assert (answer.outcome, answer.text, answer.confidence) == (
            "answered",
            "Coffee, please.",
            0.9,
        )
        await room.until_state("idle")
        await settled()
        assert not h.answers
        assert not h.asked
        assert not h.history


@pytest.mark.parametrize(
    ("rejected", "outcome"),
    [
        ("no_speech", "silent"),
        ("lost", "failed"),
        ("unlikely", "failed"),
        ("engine", "failed"),
    ],
)
async def test_no_answer_is_told_with_its_reason(rejected: str, outcome: str) -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        asked = group.create_task(ask_user(h, ""), name="ask")
        window = await room.until_window("question")
        room.final("", window, rejected=rejected)  # type: ignore[arg-type]
        assert (await asked).outcome == outcome
        await settled()
        assert not h.said


async def test_the_houses_own_question_is_no_answer() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        text = "Would you like to drink tea or coffee?"
        asked = group.create_task(ask_user(h, text), name="ask")
        await play_to_the_end(room, text)
        window = await room.until_window("question")
        room.final("would you like to drink tea or coffee", window)
        window = await room.until_window("question", 2)
        room.final("Tea.", window)
        assert (await asked).text == "Tea."


async def wake_in_window(room: Room) -> None:
    await play_to_the_end(room, "Tea or coffee?")
    await room.until_window("question")
    await room.ask("What time is it?")


async def wake_in_speech(room: Room) -> None:
    await room.until_spoken(lambda room: room.clauses[-1].last)
    utterance = room.utterance_id
    room.plays("started")
    await room.ask("What time is it?")
    await room.until_told("stop")
    room.plays("stopped", 100, utterance)


async def press_stop(room: Room) -> None:
    await play_to_the_end(room, "Tea or coffee?")
    await room.until_window("question")
    room.control("stop")


@pytest.mark.parametrize("interrupt", [wake_in_window, wake_in_speech, press_stop])
async def test_a_question_gives_way_to_the_wake_word(
    interrupt: Callable[[Room], Awaitable[None]],
) -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        asked = group.create_task(ask_user(h), name="ask")
        await interrupt(room)
        assert (await asked).outcome == "interrupted"
        if interrupt is not press_stop:
            await h.answers.until(1)


async def test_one_question_at_a_time() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        room = await Room(h).begin()
        asked = group.create_task(ask_user(h, ""), name="ask")
        window = await room.until_window("question")
        assert (await ask_user(h, "And you?")).outcome == "busy"
        room.final("Tea.", window)
        assert (await asked).outcome == "answered"


async def test_nobody_is_asked_where_nothing_is_heard() -> None:
    async with home() as h:
        assert (await ask_user(h)).outcome == "failed"
        assert not h.said


async def test_a_tool_may_ask_in_the_middle_of_its_turn() -> None:
    async with home() as h, asyncio.TaskGroup() as group:
        h.gate.clear()
        h.deltas = ()
        room = await Room(h).begin()
        window = await room.ask("Make me something to drink")
        await h.streamed.wait()
        turn_id = window.utterance_id
        asked = group.create_task(ask_user(h, turn_id=turn_id), name="ask")
        await play_to_the_end(room, "Tea or coffee?")
        window = await room.until_window("question")
        await room.until_state("listening question")
        room.final("Tea.", window)
        assert (await asked).text == "Tea."
        await room.until_state("thinking")
        h.gate.set()
        await h.answers.until(1)
        assert h.answers[0].turn_id == turn_id


# Buttons


async def test_pause_and_resume_by_a_button() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.control("pause")
        await settled()
        assert "pause" not in room.actions
        await room.hear_answer("Is it red?")
        room.control("pause")
        await room.until_state("paused")
        room.control("resume")
        await room.until_state("speaking")
        assert room.actions == ["resume", "pause", "resume"]


async def test_stop_by_a_button_ends_everything() -> None:
    async with home() as h:
        h.gate.clear()
        room = await Room(h).begin()
        await room.ask("Tell me a long story")
        await room.until_spoken(lambda room: bool(room.clauses))
        room.plays("started")
        room.control("stop")
        await room.until_told("stop")
        room.plays("stopped", 100)
        await h.cancelled.until(1)
        await h.answers.until(1)
        await room.until_state("idle")
        assert h.answers[0].error == "interrupted by what came next"


async def test_repeat_by_a_button_says_the_last_answer_again() -> None:
    async with home(RouterSettings(follow_up_s=0)) as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.plays("finished", 1000)
        first = room.utterance_id
        room.control("repeat")
        await room.until_spoken(lambda room: room.utterance_id != first)
        assert room.spoken == "It is red. Really."
        assert len(h.answers) == 1


async def test_listen_by_a_button_is_as_a_wake_word() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.control("listen")
        window = await room.until_window("wake")
        assert (window.start_ms, window.phrase) == (None, "")
        room.final("Is it red?", window)
        await h.answers.until(1)
