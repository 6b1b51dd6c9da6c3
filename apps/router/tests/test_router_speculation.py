"""Speculation: the language model begins with a candidate, and nothing has an effect yet."""

from __future__ import annotations

import asyncio

import pytest
from antiphon_contracts import LlmResponse, SttControl
from antiphon_router.language_model import Listener, without_prefix
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit


async def fall_silent(h: Home, text: str = "Is it red") -> tuple[Room, SttControl]:
    """Begin a request with a candidate."""
    room = await Room(h).begin()
    room.wake()
    window = await room.until_window("wake")
    room.partial(text, window, 0, candidate=True)
    await settled()
    return room, window


async def test_a_final_with_the_same_words_takes_the_running_request_over() -> None:
    async with home() as h:
        h.gate.clear()
        room, window = await fall_silent(h)
        await asyncio.wait_for(h.streamed.wait(), 5)
        assert h.tentative == [True]
        assert not h.said
        room.final("Is it red?", window)
        await room.until_spoken(lambda room: room.clauses[0].text == "It is red.")
        h.gate.set()
        await h.answers.until(1)
        assert h.asked == ["Is it red"]
        assert h.answers[0].transcript == "Is it red?"
        assert h.answers[0].answer == "It is red. Really."
        assert room.spoken == "It is red. Really."
        assert not h.cancelled
        assert h.router.counters["speculations_used"] == 1


async def test_a_reply_that_was_whole_before_the_final_is_spoken_at_once() -> None:
    async with home() as h:
        room, window = await fall_silent(h)
        await settled()
        assert not h.said
        room.final("Is it red?", window)
        await h.answers.until(1)
        assert room.spoken == "It is red. Really."
        assert h.tentative == [True]


async def test_other_words_withdraw_it_and_begin_anew() -> None:
    async with home() as h:
        h.gate.clear()
        room, window = await fall_silent(h)
        room.final("Is it red and large?", window)
        await h.cancelled.until(1)
        h.gate.set()
        await h.answers.until(1)
        assert h.asked == ["Is it red", "Is it red and large?"]
        assert h.tentative == [True, False]
        assert h.cancelled == [h.requests[0]]
        assert room.spoken == "It is red. Really."


async def test_who_goes_on_withdraws_it() -> None:
    async with home() as h:
        h.gate.clear()
        room, window = await fall_silent(h)
        room.partial("Is it red and", window, 1)
        await h.cancelled.until(1)
        room.partial("Is it red and large", window, 2, candidate=True)
        await settled()
        room.final("Is it red and large?", window)
        h.gate.set()
        await h.answers.until(1)
        assert h.asked == ["Is it red", "Is it red and large"]
        assert h.router.counters["speculations"] == 2


async def test_an_old_partial_withdraws_nothing() -> None:
    async with home() as h:
        h.gate.clear()
        room, window = await fall_silent(h)
        room.partial("Is it", window, 0)
        room.partial("Is it red", window, 1, candidate=True)
        await settled()
        assert not h.cancelled
        assert h.asked == ["Is it red"]
        h.gate.set()


async def test_a_tool_that_is_needed_makes_it_ask_again_in_earnest() -> None:
    async with home() as h:
        h.deltas = ["Let me see. "]
        h.response = LlmResponse(reply="Let me see. ", finish_reason="needs_tools")
        room, window = await fall_silent(h, "What is in the fridge")
        h.deltas = ["Let me see. ", "There is milk in it."]
        h.response = None
        room.final("What is in the fridge?", window)
        await h.answers.until(1)
        assert h.tentative == [True, False]
        assert room.spoken == "Let me see. There is milk in it."
        assert h.answers[0].answer == "Let me see. There is milk in it."


@pytest.mark.parametrize("text", ["What time is it", "Stop", "Remember that the milk is sour"])
async def test_the_fast_path_needs_no_language_model(text: str) -> None:
    async with home() as h:
        room, window = await fall_silent(h, text)
        assert not h.asked
        assert not h.remembered
        room.final(text, window)
        await h.answers.until(1)
        assert h.answers[0].route == "fast"


async def test_it_can_be_switched_off() -> None:
    async with home(RouterSettings(speculate=False)) as h:
        room, window = await fall_silent(h)
        assert not h.asked
        room.final("Is it red?", window)
        await h.answers.until(1)
        assert h.tentative == [False]


async def test_a_window_that_ends_without_words_withdraws_it() -> None:
    async with home() as h:
        h.gate.clear()
        room, window = await fall_silent(h)
        room.final("", window, rejected="unlikely", speech_ms=100)
        await h.cancelled.until(1)
        assert not h.answers
        h.gate.set()


async def test_an_interruption_is_not_guessed_at() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.wake()
        window = await room.until_window("barge_in")
        room.partial("Is it blue", window, 0, candidate=True)
        await settled()
        assert h.asked == ["Is it red?"]


async def test_a_turn_that_is_interrupted_withdraws_what_it_took_over() -> None:
    async with home() as h:
        h.gate.clear()
        room, window = await fall_silent(h)
        room.final("Is it red?", window)
        await room.until_spoken(lambda room: bool(room.clauses))
        room.wake()
        window = await room.until_window("barge_in")
        room.final("What time is it?", window)
        await h.cancelled.until(1)
        await h.answers.until(2)
        h.gate.set()
        assert h.cancelled == [h.requests[0]]


async def test_nothing_is_left_when_the_router_ends_in_the_middle() -> None:
    async with home() as h:
        h.gate.clear()
        await fall_silent(h)


def test_a_reply_made_anew_goes_on_after_what_was_said() -> None:
    said: list[str] = []
    listener = without_prefix("Let me see. ", Listener(said.append))
    for delta in ("Let ", "me see.", " It is", " red."):
        listener.on_text(delta)
    assert "".join(said) == "It is red."


def test_a_reply_made_anew_that_is_another_is_said_whole() -> None:
    said: list[str] = []
    listener = without_prefix("Let me see. ", Listener(said.append))
    for delta in ("Let ", "us look."):
        listener.on_text(delta)
    assert "".join(said) == "Let us look."
