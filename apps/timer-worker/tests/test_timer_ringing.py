"""How it rings: chimes, words, and what silences them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from antiphon_audio import wav
from antiphon_contracts import DIALOGUE_STATE, DialogueState
from antiphon_timer.testing import TimerHome, settle, timer_home

pytestmark = pytest.mark.unit


@pytest.fixture
async def home() -> AsyncIterator[TimerHome]:
    async with timer_home() as home:
        yield home


def peak(home: TimerHome, utterance: str) -> int:
    parts = [frame for frame in home.frames if frame.slots["utterance"] == utterance]
    assert parts[-1].payload == b""
    assert {frame.slots["site"] for frame in parts} == {"kitchen"}
    return max(int(abs(wav.unwrap(frame.payload).samples).max()) for frame in parts[:-1])


async def state(home: TimerHome, name: str) -> None:
    home.house.say(DIALOGUE_STATE, DialogueState.model_validate({"state": name}), site_id="kitchen")
    await settle()


async def test_a_timer_chimes_at_its_site_louder_and_louder_until_it_is_over(
    home: TimerHome,
) -> None:
    await home.set(after_s=10)
    await home.clock.advance(10)
    assert len(home.chimes) == 1
    await home.clock.advance(70)
    assert home.happened[-1] == "stopped"
    assert len(home.chimes) == 15  # 1.5 s of sound, 2.5 s of silence
    peaks = [peak(home, utterance) for utterance in home.chimes]
    assert peaks == sorted(peaks)
    assert 0.25 * 32_768 < peaks[0] < 0.4 * peaks[-1]
    await home.clock.advance(70)
    assert len(home.chimes) == 15


async def test_each_kind_has_a_chime_of_its_own(home: TimerHome) -> None:
    sounds = set()
    for kind in ("timer", "alarm", "reminder"):
        await home.set(after_s=1, kind=kind)
        home.frames.clear()
        await home.clock.advance(1)
        first = home.chimes[0]
        sounds.add(
            b"".join(frame.payload for frame in home.frames if frame.slots["utterance"] == first)
        )
        await home.do("stop")
    assert len(sounds) == 3


async def test_stop_cuts_the_chime_short_at_once(home: TimerHome) -> None:
    await home.set(after_s=10)
    await home.clock.advance(10.5)
    await home.do("stop")
    await settle()
    [order] = home.controls
    assert (order.data.action, [order.data.utterance_id]) == ("stop", home.chimes)
    assert order.site_id == "kitchen"
    await home.clock.advance(60)
    assert len(home.chimes) == 1


async def test_a_button_at_the_satellite_stops_and_nothing_else_does(home: TimerHome) -> None:
    await home.set(after_s=10)
    await home.clock.advance(10)
    [first] = home.chimes
    home.plays("started", first)
    home.plays("finished", first, 1500)
    home.plays("stopped", "somebody-else")
    await home.clock.advance(4)
    home.plays("stopped", home.chimes[1], 0)  # it had not begun
    await home.clock.advance(4)
    home.plays("stopped", home.chimes[2], 300, detail="The satellite is stopping.")
    await home.clock.advance(4)
    assert [one.state for one in await home.timers()] == ["ringing"]
    home.plays("started", home.chimes[3], 0)
    home.plays("stopped", home.chimes[3], 700)
    await settle()
    assert home.happened == ["set", "ringing", "stopped"]
    assert await home.timers() == []


async def test_what_is_being_said_makes_way(home: TimerHome) -> None:
    await home.set(after_s=10)
    home.plays("started", "answer-0")
    home.plays("finished", "answer-0")
    home.plays("started", "answer-1")
    await home.clock.advance(10)
    assert [(order.data.action, order.data.utterance_id) for order in home.controls] == [
        ("stop", "answer-1")
    ]


async def test_it_is_silent_while_people_talk_to_the_house(home: TimerHome) -> None:
    await home.set(after_s=10)
    await state(home, "listening")
    await home.clock.advance(10)
    assert len(home.chimes) == 1  # it does not wait to begin
    await home.clock.advance(10)
    assert len(home.chimes) == 1
    await state(home, "idle")
    assert len(home.chimes) == 2
    await state(home, "thinking")
    await home.clock.advance(17)
    assert len(home.chimes) == 3  # nor for ever


async def test_a_name_is_spoken_once_after_the_first_chime(home: TimerHome) -> None:
    await home.hire_router()
    await home.set(after_s=10, name="pasta")
    await home.clock.advance(11)
    assert home.announced == []
    await home.clock.advance(60)
    [said] = home.announced
    assert (said.text, said.sites) == ("Your pasta timer is done.", ("kitchen",))
    assert said.priority >= 20
    await home.set(after_s=10)
    await home.set(after_s=10, name="wake up", kind="alarm")
    await home.clock.advance(20)
    assert [one.text for one in home.announced[1:]] == ["This is your wake up alarm."]


async def test_of_very_many_at_once_a_few_are_named(home: TimerHome) -> None:
    await home.hire_router()
    for number in range(150):
        await home.set(after_s=1_000, name=f"{number} {'x' * 90}")
    await home.clock.advance(1_010)
    [said] = home.announced
    assert said.text.startswith("Your 0 xxx")
    assert said.text.endswith("147 more are ringing.")
    assert len(said.text) < 500
    assert len(home.chimes) < 5
    assert (await home.do("stop")).error is None


async def test_reminders_of_the_same_second_are_said_one_after_the_other(home: TimerHome) -> None:
    await home.hire_router()
    home.router_waits = True
    for text in ("call Ada", "the bins", "the oven"):
        await home.set(after_s=10, kind="reminder", text=text)
    await home.clock.advance(15)
    assert len(home.chimes) == len(home.announced) == 1
    home.router_may_speak.set()
    await settle()
    await home.clock.advance(15)
    assert sorted(one.text[-8:] for one in home.announced) == ["call Ada", "the bins", "the oven"]
    assert len(home.chimes) == 3
    assert home.happened.count("stopped") == 3


async def test_nobody_needs_to_speak(home: TimerHome) -> None:
    await home.router_is("gone")
    await home.set(after_s=10, name="pasta")
    await home.clock.advance(80)
    assert len(home.chimes) == 15


async def test_nothing_is_spoken_if_that_is_not_wanted(home: TimerHome) -> None:
    await home.stop()
    await home.start(speak=False)
    await home.hire_router()
    await home.set(after_s=10, name="pasta")
    await home.set(after_s=10, kind="reminder", text="call Ada")
    await home.clock.advance(200)
    assert home.announced == []
    assert home.happened.count("stopped") == 2


async def test_at_one_site_one_thing_sounds_at_a_time(home: TimerHome) -> None:
    await home.set(after_s=10)
    await home.set(after_s=10, kind="alarm")
    await home.set(after_s=10, site="office")
    await home.clock.advance(11)
    assert sorted(frame.slots["site"] for frame in home.frames if not frame.payload) == [
        "kitchen",
        "office",
    ]


# Reminders


async def test_a_reminder_chimes_once_and_is_said_in_a_pause(home: TimerHome) -> None:
    await home.hire_router()
    await home.set(after_s=10, kind="reminder", text="call Ada")
    await home.clock.advance(15)
    [said] = home.announced
    assert (said.text, said.priority) == ("Here is your reminder: call Ada", 0)
    assert len(home.chimes) == 1
    assert home.happened == ["set", "ringing", "stopped"]


@pytest.mark.parametrize("outcome", ["unheard", "failed"])
async def test_a_reminder_that_nobody_heard_is_said_once_more(
    home: TimerHome, outcome: str
) -> None:
    await home.hire_router()
    home.outcome = outcome
    await home.set(after_s=10, kind="reminder", name="bins")
    await home.clock.advance(60)
    assert [one.text for one in home.announced] == ["Here is your reminder: bins"]
    await home.clock.advance(100)
    assert len(home.announced) == len(home.chimes) == 2
    assert home.happened == ["set", "ringing", "stopped"]


async def test_a_reminder_can_be_put_off(home: TimerHome) -> None:
    await home.hire_router()
    home.outcome = "unheard"
    await home.set(after_s=10, kind="reminder", text="call Ada")
    await home.clock.advance(15)
    await home.do("snooze", seconds=30)
    await home.clock.advance(32)
    assert home.happened == ["set", "ringing", "snoozed", "ringing"]
    assert len(home.announced) == 2
    await home.clock.advance(500)
    assert len(home.announced) == 3
    assert home.happened[-1] == "stopped"


async def test_a_reminder_waits_for_what_rings_at_its_site(home: TimerHome) -> None:
    await home.hire_router()
    await home.set(after_s=10, name="tea")
    await home.set(after_s=11, kind="reminder", text="call Ada")
    await home.clock.advance(40)
    assert [one.priority for one in home.announced] == [20]
    await home.do("stop", kind="timer")
    await home.clock.advance(5)
    assert [one.priority for one in home.announced] == [20, 0]
    assert home.happened.count("stopped") == 2


async def test_what_rings_over_a_reminder_has_it_said_again(home: TimerHome) -> None:
    await home.hire_router()
    home.outcome = "interrupted"
    home.router_waits = True
    await home.set(after_s=10, kind="reminder", text="call Ada")
    await home.set(after_s=13)
    await home.clock.advance(15)
    home.router_may_speak.set()
    await home.clock.advance(5)
    assert [one.state for one in await home.timers(kind="reminder")] == ["ringing"]
    await home.clock.advance(150)
    assert len(home.announced) == 2
    assert await home.timers() == []


async def test_the_router_may_silence_a_chime_for_our_own_words(home: TimerHome) -> None:
    await home.hire_router()
    home.router_waits = True
    await home.set(after_s=10, name="tea")
    await home.clock.advance(12)
    assert len(home.announced) == 1
    home.plays("started", home.chimes[0], 0)
    home.plays("stopped", home.chimes[0], 40)
    await settle()
    home.router_may_speak.set()
    await home.clock.advance(10)
    assert [one.state for one in await home.timers()] == ["ringing"]


# What was missed


async def missed(home: TimerHome, *asked: dict[str, Any]) -> None:
    for one in asked:
        await home.set(after_s=10, **one)
    await home.stop()
    await home.clock.advance(610)
    await home.start()


async def test_what_was_missed_is_told_when_somebody_can_speak(home: TimerHome) -> None:
    await home.router_is("gone")
    await missed(home, {"name": "pasta"})
    await home.clock.advance(100)
    assert home.announced == []
    await home.hire_router()
    await home.clock.advance(10)
    [said] = home.announced
    assert said.text == "While I was away, your pasta timer went off 12 minutes ago."
    assert (said.sites, said.priority) == (("kitchen",), 0)
    await home.stop()
    await home.start()
    await home.clock.advance(100)
    assert len(home.announced) == 1
    assert home.chimes == []


async def test_several_are_told_in_one_breath(home: TimerHome) -> None:
    await home.hire_router()
    reminder = {"kind": "reminder", "text": "call Ada."}
    await missed(home, {"name": "pasta"}, reminder, {"site": "office"}, {}, {"kind": "alarm"})
    await home.clock.advance(1)
    by_site = {one.sites[0]: one.text for one in home.announced}
    assert by_site.keys() == {"kitchen", "office"}
    assert by_site["office"] == "While I was away, your timer went off 10 minutes ago."
    assert by_site["kitchen"].endswith(" and 1 more was missed.")
    assert by_site["kitchen"].count("went off 10 minutes ago") == 3


async def test_nobody_is_told_for_ever(home: TimerHome) -> None:
    await home.hire_router()
    home.outcome = "unheard"
    await missed(home, {"name": "pasta"})
    await home.clock.advance(1000)
    assert len(home.announced) == 3
