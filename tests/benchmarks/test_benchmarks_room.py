"""The room: what a satellite would send, say and play."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from antiphon_audio import Pcm, StreamReader, wav
from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_OUT,
    LLM_REQUEST,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    SITE_STATUS,
    LlmRequest,
    PlaybackControl,
    PlaybackStatus,
    RequestTimeout,
    SiteStatus,
)
from antiphon_runtime import Bus
from antiphon_runtime.testing import Heard, House
from room import FLOOR_DBFS, FRAME, Room
from scenes import PER_MS, Mark, Scene, joined, silence
from studio import RATE_HZ, Samples, level_db
from witness import Sound, Witness

pytestmark = pytest.mark.unit

PACE = 40.0
SITE = "attic"


def beep(length_ms: int, hz: int = 500) -> Scene:
    time_s = np.arange(length_ms * PER_MS) / RATE_HZ
    samples = (8_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)
    return Scene(samples, (Mark("speech", "beep", 0, length_ms),))


@dataclass
class Scenery:
    house: House
    room: Room
    witness: Witness
    frames: Heard
    playback: Heard
    status: Heard

    def heard(self, end_ms: float) -> Samples:
        """What arrived, put together."""
        reader = StreamReader()
        pieces = [reader.push(frame.payload) for frame in self.frames]
        whole = np.concatenate([piece.samples for piece in pieces if piece is not None])
        return whole[: round(end_ms * PER_MS)]

    def speak(self, utterance: str, length_ms: int, *, end: bool = True) -> None:
        for piece in np.array_split(beep(length_ms).samples, 5):
            frame = wav.wrap(Pcm(piece, RATE_HZ))
            self.house.bus.publish_raw(AUDIO_OUT, frame, site=SITE, utterance=utterance)
        if end:
            self.house.bus.publish_raw(AUDIO_OUT, b"", site=SITE, utterance=utterance)

    def order(self, action: str) -> None:
        order = PlaybackControl.model_validate({"action": action})
        self.house.bus.publish(PLAYBACK_CONTROL, order, site_id=SITE)


@asynccontextmanager
async def scenery(echo_db: float | None = None) -> AsyncIterator[Scenery]:
    async with House() as house:
        frames, playback = await house.hear_raw(AUDIO_IN), await house.hear(PLAYBACK_STATUS)
        status = await house.hear(SITE_STATUS)
        witness = Witness(Bus(house.broker.transport(), source="witness"))
        room = Room(Bus(house.broker.transport(), source="room"), SITE, pace=PACE, echo_db=echo_db)
        async with witness.watching(), room.open():
            yield Scenery(house, room, witness, frames, playback, status)
        await status.until(lambda seen: len(seen) == 1 + (not room.vanishes))


def states(playback: Heard) -> list[tuple[str, str, int]]:
    found: Sequence[PlaybackStatus] = [message.data for message in playback]
    return [(status.utterance_id, status.state, status.played_ms) for status in found]


async def test_a_scene_is_heard_where_it_is_said_to_be() -> None:
    async with scenery() as here:
        played = here.room.play(joined([silence(100), beep(200), silence(60)]))
        await played.over()
        begin_ms = round(played.offset_ms) + 100
        await here.frames.until(lambda seen: len(seen) * 80 >= begin_ms + 260)
        whole = here.heard(begin_ms + 260)
    assert level_db(whole[begin_ms * PER_MS : (begin_ms + 200) * PER_MS]) > -20
    assert level_db(whole[(begin_ms - 100) * PER_MS : begin_ms * PER_MS]) == pytest.approx(
        FLOOR_DBFS, abs=1.5
    )
    assert len(whole) == (begin_ms + 260) * PER_MS
    streaming: list[SiteStatus] = [message.data for message in here.status]
    assert [status.streaming for status in streaming] == [True, False]
    assert streaming[0].stream == here.room.microphone.stream


async def test_frames_come_when_their_sound_is_over() -> None:
    async with scenery() as here:
        await here.frames.until(10)
        assert here.room.microphone.now >= 10 * FRAME


async def test_frames_can_be_lost_doubled_and_damaged() -> None:
    def tamper(number: int, frame: bytes) -> Sequence[bytes]:
        return {1: (), 2: (frame, frame), 3: (frame[:20],)}.get(number, (frame,))

    async with scenery() as here:
        here.room.tamper = tamper
        await here.frames.until(5)
    lengths = [len(frame.payload) for frame in here.frames[:5]]
    assert lengths[1] == lengths[2] == lengths[0] > 20 == lengths[3]


async def test_what_is_played_is_told_and_heard_by_the_microphone() -> None:
    async with scenery(echo_db=-10.0) as here:
        here.speak("a", 400)
        await here.playback.until(2)
        (sound, *_) = here.witness.all(Sound, SITE)
        assert sound.data.utterance_id == "a"
        end_ms = 80 * len(here.frames)
        await here.frames.until(len(here.frames) + 8)
        whole = here.heard(end_ms + 560)
    assert states(here.playback) == [("a", "started", 20), ("a", "finished", 400)]
    loud = [
        level_db(whole[at : at + 20 * PER_MS]) > -30 for at in range(0, len(whole), 20 * PER_MS)
    ]
    assert sum(loud) * 20 == pytest.approx(400, abs=45)


async def test_stop_and_pause_are_obeyed() -> None:
    async with scenery() as here:
        here.speak("long", 4_000, end=False)
        await here.playback.until(1)
        here.order("pause")
        await here.frames.until(len(here.frames) + 40)  # longer than many chunks
        before = len(here.room.loudspeaker.chunks)
        await here.frames.until(len(here.frames) + 40)
        assert len(here.room.loudspeaker.chunks) == before
        here.order("resume")
        here.order("stop")
        await here.playback.until(2)
        here.speak("long", 200)
        here.speak("next", 100)
        await here.playback.until(4)
    (_, (name, state, ms), *rest) = states(here.playback)
    assert (name, state) == ("long", "stopped")
    assert 0 < ms < 4_000
    assert rest == [("next", "started", 20), ("next", "finished", 100)]


async def test_who_vanishes_says_nothing_more() -> None:
    async with scenery() as here:
        here.room.vanishes = True
    assert [message.data.streaming for message in here.status] == [True]


async def test_the_witness_says_what_did_not_come() -> None:
    async with scenery() as here:
        with pytest.raises(TimeoutError, match="no PlaybackStatus at attic"):
            await here.witness.first(PlaybackStatus, SITE, timeout_s=0.05)


async def test_the_witness_answers_nobody() -> None:
    async with scenery() as here:
        here.house.bus.install(requests=[LLM_REQUEST])
        with pytest.raises(RequestTimeout):
            await here.house.bus.request(LLM_REQUEST, LlmRequest(text="hello"), timeout_s=0.1)
        assert here.witness.all(LlmRequest)
