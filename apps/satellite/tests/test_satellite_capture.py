"""Push to talk over the in-memory bus, with a microphone in the test's hands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, level_dbfs, wav
from antiphon_contracts import (
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    PLAYBACK_STATUS,
    CaptureControl,
    CaptureStatus,
    ConfigError,
)
from antiphon_runtime import Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_satellite import SatelliteSettings
from antiphon_satellite.devices import Devices
from antiphon_satellite.engine.null import MissingMicrophone
from antiphon_satellite.service import Capture, Microphone, Muting, Sink, capture
from antiphon_satellite.testing import ManualMicrophone, ManualSpeaker
from antiphon_satellite.wiring import build_with

pytestmark = pytest.mark.unit

RATE_HZ = 48_000


def tone(ms: float, rate_hz: int = RATE_HZ) -> Pcm:
    times = np.arange(round(ms * rate_hz / 1000)) / rate_hz
    return Pcm.from_float32(0.5 * np.sin(2 * np.pi * 440 * times), rate_hz)


class Booth:
    """A satellite in a house, both devices in the test's hands."""

    def __init__(self, house: House, microphone: Microphone, ears: tuple[Heard, ...]) -> None:
        self.house = house
        self.speaker = ManualSpeaker()
        self.given = microphone
        self.statuses, self.recordings, self.playback = ears

    @property
    def microphone(self) -> ManualMicrophone:
        assert isinstance(self.given, ManualMicrophone)
        return self.given

    async def order(self, action: Any, utterance_id: str = "r", **fields: Any) -> None:
        order = CaptureControl(action=action, utterance_id=utterance_id, **fields)
        self.house.say(CAPTURE_CONTROL, order)
        await turn()

    def said(self) -> list[tuple[str, str, int]]:
        return [(m.data.utterance_id, m.data.state, m.data.audio_ms) for m in self.statuses]

    def detail(self) -> str:
        return str(self.statuses[-1].data.detail)


async def turn() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def build_on(booth: Booth) -> Callable[[Worker[SatelliteSettings]], Wiring]:
    return lambda worker: build_with(worker, Devices(booth.speaker, booth.given))


@asynccontextmanager
async def booth(microphone: Microphone | None = None) -> AsyncIterator[Booth]:
    async with asyncio.timeout(20), House() as house:
        ears = (
            await house.hear(CAPTURE_STATUS),
            await house.hear_raw(AUDIO_UTTERANCE),
            await house.hear(PLAYBACK_STATUS),
        )
        here = Booth(house, microphone or ManualMicrophone(RATE_HZ), ears)
        await house.move_in("satellite", SatelliteSettings(), build_on(here))
        await turn()
        yield here


async def test_a_recording_is_sent_whole_at_16_khz() -> None:
    spoken = tone(1_000)
    async with booth() as here:
        await here.order("start")
        for piece in np.array_split(spoken.samples, 50):
            here.microphone.hear(piece)
        await here.order("stop")
        await here.statuses.until(2)
        assert here.said() == [("r", "started", 0), ("r", "sent", 1_000)]
        recording = here.recordings[0]
        assert recording.slots == {"site": "default", "utterance": "r"}
        pcm = wav.unwrap(recording.payload)
        assert (pcm.rate_hz, len(pcm)) == (16_000, 16_000)
        assert abs(level_dbfs(pcm) - level_dbfs(spoken)) < 0.5
        assert {m.turn_id for m in here.statuses} == {"r"}


async def test_the_microphone_is_open_only_while_it_records() -> None:
    async with booth() as here:
        listening = [here.microphone.listening]
        await here.order("start")
        listening.append(here.microphone.listening)
        await here.order("stop")
        await here.statuses.until(2)
        listening.append(here.microphone.listening)
        assert listening == [False, True, False]


async def test_a_full_recording_is_sent_by_itself_and_exactly_so_long() -> None:
    async with booth() as here:
        await here.order("start", max_s=0.5)
        here.microphone.hear(tone(450).samples)
        await turn()
        assert here.said() == [("r", "started", 0)]
        here.microphone.hear(tone(450).samples)
        await here.statuses.until(2)
        assert here.said()[-1] == ("r", "sent", 500)
        assert len(wav.unwrap(here.recordings[0].payload)) == 8_000


class HastyMicrophone:
    """Its thread hands over sound before the loop hears that it is open."""

    name = "hasty"

    async def record(self, sink: Sink) -> None:
        sink.push(tone(900).samples)
        sink.attach(RATE_HZ)
        sink.push(tone(20).samples)
        await asyncio.Event().wait()


async def test_sound_from_before_the_opening_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "PATIENCE_S", 60)
    async with booth(HastyMicrophone()) as here:
        await here.order("start", max_s=0.5)
        await here.statuses.until(2)
        assert here.said()[-1] == ("r", "sent", 500)


