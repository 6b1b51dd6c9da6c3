"""Playback over the in-memory bus, with a speaker that the test works by hand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, split, wav
from antiphon_contracts import (
    AUDIO_OUT,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    PlaybackControl,
    PlaybackStatus,
)
from antiphon_runtime import Bus, RawMessage, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_satellite import SatelliteSettings
from antiphon_satellite.devices import Devices
from antiphon_satellite.engine.null import NullMicrophone
from antiphon_satellite.service import Playback, PlaybackLimits
from antiphon_satellite.testing import ManualSpeaker
from antiphon_satellite.wiring import build_with

pytestmark = pytest.mark.unit

RATE_HZ = 16_000
PULL_MS = 20


def sound(ms: float, rate_hz: int = RATE_HZ, *, seed: int = 1) -> Pcm:
    noise = np.random.default_rng(seed).integers(-20_000, 20_000, round(ms * rate_hz / 1000))
    return Pcm(noise.astype(np.int16), rate_hz)


def flat(ms: float, level: int = 10_000) -> Pcm:
    return Pcm(np.full(round(ms * RATE_HZ / 1000), level, dtype=np.int16), RATE_HZ)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        for _ in iter(done, True):
            await asyncio.sleep(0)


class Room:
    """A satellite in a house, its speaker in the test's hands."""

    def __init__(self, house: House, speaker: ManualSpeaker, bus: Bus, statuses: Heard) -> None:
        self.house = house
        self.speaker = speaker
        self.bus = bus
        self.statuses = statuses

    def frames(self, utterance: str, pcm: Pcm, *, end: bool = False) -> None:
        for frame in split(pcm):
            self.raw(utterance, wav.wrap(frame))
        if end:
            self.raw(utterance, b"")

    def raw(self, utterance: str, payload: bytes, site: str = "default") -> None:
        self.house.bus.publish_raw(AUDIO_OUT, payload, site=site, utterance=utterance)

    async def order(self, action: Any, **fields: Any) -> None:
        self.house.say(PLAYBACK_CONTROL, PlaybackControl(action=action, **fields))
        await self.turn()

    async def turn(self) -> None:
        """Let everything that is due happen."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def play(self, ms: float) -> None:
        """Play exactly so much, in blocks of 20 ms."""
        await self.turn()
        for _ in range(round(ms / PULL_MS)):
            assert self.speaker.pull(PULL_MS) == RATE_HZ * PULL_MS // 1000
            await self.turn()

    def said(self, utterance: str | None = None) -> list[tuple[str, str, int]]:
        """Statuses as (utterance, state, played ms or 0 for a start)."""
        return [
            (
                m.data.utterance_id,
                m.data.state,
                m.data.played_ms if m.data.state != "started" else 0,
            )
            for m in self.statuses
            if utterance in {None, m.data.utterance_id}
        ]

    def detail(self, utterance: str) -> str:
        return str([m.data.detail for m in self.statuses if m.data.utterance_id == utterance][-1])


def build_on(speaker: ManualSpeaker) -> Callable[[Worker[SatelliteSettings]], Wiring]:
    return lambda worker: build_with(worker, Devices(speaker, NullMicrophone()))


@asynccontextmanager
async def room(**settings: Any) -> AsyncIterator[Room]:
    speaker = ManualSpeaker(RATE_HZ)
    async with asyncio.timeout(20), House() as house:
        statuses = await house.hear(PLAYBACK_STATUS)
        chosen = SatelliteSettings(**settings)
        bus = await house.move_in("satellite", chosen, build_on(speaker))
        here = Room(house, speaker, bus, statuses)
        await here.turn()
        yield here


async def test_an_utterance_is_played_sample_by_sample() -> None:
    pcm = sound(400)
    async with room() as here:
        here.frames("u", pcm, end=True)
        await here.speaker.pull_until_quiet()
        await here.statuses.until(2)
        assert np.array_equal(here.speaker.sound_of("u"), pcm.samples)
        assert here.said() == [("u", "started", 0), ("u", "finished", 400)]
        assert here.detail("u") == ""


async def test_nothing_is_said_to_have_started_before_the_device_takes_it() -> None:
    async with room() as here:
        here.frames("u", sound(400), end=True)
        await here.turn()
        assert here.said() == []
        await here.play(PULL_MS)
        assert here.said() == [("u", "started", 0)]


async def test_utterances_play_one_at_a_time_in_the_order_of_their_first_frames() -> None:
    first, second = sound(240, seed=1), sound(160, seed=2)
    async with room() as here:
        frames = {"a": list(split(first)), "b": list(split(second))}
        for turn in range(3):
            for name in ("a", "b"):
                if turn < len(frames[name]):
                    here.raw(name, wav.wrap(frames[name][turn]))
        here.raw("b", b"")
        here.raw("a", b"")
        await here.speaker.pull_until_quiet()
        await here.statuses.until(4)
        assert [name for name, *_ in here.said()] == ["a", "a", "b", "b"]
        assert [state for _, state, _ in here.said()] == ["started", "finished"] * 2
        assert np.array_equal(here.speaker.sound_of("a"), first.samples)
        assert np.array_equal(here.speaker.sound_of("b"), second.samples)


async def test_stop_silences_the_next_pull_and_later_frames_are_ignored() -> None:
    async with room() as here:
        here.frames("u", sound(2_000))
        await here.play(100)
        await here.order("stop", utterance_id="u")
        assert here.speaker.pull() == 0
        here.frames("u", sound(400), end=True)
        assert await here.speaker.pull_until_quiet() == 0
        assert here.said() == [("u", "started", 0), ("u", "stopped", 100)]
        assert here.bus.counters["frames_ignored"] == 6
        here.frames("next", sound(160), end=True)
        await here.speaker.pull_until_quiet()
        assert here.said("next")[-1] == ("next", "finished", 160)


async def test_stop_without_a_name_stops_all_that_waits_too() -> None:
    async with room() as here:
        here.frames("a", sound(400), end=True)
        here.frames("b", sound(400), end=True)
        await here.play(40)
        await here.order("stop")
        assert await here.speaker.pull_until_quiet() == 0
        assert sorted(here.said()) == [
            ("a", "started", 0),
            ("a", "stopped", 40),
            ("b", "stopped", 0),
        ]


async def test_stop_of_another_utterance_leaves_the_playing_one_alone() -> None:
    async with room() as here:
        here.frames("a", sound(400), end=True)
        await here.play(40)
        await here.order("stop", utterance_id="not yet here")
        here.frames("not yet here", sound(400), end=True)
        await here.speaker.pull_until_quiet()
        assert here.said() == [("a", "started", 0), ("a", "finished", 400)]


async def test_the_memory_of_stopped_utterances_is_bounded() -> None:
    async with room() as here:
        for number in range(600):
            await here.order("stop", utterance_id=f"u{number}")
        here.frames("u599", sound(80), end=True)
        assert await here.speaker.pull_until_quiet() == 0
        here.frames("u0", sound(80), end=True)
        assert await here.speaker.pull_until_quiet() == RATE_HZ * 80 // 1000


async def test_volume_is_applied_and_remembered() -> None:
    async with room() as here:
        await here.order("volume", volume=0.5)
        for name in ("a", "b"):
            here.frames(name, flat(160), end=True)
            await here.speaker.pull_until_quiet()
            assert set(here.speaker.sound_of(name).tolist()) == {5_000}


async def test_volume_changes_without_a_jump() -> None:
    async with room() as here:
        here.frames("u", flat(400), end=True)
        await here.play(100)
        await here.order("volume", volume=0.0)
        await here.speaker.pull_until_quiet()
        played = here.speaker.sound_of("u").astype(int)
        assert played[0] == 10_000
        assert played[-1] == 0
        # A ramp of 20 ms at 16 kHz has 320 steps.
        assert np.abs(np.diff(played)).max() <= 10_000 / 320 + 1


@pytest.mark.parametrize(
    ("order", "after"), [({"action": "resume"}, 8_000), ({"action": "volume", "volume": 1}, 10_000)]
)
async def test_duck_lasts_until_resume_or_volume(order: dict[str, Any], after: int) -> None:
    async with room(volume=0.8) as here:
        await here.order("duck")
        here.frames("a", flat(80), end=True)
        await here.speaker.pull_until_quiet()
        await here.order("duck", volume=0.5)
        here.frames("b", flat(80), end=True)
        await here.speaker.pull_until_quiet()
        await here.order(**order)
        here.frames("c", flat(80), end=True)
        await here.speaker.pull_until_quiet()
        levels = [here.speaker.sound_of(name)[0] for name in "abc"]
        assert levels == [2_400, 4_000, after]


async def test_an_order_that_lacks_its_volume_changes_nothing() -> None:
    async with room() as here:
        await here.order("volume")
        here.frames("u", flat(80), end=True)
        await here.speaker.pull_until_quiet()
        assert here.speaker.sound_of("u")[0] == 10_000


async def test_pause_loses_nothing() -> None:
    pcm = sound(800)
    async with room() as here:
        here.frames("u", pcm, end=True)
        await here.play(100)
        await here.order("pause")
        assert await here.speaker.pull_until_quiet() == 0
        await here.order("resume")
        await here.speaker.pull_until_quiet()
        assert np.array_equal(here.speaker.sound_of("u"), pcm.samples)
        assert here.said()[-1] == ("u", "finished", 800)


async def test_a_pause_that_lasts_too_long_ends_the_utterance() -> None:
    async with room(max_pause_s=0.01) as here:
        here.frames("u", sound(800), end=True)
        await here.play(100)
        await here.order("pause", utterance_id="u")
        await here.statuses.until(2)
        assert here.said()[-1] == ("u", "stopped", 100)
        assert "paused" in here.detail("u")


async def test_a_pause_while_nothing_plays_does_not_silence_the_next_answer() -> None:
    async with room() as here:
        await here.order("pause")
        here.frames("u", sound(160), end=True)
        await here.speaker.pull_until_quiet()
        assert here.said()[-1] == ("u", "finished", 160)


async def test_an_utterance_whose_end_is_lost_is_finished_after_a_while() -> None:
    async with room(end_timeout_s=0.05) as here:
        here.frames("u", sound(160))
        await here.speaker.pull_until_quiet()
        assert here.said() == [("u", "started", 0)]

        def finished() -> bool:
            here.speaker.pull()
            return len(here.statuses) == 2

        await until(finished)
        assert here.said()[-1] == ("u", "finished", 160)
        assert "never came" in here.detail("u")
        here.frames("u", sound(160), end=True)
        assert await here.speaker.pull_until_quiet() == 0
        assert len(here.statuses) == 2


async def test_an_utterance_without_sound_is_finished_and_never_started() -> None:
    async with room() as here:
        here.raw("u", b"")
        await here.speaker.pull_until_quiet()
        assert here.said() == [("u", "finished", 0)]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff",
        b"RIFF....WAVE",
        b"x" * 100_000,
        wav.wrap(sound(80))[:-7],
        wav.wrap(Pcm(sound(80).samples, 7)),
        wav.wrap(Pcm(sound(80).samples, 400_000)),
    ],
)
async def test_a_broken_frame_is_dropped_and_counted(garbage: bytes) -> None:
    pcm = sound(160)
    async with room() as here:
        first, second = split(pcm)
        here.raw("bad", garbage)
        here.raw("u", wav.wrap(first))
        here.raw("u", garbage)
        here.raw("u", wav.wrap(second))
        here.raw("u", b"")
        await here.speaker.pull_until_quiet()
        assert np.array_equal(here.speaker.sound_of("u"), pcm.samples)
        assert here.said() == [("u", "started", 0), ("u", "finished", 160)]
        assert here.bus.counters["frames_malformed"] == 2


async def test_an_endless_name_is_malformed() -> None:
    said: list[PlaybackStatus] = []
    counters = Counter[str]()
    playback = Playback(ManualSpeaker(RATE_HZ), said.append, Notebook(), counters=counters)
    await playback.on_frame(RawMessage({"utterance": "x" * 60_000}, wav.wrap(sound(80))))
    assert counters == {"frames_malformed": 1}


async def test_the_rate_may_change_within_an_utterance() -> None:
    async with room() as here:
        here.frames("u", sound(320, 16_000))
        here.frames("u", sound(320, 22_050))
        here.frames("u", sound(320, 48_000), end=True)
        await here.speaker.pull_until_quiet()
        state, played_ms = here.said()[-1][1:]
        assert state == "finished"
        assert abs(played_ms - 960) <= 5


async def test_a_whole_recording_as_one_frame_is_played() -> None:
    pcm = sound(20_000)
    async with room() as here:
        here.raw("u", wav.wrap(pcm))
        here.raw("u", b"")
        await here.speaker.pull_until_quiet()
        assert np.array_equal(here.speaker.sound_of("u"), pcm.samples)


async def test_sound_beyond_the_buffer_is_dropped_and_said_so() -> None:
    async with room(buffer_mb=1) as here:
        here.frames("u", sound(40_000), end=True)
        await here.speaker.pull_until_quiet()
        assert here.bus.counters["frames_overflow"] > 0
        assert here.said()[-1][1] == "finished"
        assert 30_000 < here.said()[-1][2] < 40_000
        assert "dropped" in here.detail("u")


async def test_too_many_waiting_utterances_are_refused() -> None:
    async with room() as here:
        for number in range(70):
            here.frames(f"u{number}", sound(20))
            await here.turn()
        assert [state for _, state, _ in here.said()] == ["failed"] * 5


async def test_playback_waits_until_the_jitter_buffer_is_filled() -> None:
    async with room(jitter_ms=200) as here:
        here.frames("u", sound(160))
        await here.turn()
        assert here.speaker.pull() == 0
        here.frames("u", sound(80))
        await here.turn()
        assert here.speaker.pull() > 0


async def test_the_jitter_buffer_does_not_wait_longer_than_its_own_length() -> None:
    async with room(jitter_ms=30) as here:
        here.frames("u", sound(20))
        assert here.speaker.pull() == 0
        await until(lambda: here.speaker.pull() > 0)


async def test_a_gap_is_counted_and_playing_goes_on() -> None:
    pcm = sound(320)
    async with room() as here:
        first, second = split(pcm, 160)
        here.frames("u", first)
        await here.speaker.pull_until_quiet()
        here.frames("u", second, end=True)
        await here.speaker.pull_until_quiet()
        assert np.array_equal(here.speaker.sound_of("u"), pcm.samples)
        assert here.bus.counters["playback_gaps"] == 1
        assert here.said()[-1] == ("u", "finished", 320)


async def test_a_clean_end_frees_the_name() -> None:
    async with room() as here:
        for _ in range(2):
            here.frames("u", sound(80), end=True)
            await here.speaker.pull_until_quiet()
        assert [state for _, state, _ in here.said()] == ["started", "finished"] * 2


async def test_other_sites_are_not_heard() -> None:
    async with room() as here:
        here.raw("u", wav.wrap(sound(80)), site="kitchen")
        stop = PlaybackControl(action="stop")
        here.frames("v", sound(80), end=True)
        here.house.say(PLAYBACK_CONTROL, stop, site_id="kitchen")
        await here.speaker.pull_until_quiet()
        assert here.said() == [("v", "started", 0), ("v", "finished", 80)]


async def test_a_lost_device_is_said_and_opened_again() -> None:
    async with room(reopen_s=0.01) as here:
        here.frames("u", sound(800), end=True)
        await here.play(100)
        here.speaker.refusals = 1
        here.speaker.unplug()
        await here.statuses.until(2)
        assert here.said()[-1] == ("u", "failed", 100)
        assert "lost" in here.detail("u")
        await until(lambda: here.speaker.opened == 2)
        here.frames("v", sound(160), end=True)
        await here.speaker.pull_until_quiet()
        assert here.said("v")[-1] == ("v", "finished", 160)


class Notebook:
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.past: list[str] = []

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence
        self.past.append(sentence)

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)


async def test_a_device_that_does_not_open_is_noted_and_its_answers_fail() -> None:
    speaker, book, said = ManualSpeaker(RATE_HZ), Notebook(), list[PlaybackStatus]()
    speaker.refusals = 3
    limits = PlaybackLimits(device_wait_s=0.005, reopen_s=0.01)
    counters = Counter[str]()
    playback = Playback(speaker, said.append, book, limits, counters=counters)
    async with asyncio.timeout(10), playback.open():
        await playback.on_frame(RawMessage({"utterance": "u"}, wav.wrap(sound(80))))
        await until(lambda: bool(said))
        assert (said[0].state, said[0].played_ms) == ("failed", 0)
        assert said[0].detail == book.notes["speaker"]
        await until(lambda: speaker.opened == 1)
        assert book.notes == {}
        assert len(book.past) == 3


async def test_an_end_of_the_satellite_is_said_of_what_was_playing() -> None:
    speaker, said = ManualSpeaker(RATE_HZ), list[PlaybackStatus]()
    playback = Playback(speaker, said.append, Notebook())
    async with asyncio.timeout(10):
        async with playback.open():
            await playback.on_frame(RawMessage({"utterance": "u"}, wav.wrap(sound(400))))
            await until(lambda: speaker.pull(40) > 0)
        assert [(each.state, each.played_ms) for each in said][-1] == ("stopped", 40)
