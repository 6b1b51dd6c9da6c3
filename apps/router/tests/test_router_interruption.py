from __future__ import annotations

import asyncio

import pytest
from antiphon_contracts import (
    PLAYBACK_CONTROL,
    TTS_CANCEL,
    TTS_STATUS,
    PlaybackStatus,
    TtsStatus,
)
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home

pytestmark = pytest.mark.unit

INTERRUPTED = "interrupted by what came next"


async def begin(home: Home) -> None:
    """Wait until the language model is at work."""
    async with asyncio.timeout(5):
        await home.streamed.wait()
    home.streamed.clear()


def errors(home: Home) -> dict[str, str | None]:
    return {answer.turn_id: answer.error for answer in home.answers}


async def test_three_spoken_questions_at_once_leave_only_the_last() -> None:
    async with home() as h:
        h.gate.clear()
        h.speak("Tell me a long story", "t1")
        await begin(h)
        h.speak("Tell me another story", "t2")
        h.speak("What time is it?", "t3")
        await h.answers.until(3)
        assert errors(h) == {"t1": INTERRUPTED, "t2": INTERRUPTED, "t3": None}


async def test_a_spoken_question_is_interrupted_while_it_waits_for_the_history() -> None:
    async with home() as h:
        h.history_gate.clear()
        h.ask("Who are you?", speak=False)
        await h.answers.until(1)
        h.speak("Tell me a long story", "t1")
        h.speak("What time is it?", "t2")
        await h.answers.until(3)
        assert errors(h)["t1"] == INTERRUPTED
        assert errors(h)["t2"] is None
        h.history_gate.set()


async def test_a_history_that_hangs_delays_no_turn_by_more_than_half_a_second() -> None:
    async with home() as h:
        h.history_gate.clear()
        began = asyncio.get_running_loop().time()
        for number in range(3):
            h.ask(f"Question {number}?", speak=False)
            await h.answers.until(number + 1, timeout_s=2.0)
        assert asyncio.get_running_loop().time() - began < 2.0
        h.history_gate.set()
        rows = await h.history.until(6)
        assert [row.text for row in rows][::2] == ["Question 0?", "Question 1?", "Question 2?"]


async def test_a_spoken_question_goes_before_written_ones_that_wait() -> None:
    async with home() as h:
        h.gate.clear()
        h.ask("First?")
        await begin(h)
        h.ask("Second?", speak=False)
        h.speak("What time is it?", "t2")
        await h.answers.until(2)
        h.gate.set()
        await h.answers.until(3)
        assert [answer.transcript for answer in h.answers] == [
            "First?",
            "What time is it?",
            "Second?",
        ]


async def test_stop_drops_waiting_answers_that_would_be_heard_and_keeps_silent_ones() -> None:
    async with home() as h:
        h.gate.clear()
        h.ask("First?")
        await begin(h)
        h.ask("Second?")
        h.ask("Third?", speak=False)
        h.ask("stop")
        await h.answers.until(3)
        h.gate.set()
        await h.answers.until(4)
        found = {answer.transcript: answer.error for answer in h.answers}
        assert found == {
            "First?": INTERRUPTED,
            "Second?": INTERRUPTED,
            "stop": None,
            "Third?": None,
        }
        assert "Second?" not in h.asked


async def test_stop_goes_out_even_if_nothing_is_known_to_play() -> None:
    async with home() as h:
        stops = await h.house.hear(PLAYBACK_CONTROL)
        cancels = await h.house.hear(TTS_CANCEL)
        h.ask("stop")
        await stops.until(1)
        await cancels.until(1)
        [answer] = await h.answers.until(1)
        assert answer.error is None
        assert not h.said


async def test_stop_silences_an_answer_that_a_silent_question_has_overtaken() -> None:
    async with home() as h:
        stops = await h.house.hear(PLAYBACK_CONTROL)
        h.ask("Is it red?")
        await h.until_said()
        h.playback(PlaybackStatus(utterance_id=h.said[0].data.utterance_id, state="started"))
        h.ask("Is it blue?", speak=False)
        await h.answers.until(2)
        h.speak("What time is it?", "t3")
        await stops.until(1)


