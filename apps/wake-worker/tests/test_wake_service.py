"""The worker over the in-memory bus, with an engine that hears loudness."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, wrap_frame
from antiphon_audio.microphone import FRAME_SAMPLES, RATE_HZ
from antiphon_contracts import (
    AUDIO_IN,
    SITE_STATUS,
    WAKE_CONTROL,
    WAKE_EVENT,
    ConfigError,
    SiteStatus,
    WakeControl,
    WakeEvent,
)
from antiphon_runtime import Bus, RawMessage, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_wake import Lag, Phrase, Score, WakeService, WakeSettings
from antiphon_wake import service as wake_service
from antiphon_wake.service import Orders
from antiphon_wake.wiring import build, wire
from numpy.typing import NDArray
from pydantic import ValidationError

pytestmark = pytest.mark.unit

STEP = RATE_HZ // 100
LOUDNESS = {"one": 10_000, "two": 20_000}


class ScriptedStream:
    """A phrase is sound of its loudness; the score is its part of the last 200 ms."""

    def __init__(self, detector: "ScriptedDetector", phrases: Sequence[str]) -> None:
        self.detector = detector
        self.phrases = phrases
        self.end = 0
        self.last: list[int] = []

    def push(self, samples: NDArray[np.int16]) -> Iterator[Score]:
        for begin in range(0, len(samples), STEP):
            self.end += STEP
            self.last = [*self.last, int(samples[begin])][-20:]
            for name in self.phrases:
                newest = float(self.last[-1] == LOUDNESS[name])
                yield Score(name, self.last.count(LOUDNESS[name]) / 20, newest, self.end)

    def close(self) -> None:
        self.detector.closed += 1


class ScriptedDetector:
    name = "scripted"
    phrases: Mapping[str, Phrase] = {
        name: Phrase(name, 0.75, Lag(sure_ms=0, rise_ms=-140, length_ms=200)) for name in LOUDNESS
    }

    def __init__(self, *, blocks: bool = False) -> None:
        self.blocks = blocks
        self.opened = 0
        self.closed = 0

    def load(self) -> None:
        pass

    def open(self, phrases: Sequence[str]) -> ScriptedStream:
        self.opened += 1
        return ScriptedStream(self, phrases)


class Microphone:
    """Sends a stream as a satellite does."""

    def __init__(self, house: House, site: str = "kitchen", stream: str = "s1") -> None:
        self.house, self.site, self.stream = house, site, stream
        self.at = 0
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.house.bus.publish_raw(AUDIO_IN, frame, site=self.site)

    def hear(self, value: int = 0, ms: int = 800) -> None:
        for _ in range(ms // 80):
            frame = wrap_frame(
                Pcm(np.full(FRAME_SAMPLES, value, dtype=np.int16), RATE_HZ),
                Place(self.stream, self.at),
            )
            self.at += FRAME_SAMPLES
            self.sent.append(frame)
            self.send(frame)

    def say(self, phrase: str) -> None:
        self.hear(LOUDNESS[phrase], 240)
        self.hear()


class Home:
    def __init__(self, house: House, detector: ScriptedDetector, bus: Bus, events: Heard) -> None:
        self.house, self.detector, self.bus, self.events = house, detector, bus, events

    async def settle(self) -> list[WakeEvent]:
        """The events so far, when everything that was sent is worked through."""
        async with asyncio.timeout(5):
            quiet_turns = 0
            for _ in range(10_000):
                quiet_turns = 0 if any(self.bus.queue_depths.values()) else quiet_turns + 1
                if quiet_turns == 20:
                    break
                await asyncio.sleep(0)
        return [message.data for message in self.events]

    async def control(self, site: str = "kitchen", **fields: Any) -> None:
        self.house.say(WAKE_CONTROL, WakeControl(**fields), site_id=site)
        await self.settle()

    async def status(self, site: str = "kitchen", **fields: Any) -> None:
        self.house.say(SITE_STATUS, SiteStatus(**fields), site_id=site)
        await self.settle()


@asynccontextmanager
async def home(*, blocks: bool = False, **settings: Any) -> AsyncIterator[Home]:
    detector = ScriptedDetector(blocks=blocks)

    def put_together(worker: Worker[WakeSettings]) -> Wiring:
        return wire(worker, detector)

    async with House() as house:
        events = await house.hear(WAKE_EVENT)
        wanted = WakeSettings(**{"phrases": ("one",), **settings})
        bus = await house.move_in("wake", wanted, put_together)
        yield Home(house, detector, bus, events)


async def test_a_phrase_is_reported_with_its_place_in_the_stream() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        kitchen.hear(300, 1_600)
        kitchen.say("one")
        (event,) = await it.settle()
        assert (event.phrase, event.stream, event.score) == ("one", "s1", 0.75)
        assert event.begin_ms == 1_600
        assert event.detected_ms == 1_600 + 150
        assert event.offset_ms == 1_600 + 150
        assert event.level_dbfs == pytest.approx(20 * np.log10(10_000 / 32_768), abs=0.1)
        assert it.events[0].site_id == "kitchen"
        assert it.events[0].ttl_s is not None


async def test_the_engine_of_one_that_blocks_is_called_in_its_thread() -> None:
    async with home(blocks=True) as it:
        kitchen = Microphone(it.house)
        kitchen.hear(0, 400)
        kitchen.say("one")
        (message,) = await it.events.until(1)
        assert message.data.detected_ms == 400 + 150


async def test_one_phrase_is_one_event_however_long_it_lasts() -> None:
    async with home(refractory_s=0.1) as it:
        kitchen = Microphone(it.house)
        kitchen.hear(LOUDNESS["one"], 4_000)
        assert len(await it.settle()) == 1


async def test_a_score_that_wavers_is_one_event() -> None:
    async with home(refractory_s=0.1) as it:
        kitchen = Microphone(it.house)
        for _ in range(4):  # at most 80 ms of 200 are missing: never below half the threshold
            kitchen.hear(LOUDNESS["one"], 240)
            kitchen.hear(0, 80)
        assert len(await it.settle()) == 1


async def test_the_refractory_time_holds_for_all_phrases_of_a_site_and_ends() -> None:
    async with home(phrases=("one", "two"), refractory_s=1.5) as it:
        kitchen = Microphone(it.house)
        kitchen.say("one")
        kitchen.say("two")
        kitchen.say("one")
        assert [event.phrase for event in await it.settle()] == ["one", "one"]


async def test_what_is_lost_on_the_way_moves_no_times() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        kitchen.hear(0, 800)
        kitchen.at += 5 * FRAME_SAMPLES
        kitchen.say("one")
        (event,) = await it.settle()
        assert event.detected_ms == 800 + 400 + 150


async def test_a_gap_in_the_middle_or_a_new_stream_begins_anew() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        for _ in range(3):
            kitchen.hear(LOUDNESS["one"], 80)
            kitchen.at += 30 * FRAME_SAMPLES
        kitchen.stream, kitchen.at = "s2", 0
        kitchen.hear(LOUDNESS["one"], 80)
        assert await it.settle() == []
        assert it.detector.opened == 4
        assert it.detector.closed == 3
        kitchen.hear()
        kitchen.say("one")
        (event,) = await it.settle()
        assert event.stream == "s2"


async def test_doubled_and_late_frames_change_nothing() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        kitchen.hear(0, 800)
        for _ in range(3):
            kitchen.hear(LOUDNESS["one"], 80)
            kitchen.send(kitchen.sent[-1])
            kitchen.send(kitchen.sent[0])
        kitchen.hear(0, 160)
        (event,) = await it.settle()
        assert event.detected_ms == 800 + 150


async def test_two_sites_are_heard_at_once_and_apart() -> None:
    async with home() as it:
        kitchen, hall = Microphone(it.house), Microphone(it.house, "hall", "h")
        for microphone, value in [(kitchen, LOUDNESS["one"]), (hall, 0)] * 3:
            microphone.hear(value, 80)
        hall.hear(0, 800)
        hall.say("one")
        await it.settle()
        assert [(m.site_id, m.data.stream, m.data.detected_ms) for m in it.events] == [
            ("kitchen", "s1", 150),
            ("hall", "h", 1_040 + 150),
        ]


async def test_a_frame_without_a_place_is_heard_too() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        for value in (0, 0, *[LOUDNESS["one"]] * 3):
            samples = np.full(FRAME_SAMPLES, value, dtype=np.int16)
            frame = wrap_frame(Pcm(samples, RATE_HZ), Place("", 0))
            kitchen.send(frame[:4] + frame[4:].replace(b"plac", b"junk"))
        (event,) = await it.settle()
        assert (event.stream, event.detected_ms) == ("", 160 + 150)


async def test_garbage_is_counted_and_the_next_frame_is_heard() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        kitchen.hear(0, 400)
        for garbage in (b"", b"RIFF", bytes(3_000), kitchen.sent[0][:50]):
            kitchen.send(garbage)
        kitchen.say("one")
        assert len(await it.settle()) == 1
        assert it.bus.counters["frames_malformed"] == 4


async def test_a_site_is_switched_off_and_on_and_costs_nothing_meanwhile() -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        kitchen.hear()
        await it.control(enabled=False)
        assert it.detector.closed == 1
        kitchen.say("one")
        assert await it.settle() == []
        assert it.detector.opened == 1
        await it.control(enabled=True)
        kitchen.say("one")
        assert len(await it.settle()) == 1


async def test_phrases_and_threshold_are_changed_for_one_site_alone() -> None:
    async with home() as it:
        kitchen, hall = Microphone(it.house), Microphone(it.house, "hall")
        kitchen.hear()
        await it.control(phrases=("two",), threshold=0.5)
        kitchen.say("one")
        kitchen.hear(0, 1_600)
        kitchen.hear(LOUDNESS["two"], 80)
        kitchen.hear(LOUDNESS["two"], 80)
        hall.say("two")
        hall.say("one")
        events = await it.settle()
        assert [(m.site_id, m.data.phrase) for m in it.events] == [
            ("kitchen", "two"),
            ("hall", "one"),
        ]
        assert events[0].score == 0.5


async def test_an_order_for_an_unknown_phrase_changes_nothing() -> None:
    async with home() as it:
        await it.control(phrases=("abracadabra",))
        kitchen = Microphone(it.house)
        kitchen.say("one")
        assert len(await it.settle()) == 1


@pytest.mark.parametrize("fields", [{"streaming": False}, {"streaming": True, "muted": True}])
async def test_a_site_that_does_not_stream_is_forgotten(fields: dict[str, Any]) -> None:
    async with home() as it:
        kitchen = Microphone(it.house)
        kitchen.hear()
        await it.settle()
        await it.status(**fields)
        assert it.detector.closed == 1
        kitchen.say("one")
        assert await it.settle() == []
        await it.status(streaming=True)
        kitchen.say("one")
        assert len(await it.settle()) == 1


async def test_settings_hold_for_single_sites() -> None:
    settings: dict[str, Any] = {
        "off_sites": ("cellar",),
        "site_phrases": ("hall = two, one",),
        "site_thresholds": ("hall=0.5",),
    }
    async with home(**settings) as it:
        for site in ("cellar", "hall", "kitchen"):
            Microphone(it.house, site).hear(LOUDNESS["two"], 160)
            Microphone(it.house, site, "s2").say("one")
        await it.settle()
        assert [(m.site_id, m.data.phrase, m.data.score) for m in it.events] == [
            ("hall", "two", 0.5),
            ("hall", "one", 0.5),
            ("kitchen", "one", 0.75),
        ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"site_phrases": ("hall",)},
        {"site_phrases": ("hall=",)},
        {"site_thresholds": ("hall=loud",)},
        {"site_thresholds": ("hall=2",)},
        {"phrases": ()},
        {"threshold": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WakeSettings(**wrong)


async def test_an_unknown_phrase_or_engine_is_answered_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="no wake phrase 'three'; there are: one, two"):
        async with home(phrases=("three",)):
            pass
    async with House() as house:
        with pytest.raises(ConfigError, match="pymicro-wakeword, pyopen-wakeword"):
            await house.move_in("wake", WakeSettings(engine="snowboy"), build)


class Bench:
    """The service alone, with a clock in the test's hands."""

    def __init__(self, **house: Any) -> None:
        self.now_s = 0.0
        self.counters: Counter[str] = Counter()
        self.detector = ScriptedDetector()
        self.heard: list[str] = []
        self.notes: list[tuple[str, str, float]] = []
        self.service = WakeService(
            self.detector,
            wake_service.House(Orders(enabled=True, phrases=("one",)), **house),
            lambda site_id, _event: self.heard.append(site_id),
            self,
            self.counters,
            clock=lambda: self.now_s,
        )

    def note(self, name: str, sentence: str, *, for_s: float) -> None:
        self.notes.append((name, sentence, for_s))

    async def hear(self, site: str, count: int = 1, value: int = 0) -> None:
        for number in range(count):
            samples = np.full(FRAME_SAMPLES, value, dtype=np.int16)
            frame = wrap_frame(Pcm(samples, RATE_HZ), Place("s", number * FRAME_SAMPLES))
            await self.service.on_frame(RawMessage({"site": site}, frame))


async def test_sites_are_bounded_and_silent_ones_make_room() -> None:
    bench = Bench(max_sites=2, forget_s=60)
    async with bench.service.lifespan():
        for site in ("a", "b", "c"):
            await bench.hear(site)
        assert bench.service.sites == ("a", "b")
        assert bench.counters["frames_unheard"] == 1
        ((name, sentence, for_s),) = bench.notes
        assert (name, for_s) == ("sites", 10)
        assert "'c'" in sentence
        assert "max_sites in [wake]" in sentence
        bench.now_s = 40
        await bench.hear("b")
        bench.now_s = 70
        await bench.hear("c", 3, LOUDNESS["one"])
        assert bench.service.sites == ("b", "c")
        assert bench.heard == ["c"]
    assert bench.detector.closed == bench.detector.opened == 3


async def test_what_has_piled_up_does_not_hold_up_the_loop() -> None:
    bench = Bench()
    turns = 0
    done = False

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async with bench.service.lifespan(), asyncio.TaskGroup() as group:
        group.create_task(others(), name="others")
        await asyncio.sleep(0)
        before = turns
        await bench.hear("a", 1_000)
        done = True
    assert turns - before >= 5
