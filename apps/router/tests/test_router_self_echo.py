"""The house does not answer itself: gates, and words compared with what was spoken."""

from __future__ import annotations

import pytest
from antiphon_contracts import STT_CONTROL, TTS_SAY
from antiphon_router import listening, windows
from antiphon_router.echo import Echo, is_echo
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit

WEATHER = "Today it will be mostly sunny, with a little rain in the late afternoon."


@pytest.mark.parametrize(
    ("heard", "spoken"),
    [
        ("Today it will be mostly sunny with a little rain", WEATHER),
        ("mostly sunny with a little rain in the late afternoon", WEATHER),
        ("today will be mostly sunny with little rain in the late after noon", WEATHER),
        ("It is red. Really.", "It is red. Really."),
        ("Okay.", "Okay."),
        ("That is 84.", "That is eighty four."),
        ("That's 84", "That is eighty-four."),
        ("I have set a timer for 5 minutes.", "I have set a timer for five minutes."),
        ("three o'clock", "It is late: three o'clock."),
    ],
)
def test_ones_own_words_are_known(heard: str, spoken: str) -> None:
    assert is_echo(heard, [spoken])


@pytest.mark.parametrize(
    ("heard", "spoken"),
    [
        ("Yes.", "Shall I say yes or no?"),
        ("Yes, please.", "Would you like me to turn the lamp on? Say yes, please, or no."),
        ("Stop.", WEATHER),
        ("Stop it", "That is it."),
        ("No, Tuesday.", "On Tuesday."),
        ("no", "I know nothing of that."),
        ("And what about tomorrow?", WEATHER),
        ("Will it rain in the evening too?", WEATHER),
        ("It is red, but what about the blue one in the garage?", "It is red."),
        ("", WEATHER),
        ("what time is it", ""),
    ],
)
def test_the_words_of_people_are_theirs(heard: str, spoken: str) -> None:
    assert not is_echo(heard, [spoken])


async def test_what_was_spoken_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()
    echo.remember("kitchen", WEATHER)
    assert echo.is_own("kitchen", WEATHER, [])
    assert not echo.is_own("hall", WEATHER, [])
    monkeypatch.setattr("antiphon_router.echo.REMEMBERED_S", -1.0)
    assert not echo.is_own("kitchen", WEATHER, [])
    echo.forget_old()
    assert not echo._spoken


async def test_the_recogniser_is_deaf_from_before_the_first_clause_to_after_the_last() -> None:
    async with home(RouterSettings(follow_up_s=0)) as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        assert list(room.gates) == [windows.GATE_S]
        told = [
            topic.rpartition("antiphon/")[2]
            for topic, payload in h.house.broker.published
            if topic.endswith(TTS_SAY.pattern)
            or (topic.endswith(STT_CONTROL.pattern) and b'"gate"' in payload)
        ]
        assert told[0] == STT_CONTROL.pattern
        assert TTS_SAY.pattern in told
        room.plays("finished", 1000)
        await room.until_state("idle")
        assert list(room.gates) == [windows.GATE_S, windows.TAIL_S]


async def test_a_long_answer_renews_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "TEND_S", 0.005)
    monkeypatch.setattr(windows, "GATE_S", 0.02)
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        await room.gates.until(4)


async def test_no_gate_where_echo_is_cancelled_or_no_microphone_streams() -> None:
    async with home() as h:
        room = await Room(h).begin(echo_cancelled=True)
        await room.hear_answer("Is it red?")
        silent = Room(h, "hall")
        await silent.begin(streaming=False)
        h.ask("Is it red?", "hall")
        await h.answers.until(2)
        await settled()
        assert not room.gates
        assert not silent.gates
        assert not silent.windows


async def test_an_interruption_opens_the_ear_and_going_on_closes_it() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.wake()
        window = await room.until_window("barge_in")
        assert list(room.gates) == [windows.GATE_S, 0.0]
        room.final("", window, rejected="no_speech")
        await room.until_state("speaking")
        await settled()
        assert list(room.gates) == [windows.GATE_S, 0.0, windows.GATE_S]


async def test_ones_own_words_in_a_follow_up_window_open_it_again() -> None:
    async with home() as h:
        h.deltas = [WEATHER]
        room = await Room(h).begin()
        await room.hear_answer("What will the weather be?")
        room.plays("finished", 1000)
        window = await room.until_window("follow_up")
        room.final("a little rain in the late afternoon", window)
        window = await room.until_window("follow_up", 2)
        assert h.router.counters["echoes_dropped"] == 1
        room.final("Will it rain tomorrow?", window)
        await h.answers.until(2)
        assert h.asked[-1] == "Will it rain tomorrow?"


async def test_ones_own_words_at_an_open_site_begin_no_turn() -> None:
    async with home(RouterSettings(mode="open")) as h:
        room = await Room(h).begin()
        window = await room.until_window("open")
        h.ask("Is it red?", "kitchen")
        await h.answers.until(1)
        room.plays("started")
        room.plays("finished", 1000)
        window = await room.until_window("open", 2)
        room.final("It is red. Really.", window)
        await room.until_window("open", 3)
        assert len(h.answers) == 1


async def test_who_says_the_wake_word_may_say_what_was_said() -> None:
    async with home() as h:
        h.deltas = [WEATHER]
        room = await Room(h).begin()
        await room.hear_answer("What will the weather be?")
        room.plays("finished", 1000)
        await room.ask(WEATHER)
        await h.answers.until(2)
        assert h.asked[-1] == WEATHER