async def test_stop_and_never_mind_are_no_part_of_the_conversation() -> None:
    async with home() as h:
        h.ask("what is 12 times 7", speak=False)
        await h.answers.until(1)
        h.ask("stop")
        h.ask("never mind", speak=False)
        h.ask("say that again", speak=False)
        await h.answers.until(4)
        rows = await h.history.until(4)
        assert [row.text for row in rows] == [
            "what is 12 times 7",
            "That is 84.",
            "say that again",
            "That is 84.",
        ]


async def test_an_interruption_while_speaking_records_what_was_heard() -> None:
    async with home() as h:
        h.deltas = ["One two three four five six seven eight nine ten."]
        h.speak("Count", "t1")
        await h.until_said()
        utterance = h.said[0].data.utterance_id
        h.playback(PlaybackStatus(utterance_id=utterance, state="started"))
        h.house.say(
            TTS_STATUS, TtsStatus(utterance_id=utterance, state="synthesised", audio_ms=1000)
        )
        stops = await h.house.hear(PLAYBACK_CONTROL)
        h.speak("What time is it?", "t2")
        await stops.until(1)
        h.playback(PlaybackStatus(utterance_id=utterance, state="stopped", played_ms=500))
        question, answer = await h.history.until(2)
        assert question.text == "Count"
        assert answer.text == "One two three four five"
        assert answer.interrupted


async def test_a_satellite_that_does_not_confirm_leaves_an_interrupted_row() -> None:
    async with home() as h:
        h.deltas = ["One two three four five six seven eight nine ten. " * 4]
        h.speak("Count", "t1")
        await h.until_said()
        h.playback(PlaybackStatus(utterance_id=h.said[0].data.utterance_id, state="started"))
        h.speak("What time is it?", "t2")
        rows = await h.history.until(1)
        assert rows[0].text == "Count"
        await h.answers.until(2)
        heard = [row for row in h.history if row.role == "assistant"]
        assert all(row.interrupted and len(row.text) < 40 for row in heard)


async def test_an_interrupted_question_stays_in_the_history_without_an_answer() -> None:
    async with home() as h:
        h.gate.clear()
        h.speak("Tell me a long story", "t1")
        await begin(h)
        h.speak("What time is it?", "t2")
        h.gate.set()
        await h.answers.until(2)
        await h.history.until(1)
        assert [row.text for row in h.history] == ["Tell me a long story"]


async def test_a_late_cancel_gives_no_second_answer() -> None:
    async with home() as h:
        for number in range(20):
            h.speak(f"Question {number}", f"t{number}")
            for _ in range(number):
                await asyncio.sleep(0)
        await h.answers.until(20)
        assert sorted(a.turn_id for a in h.answers) == sorted(f"t{n}" for n in range(20))


async def test_an_interruption_at_every_moment_of_a_turn_leaves_one_answer_each() -> None:
    async with home() as h:
        for moment in range(60):
            h.speak("Is it red?", f"a{moment}")
            for _ in range(moment):
                await asyncio.sleep(0)
            h.speak("What time is it?", f"b{moment}")
            await h.answers.until(2 * moment + 2)
        assert len({answer.turn_id for answer in h.answers}) == len(h.answers) == 120
        assert all(a.error is None for a in h.answers if a.turn_id.startswith("b"))


async def test_waiting_questions_still_run_when_the_one_before_is_interrupted() -> None:
    async with home(RouterSettings(waiting_turns=2)) as h:
        h.gate.clear()
        h.ask("First?")
        await begin(h)
        h.ask("Second?")
        h.speak("never mind", "t2")
        await h.answers.until(lambda all_: any(a.turn_id == "t2" for a in all_))
        h.gate.set()
        await h.answers.until(3)
        assert errors(h)["t2"] is None
