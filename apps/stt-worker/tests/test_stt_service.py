"""The worker's real wiring on the in-memory bus, with a scripted engine and gate."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from antiphon_audio import Pcm, Span, wav
from antiphon_contracts import (
    AUDIO_IN,
    AUDIO_UTTERANCE,
    HEALTH,
    SITE_STATUS,
    STT_CONTROL,
    STT_FINAL,
    ConfigError,
    EngineError,
    SttFinal,
)
from antiphon_runtime import Bus, RuntimeSettings, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.transport import PublishOptions
from antiphon_stt import Hints, Segment, SttSettings, Transcriber, Transcript
from antiphon_stt.wiring import wire

pytestmark = pytest.mark.unit

SAID = Transcript((Segment(" What time is it?", -0.1, 0.01, 0.8, 6),))
RECORDING = wav.wrap(Pcm.silence(1_000, 16_000))


class Gate:
    """Takes everything for speech, except what is shorter than 0.9 s."""

    def spans(self, pcm: Pcm) -> list[Span]:
        return [Span(100, 800)] if pcm.duration_ms >= 900 else []


class Detector:
    """Hears no voices in streams."""

    def stream(self) -> Detector:
        return self

    def push(self, samples: Any) -> list[float]:
        return []


class Engine:
    """Runs `script` in the engine's thread and notes what it was given."""

    name = "scripted"

    def __init__(self, script: Callable[[Hints], Transcript] = lambda _hints: SAID) -> None:
        self.script = script
        self.heard: list[Pcm] = []
        self.hints: list[Hints] = []
        self.threads: set[str] = set()
        self.state = "new"

    def load(self) -> None:
        self.state = "loaded"

    def transcribe(self, pcm: Pcm, hints: Hints) -> Transcript:
        self.heard.append(pcm)
        self.hints.append(hints)
        self.threads.add(threading.current_thread().name)
        return self.script(hints)

    def close(self) -> None:
        self.state = "closed"


