"""A live turn: wake word, window, question, answer, follow-up."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from antiphon_contracts import SttControl
from antiphon_router import journal, listening, recovery
from antiphon_router.phrases import LOST_IN_CRASH
from antiphon_router.settings import RouterSettings, SiteSettings
from antiphon_router.testing import home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "OWN_ANSWERS_S", 0.0)
    monkeypatch.setattr(journal, "END_S", 0.1)


async def test_a_wake_word_opens_a_window_where_its_phrase_ended() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        assert window.model_dump(exclude={"utterance_id"}) == {
            "action": "listen",
            "reason": "wake",
            "stream": "s1",
            "start_ms": 15_000,
            "phrase_begin_ms": 14_100,
            "phrase": "okay_nabu",
            "window_s": 6.0,
        }
        await room.until_state("listening wake")
        assert room.states[-1].turn_id == window.utterance_id


async def test_a_live_turn_runs_from_wake_word_to_follow_up() -> None:
    async with home() as h:
        room = await Room(h).begin()
        window = await room.ask("Is it red?")
        await h.answers.until(1)
        assert h.answers[0].turn_id == window.utterance_id
        assert [stage.name for stage in h.answers[0].stages][:2] == ["endpoint", "stt"]
        await room.until_spoken(lambda room: room.clauses[-1].last)
        assert room.spoken == "It is red. Really."
        room.synthesised()
        room.plays("started")
        await room.until_state("speaking")
        room.plays("finished", 1000)
        follow_up = await room.until_window("follow_up")
        assert follow_up.window_s == 5.0
        assert follow_up.start_ms is None
        room.final("And is it large?", follow_up)
        await h.answers.until(2)
        assert h.asked == ["Is it red?", "And is it large?"]
        assert [state.state for state in room.states[:5]] == [
            "idle",
            "listening",
            "thinking",
            "speaking",
            "listening",
        ]
        assert [row.text for row in (await h.history.until(2))[:2]] == [
            "Is it red?",
            "It is red. Really.",
        ]


async def test_a_follow_up_window_without_words_ends_in_silence() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.plays("finished", 1000)
        follow_up = await room.until_window("follow_up")
        room.final("", follow_up, rejected="no_speech", speech_ms=0)
        await room.until_state("idle")
        await settled()
        assert len(h.answers) == 1
        assert len(room.windows) == 2


async def test_no_follow_up_where_it_is_switched_off() -> None:
    async with home(RouterSettings(follow_up_s=0)) as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.plays("finished", 1000)
        await room.until_state("idle")
        await settled()
        assert [order.reason for order in room.windows] == ["wake"]


@pytest.mark.parametrize("how", ["typed", "recorded", "cut short"])
async def test_no_follow_up_after_what_was_not_asked_aloud_or_not_heard(how: str) -> None:
    async with home() as h:
        room = await Room(h).begin()
        if how == "typed":
            h.ask("Is it red?", "kitchen")
        elif how == "recorded":
            h.speak("Is it red?", "t1", "kitchen")
        else:
            await room.ask("Is it red?")
        await h.answers.until(1)
        await room.until_spoken(lambda room: room.clauses[-1].last)
        room.plays("started")
        room.plays("stopped" if how == "cut short" else "finished", 100)
        await room.until_state("idle")
        await settled()
        assert all(order.reason == "wake" for order in room.windows)


@pytest.mark.parametrize("rejected", ["no_speech", "cancelled", "lost", "silence"])
async def test_a_wake_word_without_words_is_passed_over(rejected: str) -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        room.final("", window, rejected=rejected)  # type: ignore[arg-type]
        await room.until_state("idle")
        await settled()
        assert not h.said
        assert not h.answers


@pytest.mark.parametrize(
    ("rejected", "speech_ms", "said"),
    [
        ("noise", 900, "Sorry, I did not catch that."),
        ("unlikely", 900, "Sorry, I did not catch that."),
        ("noise", 200, ""),
        ("unlikely", 200, ""),
        ("busy", 0, "Sorry, nothing was understood (busy)."),
        ("engine", 0, "Sorry, nothing was understood (engine)."),
    ],
)
async def test_speech_after_a_wake_word_that_was_not_understood_is_told_so(
    rejected: str, speech_ms: int, said: str
) -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        room.final("", window, rejected=rejected, speech_ms=speech_ms)  # type: ignore[arg-type]
        await settled()
        assert h.spoken() == said


async def test_noise_in_a_follow_up_window_is_no_reason_to_speak() -> None:
    async with home() as h:
        room = await Room(h).begin()
        await room.hear_answer("Is it red?")
        room.plays("finished", 1000)
        follow_up = await room.until_window("follow_up")
        room.final("", follow_up, rejected="unlikely", speech_ms=2000)
        await room.until_state("idle")
        await settled()
        assert h.spoken() == "It is red. Really."


async def test_the_same_wake_word_told_twice_opens_one_window() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        room.wake(again=True)
        await room.until_window("wake")
        await settled()
        assert len(room.windows) == 1
        assert h.router.counters["wakes_doubled"] == 1


async def test_a_second_wake_word_begins_anew_and_the_first_window_is_over() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        first = await room.until_window("wake")
        room.wake()
        second = await room.until_window("wake", 2)
        room.final("Is it blue?", first)
        room.final("Is it red?", second)
        await h.answers.until(1)
        await settled()
        assert h.asked == ["Is it red?"]
        assert h.router.counters["finals_late"] == 1


async def test_a_doubled_final_and_a_partial_after_it_change_nothing() -> None:
    async with home() as h:
        room = await Room(h).begin()
        window = await room.ask("Is it red?")
        room.final("Is it red?", window)
        room.partial("Is it", window, 7, candidate=True)
        await h.answers.until(1)
        await settled()
        assert h.asked == ["Is it red?"]
        assert len(h.answers) == 1


async def test_a_question_of_an_earlier_life_of_the_router_is_answered() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.final("Is it red?", SttControl(action="listen", utterance_id="old", reason="wake"))
        await h.answers.until(1)
        await room.until_spoken(lambda room: room.clauses[-1].last)
        room.plays("started")
        await room.until_state("speaking")


async def test_a_site_that_is_known_when_the_router_starts_is_set_right() -> None:
    async with home() as h:
        room = await Room(h).begin()
        assert room.state == "idle"
        # An earlier life of the router may have held what was spoken.
        assert room.actions == ["resume"]


async def test_an_open_site_listens_whenever_it_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AGAIN_AFTER_S", 0.0)
    async with home(RouterSettings(mode="open")) as h:
        room = await Room(h).begin()
        window = await room.until_window("open")
        assert window.window_s is None
        room.final("", window, rejected="noise")
        window = await room.until_window("open", 2)
        room.final("Is it red?", window)
        await h.answers.until(1)
        await settled()
        assert len(room.windows) == 2
        room.plays("started")
        room.plays("finished", 1000)
        await room.until_window("open", 3)


async def test_an_open_site_is_not_asked_again_at_once_by_a_recogniser_in_trouble() -> None:
    async with home(RouterSettings(mode="open")) as h:
        room = await Room(h).begin()
        window = await room.until_window("open")
        room.final("", window, rejected="cancelled")
        await settled()
        assert len(room.windows) == 1


async def test_a_site_that_is_off_ignores_the_wake_word() -> None:
    settings = RouterSettings(sites={"kitchen": SiteSettings(mode="off")})
    async with home(settings) as h:
        room = await Room(h).begin()
        room.wake()
        await settled()
        assert not room.windows


async def test_a_site_speaks_with_its_own_voice_and_volume() -> None:
    own = SiteSettings(voice="alan", speed=1.2, volume=0.4)
    async with home(RouterSettings(sites={"kitchen": own})) as h:
        room = await Room(h).begin()
        await room.until_told("volume")
        assert room.playback[-1].volume == 0.4
        await room.ask("Is it red?")
        await room.until_spoken(lambda room: room.clauses[-1].last)
        assert {(clause.voice, clause.speed) for clause in room.clauses} == {("alan", 1.2)}
        h.ask("Is it red?", "hall")
        await h.until_said(2)
        assert {(m.data.voice, m.data.speed) for m in h.said if m.site_id == "hall"} == {
            (None, 1.0)
        }


async def test_a_satellite_that_stops_to_stream_ends_the_window() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        room.partial("", window)
        room.appear(streaming=False)
        await room.until_state("idle")
        assert room.closed == [window.utterance_id]
        room.final("", window, rejected="lost")
        await settled()
        assert not h.answers


async def test_a_satellite_that_dies_ends_the_window_and_what_it_played() -> None:
    async with home() as h:
        room = await Room(h).begin()
        room.beat("ready")
        await room.hear_answer("Is it red?")
        room.wake()
        await room.until_window("barge_in")
        room.beat("gone")
        await room.until_state("idle")
        rows = await h.history.until(1)
        assert rows[0].text == "Is it red?"
        room.beat("ready")
        room.appear()
        await room.hear_answer("Is it blue?")


async def test_a_satellite_that_falls_silent_is_as_good_as_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "TEND_S", 0.005)
    monkeypatch.setattr(listening, "SATELLITE_SILENT_AFTER_S", 0.02)
    async with home() as h:
        room = await Room(h).begin()
        room.beat("ready")
        room.wake()
        await room.until_window("wake")
        await room.until_state("idle")


async def test_a_recogniser_that_was_restarted_knows_of_no_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "AGAIN_AFTER_S", 0.0)
    async with home(RouterSettings(mode="open")) as h:
        room = await Room(h).begin()
        await room.until_window("open")
        for pid in (1, 1, 2):
            h.recogniser(pid)
        await room.until_window("open", 2)
        await settled()
        assert len(room.windows) == 2


async def test_a_window_that_is_never_answered_ends_some_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "TEND_S", 0.005)
    monkeypatch.setattr("antiphon_router.windows.LONGEST_UTTERANCE_S", -6.0)
    async with home() as h:
        room = await Room(h).begin()
        room.wake()
        await room.until_window("wake")
        await room.until_state("idle")


async def test_four_sites_speak_at_once_and_each_gets_its_own_answer() -> None:
    async with home() as h:
        rooms = [await Room(h, site).begin() for site in ("a", "b", "c", "d")]
        async with asyncio.TaskGroup() as group:
            for room in rooms:
                group.create_task(room.ask(f"Question {room.site}"), name=room.site)
        await h.answers.until(4)
        asked = dict(zip(h.sites, (answer.transcript for answer in h.answers), strict=True))
        assert asked == {site: f"Question {site}" for site in ("a", "b", "c", "d")}


async def test_a_live_turn_that_a_crash_cut_short_is_apologised_for_once(tmp_path: Path) -> None:
    async with home(data_dir=tmp_path) as h:
        h.gate.clear()
        room = await Room(h).begin()
        window = await room.ask("Is it red?")
        await asyncio.wait_for(h.streamed.wait(), 5)
        await settled()
        with closing(sqlite3.connect(tmp_path / "router-1-journal.sqlite")) as file:
            rows = file.execute("SELECT turn_id, site_id, spoken FROM open_turns").fetchall()
            assert rows == [(window.utterance_id, "kitchen", 1)]
            file.execute("CREATE TABLE kept AS SELECT * FROM open_turns")
            file.commit()
    with closing(sqlite3.connect(tmp_path / "router-1-journal.sqlite")) as file:
        file.execute("INSERT INTO open_turns SELECT * FROM kept")
        file.commit()
    async with home(data_dir=tmp_path) as h:
        room = await Room(h).begin()
        # The broker brings the final again: it was never thanked for.
        room.final("Is it red?", window)
        [answer] = await h.answers.until(1)
        await room.until_spoken(lambda room: room.clauses[-1].last)
        assert answer.turn_id == window.utterance_id
        assert h.spoken() == LOST_IN_CRASH
        assert not h.asked
        room.plays("started")
        room.plays("finished", 1000)
        await room.until_state("idle")


async def test_windows_that_pass_leave_nothing_in_the_journal(tmp_path: Path) -> None:
    async with home(data_dir=tmp_path) as h:
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        room.final("", window, rejected="no_speech")
        await room.until_state("idle")
        room.wake()
        await room.until_window("wake", 2)
        room.final("Is it red?", window)  # late: that window is over
        await settled()
    async with home(data_dir=tmp_path) as h:
        h.ask("what time is it", speak=False)
        await h.answers.until(1)
        await settled()
        assert len(h.answers) == 1
        assert not h.said
