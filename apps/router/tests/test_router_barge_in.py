"""Interruptions: what is spoken is held first, and stopped only when words follow."""

from __future__ import annotations

import asyncio

import pytest
from antiphon_contracts import SttControl
from antiphon_router import listening
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit

TEN = "One two three four five six seven eight nine ten."


async def interrupt(room: Room, count: int = 1) -> SttControl:
    room.wake()
    return await room.until_window("barge_in", count)


async def speaking(h: Home, *, echo_cancelled: bool = False) -> Room:
    h.deltas = [TEN]
    room = await Room(h).begin(echo_cancelled=echo_cancelled)
    await room.hear_answer("Count")
    return room


async def test_a_wake_word_holds_what_is_spoken_at_once() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        assert room.actions[-1] == "pause"
        assert (window.phrase, window.start_ms) == ("okay_nabu", 20_000)
        assert room.state == "listening barge_in"
        assert not h.cancelled


async def test_words_stop_it_and_history_holds_what_was_heard() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        room.final("What time is it?", window)
        await room.until_told("stop")
        room.plays("stopped", 500)
        await h.answers.until(2)
        question, answer = (await h.history.until(2))[:2]
        assert question.text == "Count"
        assert (answer.text, answer.interrupted) == ("One two three four five", True)
        assert h.answers[-1].error is None
        assert room.actions[1:] == ["pause", "stop"]


async def test_no_words_let_it_go_on_where_it_was() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        room.final("", window, rejected="no_speech", speech_ms=0)
        await room.until_told("resume", 2)
        await room.until_state("speaking")
        room.plays("finished", 1000)
        rows = await h.history.until(2)
        assert (rows[1].text, rows[1].interrupted) == (TEN, False)
        await room.until_window("follow_up")
        assert len(h.answers) == 1
        assert "stop" not in room.actions


async def test_noise_after_the_wake_word_is_no_reason_to_break_in() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        room.final("", window, rejected="noise", speech_ms=2000)
        await room.until_state("speaking")
        assert h.spoken() == TEN


async def test_the_language_model_is_cancelled_by_words_and_nothing_more_is_said() -> None:
    async with home() as h:
        h.gate.clear()
        room = await Room(h).begin()
        await room.ask("Tell me a long story")
        await room.until_spoken(lambda room: len(room.clauses) >= 1)
        room.plays("started")
        window = await interrupt(room)
        story = room.utterance_id
        room.final("What time is it?", window)
        for _ in range(20):
            h.stream_more("More and more of it. ")
            await asyncio.sleep(0)
        await h.cancelled.until(1)
        await h.answers.until(2)
        await settled()
        assert h.cancelled == [h.requests[0]]
        published = [(topic, payload) for topic, payload in h.house.broker.published]
        stopped = max(n for n, (topic, _) in enumerate(published) if topic.endswith("tts/cancel"))
        assert not any(
            topic.endswith("tts/say") and story.encode() in payload
            for topic, payload in published[stopped:]
        )
        assert h.answers[0].error == "interrupted by what came next"


async def test_a_turn_goes_on_thinking_while_it_is_interrupted_without_words() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = ()
        room = await Room(h).begin()
        await room.ask("Tell me a long story")
        await h.streamed.wait()
        window = await interrupt(room)
        assert room.state == "listening barge_in"
        h.deltas = ["Once upon a time."]
        h.stream_more("Once upon a time.")
        h.gate.set()
        await h.answers.until(1)
        await settled()
        # A satellite that plays nothing has nothing to pause: it must not get anything yet.
        assert not room.clauses
        room.final("", window, rejected="no_speech", speech_ms=0)
        await room.until_spoken(lambda room: room.clauses[-1].last)
        assert room.spoken == "Once upon a time."
        assert not h.cancelled


async def test_words_stop_a_turn_that_has_not_begun_to_speak() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = ()
        room = await Room(h).begin()
        await room.ask("Tell me a long story")
        await h.streamed.wait()
        window = await interrupt(room)
        h.stream_more("Once upon a time. ")
        room.final("What time is it?", window)
        await h.answers.until(2)
        await settled()
        assert {clause.text[:5] for clause in room.clauses} == {"It is"}