async def test_the_longest_recording_fits_a_message() -> None:
    async with booth() as here:
        await here.order("start", max_s=120)
        here.microphone.hear(np.zeros(RATE_HZ * 121, dtype=np.int16))
        await here.statuses.until(2)
        assert here.said()[-1] == ("r", "sent", 120_000)


async def test_a_device_that_gives_no_sound_does_not_record_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "PATIENCE_S", 0.01)
    async with booth() as here:
        await here.order("start", max_s=0.01)
        await here.statuses.until(2)
        assert here.said()[-1] == ("r", "failed", 0)
        assert "No sound" in here.detail()


async def test_a_discarded_recording_is_not_sent() -> None:
    async with booth() as here:
        await here.order("start")
        here.microphone.hear(tone(300).samples)
        await here.order("discard")
        await here.statuses.until(2)
        await turn()
        assert here.said()[-1] == ("r", "discarded", 300)
        assert here.recordings == []


async def test_a_second_start_fails_and_the_first_goes_on() -> None:
    async with booth() as here:
        await here.order("start", "first")
        await here.order("start", "second")
        assert here.said()[-1] == ("second", "failed", 0)
        assert here.detail() == "already recording"
        here.microphone.hear(tone(300).samples)
        await here.order("stop", "second")
        await here.order("stop", "first")
        await here.statuses.until(4)
        assert here.said()[-1] == ("first", "sent", 300)


async def test_one_recording_after_the_other() -> None:
    async with booth() as here:
        for name in ("a", "b"):
            await here.order("start", name)
            here.microphone.hear(tone(200).samples)
            await here.order("stop", name)
        await here.statuses.until(4)
        assert [state for _, state, _ in here.said()].count("sent") == 2
        assert [m.slots["utterance"] for m in here.recordings] == ["a", "b"]


@pytest.mark.parametrize("action", ["stop", "discard"])
async def test_an_order_about_no_recording_fails(action: str) -> None:
    async with booth() as here:
        await here.order(action)
        assert here.said() == [("r", "failed", 0)]


async def test_a_lost_microphone_fails_the_recording_and_the_next_one_works() -> None:
    async with booth() as here:
        await here.order("start", "a")
        here.microphone.hear(tone(200).samples)
        here.microphone.unplug()
        await here.statuses.until(2)
        assert here.said()[-1] == ("a", "failed", 200)
        assert "lost" in here.detail()
        await here.order("start", "b")
        here.microphone.hear(tone(200).samples)
        await here.order("stop", "b")
        await here.statuses.until(4)
        assert here.said()[-1] == ("b", "sent", 200)


async def test_a_microphone_that_does_not_open_fails_the_recording() -> None:
    async with booth() as here:
        here.microphone.broken = True
        await here.order("start")
        assert here.said() == [("r", "failed", 0)]
        assert "does not open" in here.detail()


async def test_without_a_microphone_every_recording_fails_with_a_sentence() -> None:
    async with booth(MissingMicrophone()) as here:
        await here.order("start")
        assert here.said() == [("r", "failed", 0)]
        assert "no microphone" in here.detail()


async def test_a_broker_that_denies_the_recording_is_told_of() -> None:
    async with booth() as here:
        here.house.broker.denied.add("antiphon/audio/default/utterance/r")
        await here.order("start")
        here.microphone.hear(tone(200).samples)
        await here.order("stop")
        await here.statuses.until(2)
        assert here.said()[-1][:2] == ("r", "failed")


async def test_the_button_silences_the_speaker_until_the_recording_is_over() -> None:
    async with booth() as here:
        frame = wav.wrap(Pcm(np.full(3_200, 1_000, dtype=np.int16), 16_000))
        say = here.house.bus.publish_raw
        say(AUDIO_OUT, frame, site="default", utterance="u")
        await turn()
        assert here.speaker.pull(40) > 0
        await here.order("start")
        assert here.speaker.pull() == 0
        assert [m.data.state for m in here.playback] == ["started", "stopped"]
        assert here.playback[-1].data.played_ms == 40
        say(AUDIO_OUT, frame, site="default", utterance="v")
        await turn()
        assert here.speaker.pull() == 0
        await here.order("stop")
        await turn()
        assert here.speaker.pull() > 0


# Muting


class Quiet:
    """A mouth that is never open."""

    def hold(self) -> None:
        return

    def release(self) -> None:
        return


class NoNotes:
    def note(self, name: str, sentence: str) -> None:
        return

    def clear_note(self, name: str) -> None:
        return


