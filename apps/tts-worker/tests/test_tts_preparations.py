"""Speech that is prepared: made once, whoever comes first, and never in the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, wav
from antiphon_contracts import (
    AUDIO_OUT,
    TTS_PREPARE,
    TTS_SAY,
    TTS_STATUS,
    EngineError,
    TtsPrepare,
    TtsSay,
)
from antiphon_runtime import ModelThread, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_tts import preparations
from antiphon_tts.phrase_cache import PhraseCache
from antiphon_tts.settings import TtsSettings
from antiphon_tts.utterance import Clause
from antiphon_tts.voice import Voice
from antiphon_tts.wiring import build

pytestmark = pytest.mark.unit

RATE_HZ = 8_000
STEPS = 50


class Slow:
    """Speaks each word as 10 ms; notes its texts. The word `wait` waits for the test."""

    name = "slow"
    rate_hz = RATE_HZ
    language = "en"

    def __init__(self) -> None:
        self.made: list[str] = []
        self.words: list[str] = []
        self.waiting = threading.Event()
        self.go_on = threading.Event()
        self.failure: Exception | None = None

    def load(self) -> None:
        return

    def close(self) -> None:
        return

    def synthesize(self, text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        self.made.append(text)
        if self.failure is not None:
            raise self.failure
        for word in text.split():
            if word == "wait":
                self.waiting.set()
                assert self.go_on.wait(5)
            self.words.append(word)
            yield Pcm(np.full(80, len(self.words), dtype=np.int16), RATE_HZ)


class Stoppable(Slow):
    """The same, but it can be interrupted while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupts = 0

    def interrupt(self) -> None:
        self.interrupts += 1
        self.failure = EngineError("interrupted")
        self.go_on.set()

    def synthesize(self, text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        for piece in super().synthesize(text, voice=voice, speed=speed):
            failure, self.failure = self.failure, None
            if failure is not None:
                raise failure
            yield piece


class Served(Slow):
    """The same on a server."""

    server = "The speech server"

    async def probe(self) -> None:
        return


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.to_thread(threading.Event().wait, 0.001)


async def steps() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


async def samples_of(voice: Voice, clause: Clause) -> int:
    return sum([len(piece) async for piece in voice.speak(clause)])


def files(folder: Path) -> int:
    return len(list(folder.iterdir()))


@asynccontextmanager
async def voice_of(engine: Slow, cache: PhraseCache | None = None) -> AsyncIterator[Voice]:
    async with asyncio.timeout(10):
        with ModelThread("test") as thread:
            try:
                yield Voice(engine, thread, cache=cache)
            finally:
                engine.go_on.set()


# The voice


async def test_the_first_piece_is_made_ready_and_said_without_being_made_again() -> None:
    engine = Slow()
    clause = Clause(0, "It was 20°C at noon, and the wind blew from the north.")
    async with voice_of(engine) as voice:
        await voice.prepare(clause)
        assert engine.made == ["It was 20 degrees Celsius at noon,"]
        assert await samples_of(voice, clause) == 80 * 14
        assert engine.made[1:] == ["and the wind blew from the north."]
        # It is given away once.
        await samples_of(voice, clause)
    assert len(engine.made) == 4


@pytest.mark.parametrize(
    "other",
    [Clause(0, "one two"), Clause(0, "one", voice="anna"), Clause(0, "one", speed=1.5)],
)
async def test_another_text_voice_or_speed_is_made_anew(other: Clause) -> None:
    engine = Slow()
    async with voice_of(engine) as voice:
        await voice.prepare(Clause(0, "one"))
        await samples_of(voice, other)
        assert engine.made == ["one", other.text]
        # What was prepared is there still.
        assert await samples_of(voice, Clause(0, "one")) == 80
    assert len(engine.made) == 2


async def test_what_is_being_made_ready_is_said_as_it_is_made() -> None:
    engine = Slow()
    clause = Clause(0, "one wait two")
    async with voice_of(engine) as voice, asyncio.TaskGroup() as group:
        group.create_task(voice.prepare(clause), name="prepare")
        await until(engine.waiting.is_set)
        pieces = voice.speak(clause)
        assert len(await anext(pieces)) == 80
        engine.go_on.set()
        assert len([piece async for piece in pieces]) == 2
    assert engine.made == ["one wait two"]


async def test_it_gives_way_to_real_speech() -> None:
    engine = Slow()
    async with voice_of(engine) as voice, asyncio.TaskGroup() as group:
        prepared = group.create_task(voice.prepare(Clause(0, "one wait two three")), name="prepare")
        await until(engine.waiting.is_set)
        said = group.create_task(samples_of(voice, Clause(0, "four")), name="say")
        await steps()
        engine.go_on.set()
        assert await said == 80
        await prepared
        assert "two" not in engine.words
        # What was given up is no sound to say.
        assert await samples_of(voice, Clause(0, "one wait two three")) == 80 * 4
    assert engine.made == ["one wait two three", "four", "one wait two three"]


async def test_an_engine_that_can_stop_gives_way_at_once_and_only_then() -> None:
    engine = Stoppable()
    async with voice_of(engine) as voice, asyncio.TaskGroup() as group:
        prepared = group.create_task(_failed(voice, "wait two three"), name="prepare")
        await until(engine.waiting.is_set)
        assert await samples_of(voice, Clause(0, "four")) == 80
        assert await prepared
        assert engine.words == ["wait", "four"]
        assert engine.interrupts == 1
        await voice.prepare(Clause(0, "five"))
        await samples_of(voice, Clause(0, "five"))
        await samples_of(voice, Clause(0, "six"))
    assert engine.interrupts == 1


async def test_what_is_being_said_is_not_interrupted() -> None:
    engine = Stoppable()
    clause = Clause(0, "one wait two")
    async with voice_of(engine) as voice, asyncio.TaskGroup() as group:
        group.create_task(voice.prepare(clause), name="prepare")
        await until(engine.waiting.is_set)
        said = group.create_task(samples_of(voice, clause), name="say")
        await steps()
        other = group.create_task(samples_of(voice, Clause(0, "four")), name="say elsewhere")
        await steps()
        engine.go_on.set()
        assert (await said, await other) == (80 * 3, 80)
    assert engine.interrupts == 0


async def _failed(voice: Voice, text: str) -> bool:
    try:
        await voice.prepare(Clause(0, text))
    except EngineError:
        return True
    return False


async def test_nothing_is_prepared_while_something_is_spoken() -> None:
    engine = Slow()
    async with voice_of(engine) as voice:
        pieces = voice.speak(Clause(0, "one two"))
        await anext(pieces)
        assert not voice.idle.is_set()
        await voice.prepare(Clause(0, "three"))
        await pieces.aclose()
        assert voice.idle.is_set()
    assert engine.made == ["one two"]


async def test_a_failure_keeps_nothing_and_the_real_one_makes_it() -> None:
    engine = Slow()
    engine.failure = EngineError("out of breath")
    async with voice_of(engine) as voice:
        with pytest.raises(EngineError):
            await voice.prepare(Clause(0, "one"))
        engine.failure = None
        assert await samples_of(voice, Clause(0, "one")) == 80
    assert engine.made == ["one", "one"]


async def test_one_that_ends_while_it_is_waited_for_is_made_by_who_waits() -> None:
    engine = Slow()
    clause = Clause(0, "one wait two")
    async with voice_of(engine) as voice, asyncio.TaskGroup() as group:
        prepared = group.create_task(voice.prepare(clause), name="prepare")
        await until(engine.waiting.is_set)
        said = group.create_task(samples_of(voice, clause), name="say")
        await steps()
        prepared.cancel()
        engine.go_on.set()
        assert await said == 80 * 3
    assert engine.made == ["one wait two"] * 2


async def test_only_the_newest_are_kept_and_the_same_is_made_once() -> None:
    engine = Slow()
    texts = [f"number {n}" for n in range(preparations.MAX_PREPARED + 1)]
    async with voice_of(engine) as voice:
        for text in (*texts, texts[-1]):
            await voice.prepare(Clause(0, text))
        assert engine.made == texts
        for text in reversed(texts):
            await samples_of(voice, Clause(0, text))
    assert engine.made == [*texts, texts[0]]


async def test_it_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Slow()
    now = 100.0
    monkeypatch.setattr(preparations, "_now", lambda: now)
    async with voice_of(engine) as voice:
        await voice.prepare(Clause(0, "one"))
        await voice.prepare(Clause(0, "two"))
        now += preparations.FORGOTTEN_AFTER_S
        await samples_of(voice, Clause(0, "one"))
        now += 0.1
        await samples_of(voice, Clause(0, "two"))
    assert engine.made == ["one", "two", "two"]


async def test_blank_text_is_no_sound() -> None:
    engine = Slow()
    async with voice_of(engine) as voice:
        await voice.prepare(Clause(0, "  "))
    assert not engine.made


async def test_what_is_never_said_does_not_reach_the_disk(tmp_path: Path) -> None:
    engine = Slow()
    clause = Clause(0, "one")
    async with voice_of(engine, PhraseCache(tmp_path, 1_000_000)) as voice:
        for _ in range(2):
            await voice.prepare(clause)
        assert await samples_of(voice, clause) == 80
        assert files(tmp_path) == 0
        await voice.prepare(clause)
        assert await samples_of(voice, clause) == 80
        assert files(tmp_path) == 1
        # What is on the disk is ready already.
        await voice.prepare(clause)
        assert await samples_of(voice, clause) == 80
    assert engine.made == ["one", "one"]


# The worker


class Room:
    """A house with a TTS worker, and what is heard from it."""

    def __init__(self, house: House, audio: Heard, status: Heard) -> None:
        self.house, self.audio, self.status = house, audio, status

    def prepare(self, text: str) -> None:
        self.house.say(TTS_PREPARE, TtsPrepare(text=text))

    async def say(self, text: str, utterance_id: str = "u1") -> None:
        say = TtsSay(utterance_id=utterance_id, seq=0, text=text, last=True)
        self.house.say(TTS_SAY, say)
        await self.until_over(utterance_id)

    async def until_over(self, utterance_id: str) -> None:
        await self.status.until(
            lambda heard: any(
                (m.data.utterance_id, m.data.state) == (utterance_id, "synthesised") for m in heard
            )
        )

    @property
    def audio_ms(self) -> float:
        return sum(wav.unwrap(m.payload).duration_ms for m in self.audio if m.payload)


@asynccontextmanager
async def room(engine: Slow) -> AsyncIterator[Room]:
    def build_slow(worker: Worker[TtsSettings]) -> Wiring:
        return build(worker, lambda _name: lambda _settings, _models: engine)

    async with House() as house:
        audio, status = await house.hear_raw(AUDIO_OUT), await house.hear(TTS_STATUS)
        await house.move_in("tts", TtsSettings(), build_slow)
        try:
            yield Room(house, audio, status)
        finally:
            engine.go_on.set()


async def test_prepared_and_then_said_is_made_once_and_heard_once() -> None:
    engine = Slow()
    async with room(engine) as it:
        it.prepare("one two")
        await until(lambda: engine.words == ["one", "two"])
        assert not it.audio
        await it.say("one two")
        assert it.audio_ms == 20
    assert engine.made == ["one two"]


async def test_a_newer_one_replaces_one_that_waits_until_nothing_is_spoken() -> None:
    engine = Slow()
    async with room(engine) as it, asyncio.TaskGroup() as group:
        group.create_task(it.say("wait here"), name="say")
        await until(engine.waiting.is_set)
        it.prepare("one")
        it.prepare("two")
        await steps()
        assert engine.made == ["wait here"]
        engine.go_on.set()
        await it.until_over("u1")
        await until(lambda: len(engine.made) == 2)
        await it.say("two", "u2")
    assert engine.made == ["wait here", "two"]


async def test_what_was_said_meanwhile_is_not_prepared_any_more() -> None:
    engine = Slow()
    async with room(engine) as it, asyncio.TaskGroup() as group:
        group.create_task(it.say("wait here"), name="say")
        await until(engine.waiting.is_set)
        it.prepare("one")
        await steps()
        group.create_task(it.say("one", "u2"), name="say again")
        await steps()
        engine.go_on.set()
        await it.until_over("u2")
        await it.say("three", "u3")
    assert engine.made == ["wait here", "one", "three"]


@pytest.mark.parametrize("failure", [EngineError("out of breath"), ZeroDivisionError()])
async def test_a_failure_is_silent_and_the_worker_lives(failure: Exception) -> None:
    engine = Slow()
    engine.failure = failure
    async with room(engine) as it:
        it.prepare("one")
        await until(lambda: engine.made == ["one"])
        await steps()
        engine.failure = None
        await it.say("one")
        assert [m.data.state for m in it.status] == ["started", "synthesised"]
    assert engine.made == ["one", "one"]


async def test_a_server_is_not_asked_for_what_may_never_be_said() -> None:
    engine = Served()
    async with room(engine) as it:
        it.prepare("one")
        await steps()
        await it.say("two")
    assert engine.made == ["two"]