async def test_clauses_go_on_to_the_satellite_that_is_paused() -> None:
    async with home() as h:
        h.gate.clear()
        room = await Room(h).begin()
        await room.ask("Tell me a long story")
        await room.until_spoken(lambda room: len(room.clauses) >= 1)
        room.plays("started")
        window = await interrupt(room)
        h.stream_more("And then more of it. ")
        h.gate.set()
        await room.until_spoken(lambda room: len(room.clauses) >= 3)
        room.final("", window, rejected="no_speech")
        await room.until_told("resume", 2)
        assert "stop" not in room.actions


async def test_what_was_on_its_way_when_it_was_held_is_paused_when_it_begins() -> None:
    async with home() as h:
        h.deltas = [TEN]
        room = await Room(h).begin()
        await room.ask("Count")
        await room.until_spoken(lambda room: room.clauses[-1].last)
        await interrupt(room)
        assert room.actions.count("pause") == 1
        assert room.playback[-1].utterance_id == room.utterance_id
        room.plays("started")
        await room.until_told("pause", 2)


async def test_stop_is_understood_in_an_interruption() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        room.final("Stop.", window)
        await room.until_told("stop")
        room.plays("stopped", 500)
        await room.until_state("idle")
        await settled()
        assert len(h.asked) == 1
        assert room.windows[-1].reason == "barge_in"


async def test_pause_holds_and_go_on_resumes() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        room.final("Pause.", window)
        await room.until_state("paused")
        window = await interrupt(room, 2)
        room.final("", window, rejected="no_speech")
        await room.until_state("paused")
        window = await interrupt(room, 3)
        room.final("Go on.", window)
        await room.until_state("speaking")
        assert room.actions == ["resume", "pause", "resume"]
        assert h.asked == ["Count"]


async def test_go_on_is_for_the_language_model_where_nothing_is_held() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.ask("Continue.")
        await h.answers.until(1)
        assert h.asked == ["Continue."]


async def test_a_second_wake_word_in_an_interruption_keeps_it_held() -> None:
    async with home() as h:
        room = await speaking(h)
        first = await interrupt(room)
        second = await interrupt(room, 2)
        room.final("", first, rejected="cancelled")
        await settled()
        assert "resume" not in room.actions[1:]
        room.final("", second, rejected="no_speech")
        await room.until_told("resume", 2)


async def test_the_playback_that_ends_during_an_interruption_leaves_an_ordinary_turn() -> None:
    async with home() as h:
        room = await speaking(h)
        window = await interrupt(room)
        room.plays("finished", 1000)
        await settled()
        assert room.state == "listening barge_in"
        room.final("What time is it?", window)
        await h.answers.until(2)
        rows = await h.history.until(2)
        assert not rows[1].interrupted
        assert h.answers[-1].error is None


async def test_an_interruption_in_the_very_moment_of_the_end_resumes_nothing_twice() -> None:
    async with home() as h:
        room = await speaking(h)
        room.plays("finished", 1000)
        window = await interrupt_somehow(room)
        await settled()
        window = room.windows[-1]
        room.final("", window, rejected="no_speech")
        await room.until_state("idle")
        assert room.actions[-1] != "pause"


async def test_every_order_of_final_playback_and_wake_leaves_a_known_state() -> None:
    async with home(RouterSettings(follow_up_s=0)) as h:
        room = await speaking(h)
        for moment in range(40):
            answers = len(h.answers)
            window = await interrupt_somehow(room)
            for step in range(moment % 10):
                if step == moment % 3:
                    room.plays("finished", 1000)
                await asyncio.sleep(0)
            room.final("Is it red?" if moment % 2 else "", window)
            if moment % 2:
                await h.answers.until(answers + 1)
            await settled()
            room.plays("started")
            room.plays("finished", 100)
            await room.until_state("idle")
            assert room.actions.count("pause") <= room.actions.count("resume") + room.actions.count(
                "stop"
            )


async def interrupt_somehow(room: Room) -> SttControl:
    count = len(room.windows)
    room.wake()
    await room.windows.until(count + 1)
    window: SttControl = room.windows[-1]
    return window