class HeldEngine(Engine):
    """Transcribes nothing until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        super().__init__(self._hold)

    def _hold(self, hints: Hints) -> Transcript:
        # The bound only keeps a failed test from hanging the process.
        for _ in range(1_000):
            if hints.cancelled or self.go.wait(0.01):
                break
        return SAID


class AsyncEngine:
    name = "scripted, async"

    async def load(self) -> None:
        await asyncio.sleep(0)

    async def transcribe(self, pcm: Pcm, hints: Hints) -> Transcript:
        await asyncio.sleep(0)
        return SAID

    async def close(self) -> None:
        await asyncio.sleep(0)


def building(engine: Transcriber) -> Callable[[Worker[SttSettings]], Wiring]:
    return partial(wire, transcriber=engine, open_gate=Gate, open_detector=Detector)


async def move_in(house: House, engine: Transcriber, **settings: Any) -> Bus:
    return await house.move_in("stt", SttSettings(**settings), building(engine))


def send(house: House, utterance: str, data: bytes = RECORDING, *, site: str = "kitchen") -> None:
    house.bus.publish_raw(AUDIO_UTTERANCE, data, site=site, utterance=utterance)


async def answer(house: House, data: bytes) -> SttFinal:
    """What the worker says about `data`, after which it must answer a good recording."""
    finals = await house.hear(STT_FINAL)
    send(house, "bad", data)
    send(house, "good")
    await finals.until(2)
    by_id: dict[str, SttFinal] = {m.data.utterance_id: m.data for m in finals}
    assert by_id["good"].text == "What time is it?"
    return by_id["bad"]


async def test_a_recording_becomes_a_final_on_its_turn() -> None:
    engine = Engine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine, prompt="Ada", language="en")
        send(house, "turn-7")
        (message,) = await finals.until(1)
    final: SttFinal = message.data
    assert (message.site_id, message.turn_id, message.ttl_s) == ("kitchen", "turn-7", 60.0)
    assert (final.utterance_id, final.text, final.rejected) == ("turn-7", "What time is it?", None)
    assert (final.language, final.audio_ms, final.speech_ms) == ("en", 1_000, 700)
    assert final.confidence == pytest.approx(0.9048, abs=1e-3)
    assert final.decode_ms > 0
    assert final.transcribe_ms >= 0
    assert (engine.hints[0].language, engine.hints[0].prompt) == ("en", "Ada")
    assert engine.hints[0].cancelled, "nobody waits once the answer is out"
    assert engine.threads == {"stt-engine_0"}


async def test_an_async_engine_is_awaited() -> None:
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, AsyncEngine())
        send(house, "a")
        (message,) = await finals.until(1)
    assert message.data.text == "What time is it?"


async def test_the_engine_is_loaded_and_closed_and_may_be_loaded_again() -> None:
    engine = Engine()
    async with House() as house:
        for _ in range(2):
            async with house.resident("stt", SttSettings(), building(engine)):
                assert engine.state == "loaded"
            assert engine.state == "closed"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "undecodable"),
        (b"this is not audio", "undecodable"),
        (RECORDING[:30], "undecodable"),
        (wav.wrap(Pcm.silence(100, 16_000)), "too_short"),
        (wav.wrap(Pcm.silence(600, 16_000)), "silence"),
        (wav.wrap(Pcm(Pcm.silence(600, 16_000).samples + 9_000, 16_000)), "noise"),
        (wav.wrap(Pcm.silence(5_100, 8_000)), "too_long"),
    ],
    ids=["empty", "text", "cut off", "short", "silent", "noisy", "long"],
)
async def test_what_cannot_be_understood_is_rejected_with_a_sentence(
    data: bytes, reason: str
) -> None:
    engine = Engine()
    async with House() as house:
        await move_in(house, engine, max_audio_s=5.0)
        final = await answer(house, data)
    assert (final.rejected, final.text) == (reason, "")
    assert final.detail.endswith(".")
    assert len(engine.heard) == 1, "only the good recording reaches the engine"


@pytest.mark.parametrize(
    "made_up",
    [
        Transcript(()),
        Transcript((Segment(" Thank you for watching!", -0.8, 0.2),)),
        Transcript((Segment("la la la la la la", -0.1, 0.0, 3.0),)),
    ],
    ids=["nothing", "phantom", "repetition"],
)
async def test_what_the_engine_made_up_is_noise(made_up: Transcript) -> None:
    answers = iter((made_up, SAID))
    async with House() as house:
        await move_in(house, Engine(lambda _hints: next(answers)))
        final = await answer(house, RECORDING)
    assert (final.rejected, final.text, final.confidence) == ("noise", "", 0.0)
    assert final.detail
    assert (final.audio_ms, final.speech_ms) == (1_000, 700)


async def test_a_failing_engine_is_heard_and_the_same_recording_may_be_tried_again() -> None:
    def fail_once(_hints: Hints) -> Transcript:
        if len(engine.heard) == 1:
            raise EngineError("The server is tired.", retryable=True)
        return SAID

    engine = Engine(fail_once)
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine)
        send(house, "a")
        await finals.until(1)
        send(house, "a")
        first, second = await finals.until(2)
    assert (first.data.rejected, first.data.detail) == ("engine", "The server is tired.")
    assert first.data.audio_ms == 1_000
    assert second.data.text == "What time is it?"


async def test_an_engine_that_breaks_its_word_is_heard_too() -> None:
    def crash_once(_hints: Hints) -> Transcript:
        if len(engine.heard) == 1:
            raise ZeroDivisionError
        return SAID

    engine = Engine(crash_once)
    async with House() as house:
        bus = await move_in(house, engine)
        final = await answer(house, RECORDING)
        assert bus.counters["handler_errors"] == 1
    assert final.rejected == "engine"
    assert final.detail


async def test_an_engine_that_takes_too_long_is_told_to_stop() -> None:
    engine = HeldEngine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine, timeout_s=0.05)
        send(house, "a")
        (message,) = await finals.until(1)
    assert message.data.rejected == "engine"
    assert "0.05 s" in message.data.detail
    assert engine.hints[0].cancelled


async def test_a_doubled_recording_is_transcribed_and_answered_once() -> None:
    engine = HeldEngine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine)
        send(house, "a")
        send(house, "a")
        send(house, "short", wav.wrap(Pcm.silence(100, 16_000)))
        await finals.until(1)
        engine.go.set()
        await finals.until(2)
        send(house, "last")
        await finals.until(3)
    assert [m.data.utterance_id for m in finals] == ["short", "a", "last"]
    assert len(engine.heard) == 2


async def test_a_recording_that_comes_again_is_answered_from_the_store() -> None:
    engine = Engine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine)
        send(house, "a")
        await finals.until(1)
        send(house, "a", b"whatever it is now")
        first, again = await finals.until(2)
        send(house, "a", site="hall")
        *_, elsewhere = await finals.until(3)
    assert first.data == again.data
    assert first.id != again.id
    assert (elsewhere.site_id, elsewhere.data.text) == ("hall", "What time is it?")
    assert len(engine.heard) == 2, "another site's utterance is another one"


async def test_the_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon_stt.service.STORED_FINALS", 2)
    engine = Engine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine)
        for count, utterance in enumerate(("a", "b", "c", "c", "a"), start=1):
            send(house, utterance)
            await finals.until(count)
    assert len(engine.heard) == 4, "c came from the store, a was forgotten"


async def test_too_many_recordings_are_told_busy_at_once() -> None:
    engine = HeldEngine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine, max_waiting=2)
        for number in range(12):
            send(house, str(number))
        await finals.until(9)
        assert {m.data.rejected for m in finals} == {"busy"}
        assert finals[0].data.detail.endswith(".")
        assert {m.data.utterance_id for m in finals} == {str(n) for n in range(3, 12)}
        engine.go.set()
        await finals.until(12)
        send(house, "11")
        await finals.until(13)
    assert [m.data.utterance_id for m in finals[9:]] == ["0", "1", "2", "11"]
    assert {m.data.text for m in finals[9:]} == {"What time is it?"}


async def test_a_broken_recording_is_answered_while_the_engine_works() -> None:
    engine = HeldEngine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await move_in(house, engine)
        send(house, "slow")
        send(house, "broken", b"nonsense")
        (message,) = await finals.until(1)
        assert message.data.utterance_id == "broken"
        engine.go.set()
        await finals.until(2)


async def test_a_worker_that_stops_says_so_on_open_turns() -> None:
    engine = HeldEngine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        async with house.resident("stt", SttSettings(), building(engine)):
            send(house, "slow")
            send(house, "broken", b"nonsense")
            await finals.until(1)
        await finals.until(2)
    assert (finals[1].data.utterance_id, finals[1].data.rejected) == ("slow", "engine")


async def test_ids_of_128_characters_are_kept_and_longer_ones_dropped() -> None:
    engine = Engine()
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        bus = await move_in(house, engine)
        transport = house.broker.transport()
        async with transport.open(lambda _delivery: None, lambda _connected: None):
            for name in ("x" * 129, "ü" * 128, "$ what? (1)"):
                path = f"antiphon/audio/küche/utterance/{name}"
                transport.publish(path, RECORDING, PublishOptions(qos=1))
            await finals.until(2)
        assert bus.counters["handler_errors"] == 0
    assert [m.data.utterance_id for m in finals] == ["ü" * 128, "$ what? (1)"]
    assert {m.site_id for m in finals} == {"küche"}


async def test_an_engine_that_cannot_be_loaded_stops_the_worker_with_its_sentence() -> None:
    class Missing(Engine):
        def load(self) -> None:
            raise ConfigError("run `antiphon models fetch whisper-tiny.en`")

    async with House() as house:
        with pytest.raises(ConfigError, match="antiphon models fetch"):
            await move_in(house, Missing())


@pytest.mark.parametrize(
    ("settings", "group", "is_live"),
    [({}, "", True), ({}, "g", False), ({"live": "on"}, "g", True), ({"live": "off"}, "", False)],
    ids=["alone", "group", "told", "off"],
)
async def test_a_group_takes_recordings_only_unless_told(
    settings: dict[str, Any], group: str, is_live: bool
) -> None:
    async with House() as house:
        health = await house.hear(HEALTH)
        bus = await house.move_in(
            "stt", SttSettings(**settings), building(Engine()), runtime=RuntimeSettings(group=group)
        )
        handled = {path for path in bus.queue_depths if not path.startswith("dead/")}
        await health.until(lambda beats: any(beat.data.state != "starting" for beat in beats))
    live = {AUDIO_IN.pattern, STT_CONTROL.pattern, SITE_STATUS.pattern}
    assert handled == {AUDIO_UTTERANCE.pattern} | (live if is_live else set())
    says_so = any("Recordings only" in note for note in health[-1].data.notes)
    assert says_so == (group == "g" and not is_live)