class Desk:
    """A capture of its own, and what it sent and said."""

    def __init__(self) -> None:
        self.microphone = ManualMicrophone(RATE_HZ)
        self.sent, self.said = Heard(), Heard()
        self.is_online = True
        self.on_its_way: list[asyncio.Future[None]] = []
        self.capture = Capture(
            self.microphone,
            Quiet(),
            report=self.said.add,
            send=self._send,
            health=NoNotes(),
        )

    def _send(self, utterance_id: str, _payload: bytes) -> asyncio.Future[None]:
        self.sent.add(utterance_id)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_online:
            done.set_result(None)
        self.on_its_way.append(done)
        return done

    async def order(self, action: Any, utterance_id: str) -> None:
        order = CaptureControl(action=action, utterance_id=utterance_id)
        await self.capture.on_control(
            CAPTURE_CONTROL.message(order, source="test", site_id="default")
        )
        await turn()

    async def until(self, state: str) -> CaptureStatus:
        await self.said.until(lambda said: bool(said) and said[-1].state == state)
        status: CaptureStatus = self.said[-1]
        return status


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    async with asyncio.timeout(20):
        here = Desk()
        async with here.capture.open():
            yield here


async def test_muted_it_refuses_to_record_until_it_is_unmuted() -> None:
    async with desk() as here:
        here.capture.mute(True)
        await here.order("start", "r1")
        assert (here.said[-1].state, here.said[-1].detail) == ("failed", capture.MUTED)
        assert not here.microphone.listening
        here.capture.mute(False)
        await here.order("start", "r2")
        assert here.microphone.listening


async def test_what_is_being_recorded_is_thrown_away() -> None:
    async with desk() as here:
        await here.order("start", "r")
        here.microphone.hear(tone(300).samples)
        here.capture.mute(True)
        assert (await here.until("discarded")).detail == capture.MUTED
        assert not here.microphone.listening
        assert here.sent == []


async def test_what_was_recorded_and_not_sent_is_thrown_away() -> None:
    async with desk() as here:
        here.is_online = False
        for utterance_id in ("r1", "r2"):
            await here.order("start", utterance_id)
            here.microphone.hear(tone(300).samples)
            await here.order("stop", utterance_id)
        await here.sent.until(1)
        here.capture.mute(True)
        assert (await here.until("discarded")).detail == capture.MUTED
        await here.said.until(lambda said: [one.state for one in said].count("discarded") == 2)
        assert here.sent == ["r1"]
        assert here.on_its_way[0].cancelled()


async def test_what_waits_for_the_broker_is_taken_back_though_it_was_reported_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "SEND_S", 0.01)
    async with desk() as here:
        here.is_online = False
        await here.order("start", "r")
        here.microphone.hear(tone(300).samples)
        await here.order("stop", "r")
        assert "not confirmed" in (await here.until("sent")).detail
        here.capture.mute(True)
        assert here.on_its_way[0].cancelled()


@dataclass
class Panel:
    """What a satellite shows of its muting, in order."""

    path: Path
    told: list[bool | str] = field(default_factory=list)

    def muting(self) -> Muting:
        return Muting(self.path, lambda _muted: None, self.told.append, self)

    def note(self, name: str, sentence: str) -> None:
        assert name == "mute"
        self.told.append(sentence)

    def clear_note(self, name: str) -> None:
        assert name == "mute"


async def test_a_mute_is_kept(tmp_path: Path) -> None:
    panel = Panel(tmp_path / "data" / "satellite-hall.muted")
    muting = panel.muting()
    muting.recall()
    await muting.mute(True)
    again = panel.muting()
    again.recall()
    await again.mute(False)
    panel.muting().recall()
    assert panel.told == [False, True, True, False, False]


async def test_a_mute_that_cannot_be_kept_holds_until_the_next_start_and_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").touch()  # no folder can be made of it
    panel = Panel(tmp_path / "data" / "satellite-hall.muted")
    obeyed: list[bool] = []
    with pytest.raises(ConfigError, match="cannot be kept"):
        await Muting(panel.path, obeyed.append, panel.told.append, panel).mute(True)
    assert obeyed == [True]
    sentence, shown = panel.told
    assert "is muted, but only until I start again" in str(sentence)
    assert shown is True


async def test_an_unmute_that_cannot_be_kept_is_not_carried_out(tmp_path: Path) -> None:
    panel = Panel(tmp_path)  # a folder in its place
    obeyed: list[bool] = []
    with pytest.raises(ConfigError, match="cannot be kept"):
        await Muting(panel.path, obeyed.append, panel.told.append, panel).mute(False)
    assert obeyed == []
    assert [str(said) for said in panel.told] == [
        f"The microphone stays muted: {tmp_path} cannot be changed (Is a directory)."
    ]
