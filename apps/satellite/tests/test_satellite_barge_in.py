"""Pause, resume and stop at awkward moments: what plays, and what is said about it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, split, wav
from antiphon_contracts import (
    PLAYBACK_CONTROL,
    PlaybackControl,
    PlaybackStatus,
)
from antiphon_runtime import RawMessage
from antiphon_satellite.service import Playback, PlaybackLimits
from antiphon_satellite.testing import ManualSpeaker

pytestmark = pytest.mark.unit

RATE_HZ = 16_000
PULL_MS = 20


def sound(ms: float, *, seed: int = 1) -> Pcm:
    noise = np.random.default_rng(seed).integers(-20_000, 20_000, round(ms * RATE_HZ / 1000))
    return Pcm(noise.astype(np.int16), RATE_HZ)


class Notebook:
    def note(self, name: str, sentence: str) -> None:
        return

    def clear_note(self, name: str) -> None:
        return


async def turn() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


class Stage:
    """A playback of its own; speaker and clock are in the test's hands."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.speaker = ManualSpeaker(RATE_HZ)
        self.statuses: list[PlaybackStatus] = []
        limits = PlaybackLimits(max_pause_s=60.0, jitter_s=0.0, reopen_s=0.001)
        self.playback = Playback(
            self.speaker, self.statuses.append, Notebook(), limits, clock=lambda: self.now_s
        )

    async def frames(self, utterance: str, pcm: Pcm, *, end: bool = True) -> None:
        for frame in split(pcm):
            await self.playback.on_frame(RawMessage({"utterance": utterance}, wav.wrap(frame)))
        if end:
            await self.playback.on_frame(RawMessage({"utterance": utterance}, b""))
        await turn()

    async def order(self, action: Any, **fields: Any) -> None:
        order = PlaybackControl(action=action, **fields)
        message = PLAYBACK_CONTROL.message(order, source="test", site_id="default")
        await self.playback.on_control(message)
        await turn()

    async def play(self, ms: float) -> int:
        """Let the device pull for so long; returns the ms of sound that it got."""
        count = 0
        for _ in range(round(ms / PULL_MS)):
            count += self.speaker.pull(PULL_MS)
            await turn()
        return 1000 * count // RATE_HZ

    def said(self) -> list[tuple[str, str, int]]:
        return [
            (each.utterance_id, each.state, each.played_ms if each.state != "started" else 0)
            for each in self.statuses
        ]


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with asyncio.timeout(10):
        here = Stage()
        async with here.playback.open():
            await turn()
            yield here


async def test_a_pause_silences_the_very_next_pull_and_resume_goes_on_there() -> None:
    pcm = sound(400)
    async with stage() as here:
        await here.frames("u", pcm)
        assert await here.play(100) == 100
        order = PlaybackControl(action="pause")
        message = PLAYBACK_CONTROL.message(order, source="test", site_id="default")
        await here.playback.on_control(message)
        # Not a turn of the loop later: at once.
        assert here.speaker.pull(PULL_MS) == 0
        here.now_s += 30
        assert await here.play(1_000) == 0
        await here.order("resume")
        assert await here.play(400) == 300
        assert np.array_equal(here.speaker.sound_of("u"), pcm.samples)
        assert here.said() == [("u", "started", 0), ("u", "finished", 400)]


async def test_a_pause_before_the_first_sound_holds_it_back() -> None:
    async with stage() as here:
        await here.order("pause", utterance_id="u")
        await here.frames("u", sound(200))
        assert await here.play(400) == 0
        assert here.said() == []
        await here.order("resume", utterance_id="u")
        assert await here.play(400) == 200
        assert here.said() == [("u", "started", 0), ("u", "finished", 200)]


async def test_a_pause_of_one_that_waits_takes_hold_when_its_turn_comes() -> None:
    async with stage() as here:
        await here.frames("a", sound(100))
        await here.frames("b", sound(100, seed=2))
        await here.order("pause", utterance_id="b")
        assert await here.play(400) == 100
        assert here.said() == [("a", "started", 0), ("a", "finished", 100)]
        await here.order("resume")
        assert await here.play(400) == 100


async def test_a_pause_while_the_device_is_away_is_kept() -> None:
    async with stage() as here:
        here.speaker.reopened.clear()
        here.speaker.unplug()
        await turn()
        await here.frames("u", sound(200))
        await here.order("pause")
        await here.speaker.reopened.wait()
        assert await here.play(200) == 0
        await here.order("resume")
        assert await here.play(400) == 200


async def test_a_new_utterance_waits_behind_a_paused_one() -> None:
    async with stage() as here:
        await here.frames("a", sound(200))
        await here.play(100)
        await here.order("pause")
        await here.frames("b", sound(100, seed=2))
        assert await here.play(400) == 0
        await here.order("resume")
        assert await here.play(400) == 200
        assert [each[:2] for each in here.said()] == [
            ("a", "started"),
            ("a", "finished"),
            ("b", "started"),
            ("b", "finished"),
        ]


async def test_a_stop_while_paused_ends_it_and_frees_the_speaker() -> None:
    async with stage() as here:
        await here.frames("a", sound(400))
        await here.play(100)
        await here.order("pause")
        here.now_s += 10
        await here.order("stop", utterance_id="a")
        assert here.said()[-1] == ("a", "stopped", 100)
        await here.frames("b", sound(100, seed=2))
        assert await here.play(200) == 100
        assert here.said()[-1] == ("b", "finished", 100)


async def test_a_resume_after_a_stop_wakes_nothing() -> None:
    async with stage() as here:
        await here.frames("a", sound(400))
        await here.play(100)
        for action in ("pause", "stop", "resume"):
            await here.order(action, utterance_id="a")
        await here.frames("a", sound(100))
        assert await here.play(400) == 0
        assert here.said() == [("a", "started", 0), ("a", "stopped", 100)]


async def test_a_late_resume_of_another_does_not_end_the_pause() -> None:
    async with stage() as here:
        await here.frames("a", sound(400))
        await here.play(100)
        await here.order("pause")
        await here.order("resume", utterance_id="before")
        assert await here.play(100) == 0
        await here.order("resume", utterance_id="a")
        assert await here.play(100) == 100


async def test_a_pause_of_what_is_over_does_not_come_back() -> None:
    async with stage() as here:
        await here.frames("a", sound(100))
        await here.play(200)
        await here.order("stop", utterance_id="b")
        await here.order("pause", utterance_id="b")
        await here.frames("c", sound(100))
        assert await here.play(200) == 100


async def test_a_pause_counts_from_its_first_order() -> None:
    async with stage() as here:
        await here.frames("a", sound(400))
        await here.play(100)
        for _ in range(3):
            await here.order("pause")
            here.now_s += 25
        await here.order("pause")
        assert here.said()[-1] == ("a", "stopped", 100)
        assert "paused" in here.statuses[-1].detail


async def test_a_device_lost_while_paused_is_told_with_what_was_heard() -> None:
    async with stage() as here:
        await here.frames("a", sound(400))
        await here.play(100)
        await here.order("pause")
        here.speaker.unplug()
        await turn()
        assert here.said()[-1] == ("a", "failed", 100)
        assert "lost" in here.statuses[-1].detail


async def test_a_duck_ends_even_if_its_answer_did_before() -> None:
    async with stage() as here:
        loud = Pcm(np.full(1_600, 10_000, dtype=np.int16), RATE_HZ)
        await here.order("duck", volume=0.2)
        await here.order("resume", utterance_id="gone")
        await here.frames("a", loud)
        await here.play(200)
        assert set(here.speaker.sound_of("a").tolist()) == {10_000}