async def test_a_hold_that_nobody_answers_for_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "TEND_S", 0.005)
    async with home() as h:
        room = await speaking(h)
        monkeypatch.setattr("antiphon_router.windows.LONGEST_UTTERANCE_S", -6.0)
        room.wake()
        await room.until_told("resume", 2)
        await room.until_state("speaking")


# Where echo is cancelled


async def test_speech_itself_interrupts_where_echo_is_cancelled() -> None:
    async with home() as h:
        room = await speaking(h, echo_cancelled=True)
        window = await room.until_window("barge_in")
        assert (window.window_s, window.phrase) == (None, "")
        assert room.state == "speaking"
        room.partial("", window)
        await settled()
        assert "pause" not in room.actions
        room.partial("What", window, 1)
        await room.until_told("pause")
        await room.until_state("listening barge_in")
        room.final("What time is it?", window)
        await room.until_told("stop")
        room.plays("stopped", 500)
        await h.answers.until(2)
        assert (await h.history.until(2))[1].text == "One two three four five"


async def test_ones_own_voice_interrupts_nothing() -> None:
    async with home() as h:
        room = await speaking(h, echo_cancelled=True)
        window = await room.until_window("barge_in")
        room.partial("one two three four five", window, 1)
        room.final("One, two, three, four, five, six.", window)
        await room.until_window("barge_in", 2)
        assert "pause" not in room.actions
        assert h.router.counters["echoes_dropped"] == 1


async def test_a_cough_lets_it_go_on_and_listens_again() -> None:
    async with home() as h:
        room = await speaking(h, echo_cancelled=True)
        window = await room.until_window("barge_in")
        room.partial("Thank", window, 1)
        await room.until_told("pause")
        room.final("", window, rejected="unlikely", speech_ms=300)
        await room.until_told("resume", 2)
        await room.until_window("barge_in", 2)


async def test_the_window_of_an_answer_becomes_that_of_a_follow_up() -> None:
    async with home() as h:
        room = await speaking(h, echo_cancelled=True)
        window = await room.until_window("barge_in")
        room.plays("finished", 1000)
        await room.until_window("follow_up")
        assert room.closed == [window.utterance_id]
        room.final("", window, rejected="cancelled")
        await settled()
        assert room.windows[-1].reason == "follow_up"


async def test_who_speaks_as_the_answer_ends_is_heard_out() -> None:
    async with home() as h:
        room = await speaking(h, echo_cancelled=True)
        window = await room.until_window("barge_in")
        room.partial("And", window, 1)
        await room.until_told("pause")
        room.plays("finished", 1000)
        await settled()
        room.final("And what comes then?", window)
        await h.answers.until(2)
        assert h.asked[-1] == "And what comes then?"
        assert not room.closed


# Who speaks is not spoken over


@pytest.mark.parametrize("words", ["", "What is 12 times 7?"])
async def test_nothing_is_said_to_who_is_about_to_speak(words: str) -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        h.ask("Is it red?", "kitchen")
        await h.answers.until(1)
        await settled()
        assert not room.clauses
        assert not room.gates
        room.final(words, window, rejected=None if words else "no_speech")
        await room.until_spoken(lambda room: room.clauses[-1].last)
        assert room.spoken == ("That is 84." if words else "It is red. Really.")
        assert len(room.gates) == 1


async def test_nothing_is_said_to_who_speaks_in_a_follow_up_window() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.plays("finished", 1000)
        window = await room.until_window("follow_up")
        room.partial("", window)
        await settled()
        h.ask("Is it blue?", "kitchen")
        await h.answers.until(2)
        await settled()
        assert len(room.clauses) == 2
        room.final("", window, rejected="noise")
        await room.until_spoken(lambda room: len(room.clauses) > 2)


async def test_a_follow_up_window_that_nobody_uses_gives_way_to_an_answer() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.plays("finished", 1000)
        window = await room.until_window("follow_up")
        h.ask("Is it blue?", "kitchen")
        await h.answers.until(2)
        await room.until_spoken(lambda room: len(room.clauses) > 2)
        assert room.closed == [window.utterance_id]
