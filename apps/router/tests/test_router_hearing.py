"""What becomes of speech: heard, cut short, or played by nobody."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest
from antiphon_contracts import (
    PLAYBACK_CONTROL,
    SAY_SITE,
    TTS_STATUS,
    Message,
    PlaybackControl,
    PlaybackStatus,
    TtsStatus,
)
from antiphon_router import hearing, speech
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.turns import Site
from antiphon_runtime import listen
from antiphon_runtime.testing import Heard

pytestmark = pytest.mark.unit

TEN = "One two three four five six seven eight nine ten."


async def speak_ten(h: Home) -> str:
    h.deltas = [TEN]
    h.ask("Count")
    await h.until_said()
    utterance: str = h.said[-1].data.utterance_id
    return utterance


def status(h: Home, utterance: str, state: str, **more: int) -> None:
    h.house.say(
        TTS_STATUS, TtsStatus.model_validate({"utterance_id": utterance, "state": state, **more})
    )


def play(h: Home, utterance: str, state: str, played_ms: int = 0, site: str = "default") -> None:
    h.playback(
        PlaybackStatus.model_validate(
            {"utterance_id": utterance, "state": state, "played_ms": played_ms}
        ),
        site,
    )


async def heard(h: Home) -> tuple[str, bool]:
    rows = await h.history.until(1)
    await h.history.until(2) if rows[-1].role == "user" else None
    return rows[-1].text, rows[-1].interrupted


@pytest.mark.parametrize(
    ("state", "played_ms", "text", "interrupted"),
    [
        ("finished", 1000, TEN, False),
        ("stopped", 500, "One two three four five", True),
        ("stopped", 5000, TEN, True),
        ("failed", 500, "One two three four five", True),
    ],
)
async def test_history_holds_the_share_that_was_played(
    state: str, played_ms: int, text: str, *, interrupted: bool
) -> None:
    async with home() as h:
        utterance = await speak_ten(h)
        status(h, utterance, "started", audio_ms=80)
        status(h, utterance, "synthesised", audio_ms=1000)
        play(h, utterance, "started")
        play(h, utterance, state, played_ms)
        assert await heard(h) == (text, interrupted)


async def test_audio_of_unknown_length_is_reckoned_at_the_speed_of_speech() -> None:
    async with home() as h:
        utterance = await speak_ten(h)
        status(h, utterance, "started", audio_ms=80)
        play(h, utterance, "started")
        play(h, utterance, "stopped", 1000)
        assert await heard(h) == ("One two three", True)


async def test_nothing_was_heard_of_what_was_stopped_at_once() -> None:
    async with home() as h:
        utterance = await speak_ten(h)
        play(h, utterance, "started")
        play(h, utterance, "stopped", 0)
        await h.history.until(1)
        h.ask("what time is it", speak=False)
        rows = await h.history.until(3)
        assert [row.role for row in rows] == ["user", "user", "assistant"]


async def test_synthesis_that_was_cut_short_is_not_taken_for_the_whole_answer() -> None:
    async with home() as h:
        h.deltas = ["One. Two. Three. "]
        h.ask("Count")
        await h.until_said()
        utterance = h.said[-1].data.utterance_id
        play(h, utterance, "started")
        status(h, utterance, "failed", seq=1, audio_ms=700)
        h.ask("what time is it", "kitchen")
        await h.answers.until(2)
        play(h, utterance, "finished", 700)
        assert await heard(h) == ("One. Two.", True)


async def test_playback_told_twice_is_recorded_once() -> None:
    async with home() as h:
        utterance = await speak_ten(h)
        play(h, utterance, "started")
        for _ in range(3):
            play(h, utterance, "finished", 900)
            play(h, utterance, "stopped", 100)
        h.ask("what time is it", speak=False)
        rows = await h.history.until(4)
        assert Counter(row.role for row in rows) == {"user": 2, "assistant": 2}
        assert rows[1].text == TEN


async def test_the_history_is_in_the_order_of_the_turns() -> None:
    async with home() as h:
        await speak_ten(h)
        h.ask("what time is it", speak=False)
        h.ask("what is 12 times 7", speak=False)
        rows = await h.history.until(6)
        assert [row.role for row in rows] == ["user", "assistant"] * 3
        assert [row.text for row in rows][::2] == ["Count", "what time is it", "what is 12 times 7"]


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "SWEEP_S", 0.005)
    monkeypatch.setattr(speech, "SAY_TTL_S", 0.02)
    monkeypatch.setattr(speech, "UNPLAYED_AFTER_S", 0.02)


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> Heard:
    swept = Heard()
    sweep = hearing.Hearing._sweep_site

    def on_sweep(self: hearing.Hearing, site: Site) -> None:
        sweep(self, site)
        swept.add(site)

    monkeypatch.setattr(hearing.Hearing, "_sweep_site", on_sweep)
    return swept


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("state", [None, "started", "synthesised", "failed"])
async def test_speech_that_nobody_plays_is_taken_as_read(state: str | None) -> None:
    async with home() as h:
        utterance = await speak_ten(h)
        if state is not None:
            status(h, utterance, state, audio_ms=1000)
        rows = await h.history.until(2)
        assert rows[1].text == TEN


@pytest.mark.usefixtures("short_waits")
async def test_speech_that_waits_for_other_speech_is_not_given_up(
    monkeypatch: pytest.MonkeyPatch, sweeps: Heard
) -> None:
    async with home() as h:
        first = await speak_ten(h)
        play(h, first, "started")
        h.house.bus.publish_raw(SAY_SITE, b'{"text": "Dinner.", "id": "d1"}', site="default")
        await h.until_said(2)
        h.ask("And now?")
        await h.until_said(3)
        second = h.said[-1].data.utterance_id
        status(h, second, "synthesised", audio_ms=1000)
        await sweeps.until(len(sweeps) + 20)
        assert [row.text for row in h.history] == ["Count", TEN]
        monkeypatch.setattr(speech, "UNPLAYED_AFTER_S", 5.0)
        await sweeps.until(len(sweeps) + 5)
        play(h, first, "finished")
        await sweeps.until(len(sweeps) + 5)
        play(h, second, "started")
        play(h, second, "stopped", 500)
        rows = await h.history.until(4)
        assert rows[3].interrupted


@pytest.mark.usefixtures("short_waits")
async def test_a_satellite_that_died_while_it_played_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speech, "PLAYED_AFTER_S", 0.02)
    async with home() as h:
        play(h, await speak_ten(h), "started")
        await h.history.until(2)


async def test_what_is_being_spoken_at_the_end_is_recorded() -> None:
    async with home() as h:
        await speak_ten(h)
        assert not h.history
    assert [row.text for row in h.history] == ["Count", TEN]


KINDS = ("Turn", "Site", "Speech", "_Stream", "Exchange")


def living() -> Counter[str]:
    gc.collect()
    found = (type(item) for item in gc.get_objects())
    return Counter(
        kind.__name__
        for kind in found
        if kind.__name__ in KINDS and str(kind.__module__).startswith("antiphon_router")
    )


async def test_two_thousand_turns_leave_nothing_behind_but_what_is_bounded() -> None:
    before = living()
    async with home(RouterSettings(waiting_turns=8)) as h:

        async def on_control(message: Message[PlaybackControl]) -> None:
            for utterance in playing:
                play(h, utterance, "stopped", 300, "bath")

        playing: list[str] = []
        await h.house.serve(listen(PLAYBACK_CONTROL, on_control))
        tasks = len(asyncio.all_tasks())
        for number in range(500):
            site = f"site-{number % 600}"
            h.ask("Is it red?", site, id=f"q{number}")
            h.ask("what time is it", id=f"q{number}", speak=False)
            h.house.bus.publish_raw(SAY_SITE, b"Dinner is ready.", site="kitchen")
            h.speak("What is 12 times 7?", f"a{number}", "bath")
            h.speak("Is it red?", f"b{number}", "bath")
            await h.answers.until(4 * number + 4)
            utterance = h.answers[-1].utterance_id
            if number % 3 and utterance is not None:
                playing[:] = [utterance]
                play(h, utterance, "started", site="bath")
            if number % 3 == 1 and utterance is not None:
                play(h, utterance, "finished", site="bath")
        assert len({answer.turn_id for answer in h.answers}) == 2000
        await h.history.until(lambda rows: len(rows) > 1490)
        left = living() - before
        assert left["Turn"] <= 4
        assert left["_Stream"] == 0
        assert left["Exchange"] <= 4
        assert left["Site"] <= 512
        assert left["Speech"] <= 600
        assert len(asyncio.all_tasks()) <= tasks
        assert h.router.pending_requests == 0
        assert h.router.counters["history_given_up"] == 0


async def test_a_thousand_sites_and_announcements_are_bounded_too() -> None:
    before = living()
    async with home() as h:
        for number in range(1000):
            h.house.bus.publish_raw(SAY_SITE, b"Hello.", site=f"site-{number}")
            h.house.bus.publish_raw(SAY_SITE, b"Dinner is ready.", site="kitchen")
            await h.until_said(2 * number + 2)
        left = living() - before
        assert left["Site"] <= 512
        assert left["Speech"] <= 512 + 64


async def test_a_busy_site_is_not_forgotten_for_others() -> None:
    async with home() as h:
        h.gate.clear()
        h.ask("Is it red?", "kitchen")
        await h.said.until(1)
        for number in range(600):
            h.ask("what time is it", f"site-{number}")
        await h.answers.until(600)
        h.gate.set()
        await h.answers.until(601)
        h.ask("say that again", "kitchen", speak=False)
        await h.answers.until(602)
        assert h.answers[-1].answer == "It is red. Really."
