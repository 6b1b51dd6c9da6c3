import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, wav
from antiphon_contracts import (
    AUDIO_OUT,
    HEALTH,
    TTS_CANCEL,
    TTS_SAY,
    TTS_STATUS,
    ConfigError,
    EngineError,
    TtsCancel,
    TtsSay,
    TtsStatus,
)
from antiphon_runtime import Bus, ModelThread, RuntimeSettings, Wiring, Worker
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_tts.phrase_cache import PhraseCache
from antiphon_tts.settings import TtsSettings
from antiphon_tts.utterance import Clause
from antiphon_tts.voice import Synthesizer, Voice
from antiphon_tts.wiring import build

pytestmark = pytest.mark.unit

RATE_HZ = 8000


def tone(value: int, ms: float = 80) -> Pcm:
    return Pcm(np.full(int(RATE_HZ * ms / 1000), value, dtype=np.int16), RATE_HZ)


class Scripted:
    """Speaks each number of a text as 80 ms of that value; some words do other things."""

    name = "scripted"
    rate_hz = RATE_HZ
    language = ""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, float]] = []
        self.spoken: list[int] = []
        self.go_on = threading.Event()
        self.closed = False

    def load(self) -> None:
        return

    def close(self) -> None:
        self.closed = True

    def synthesize(self, text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        self.calls.append((text, voice, speed))
        for word in text.split():
            if word == "wait":
                assert self.go_on.wait(5)
            elif word == "fail":
                raise EngineError("the engine is out of breath")
            elif word == "crash":
                raise ZeroDivisionError
            elif word == "long":
                yield tone(1, 200)
            else:
                self.spoken.append(int(word.strip(",")))
                yield tone(int(word.strip(",")))


class Hanging:
    """An async engine whose server never answers."""

    name = "hanging"
    rate_hz = RATE_HZ
    language = ""

    async def load(self) -> None:
        return

    async def close(self) -> None:
        return

    async def synthesize(self, text: str, *, voice: str | None, speed: float) -> AsyncIterator[Pcm]:
        yield tone(1)
        await asyncio.Event().wait()


class Room:
    """A house with a TTS worker, and what is heard from it."""

    def __init__(self, house: House, worker: Bus, audio: Heard, status: Heard) -> None:
        self.house, self.worker, self.audio, self.status = house, worker, audio, status

    def say(
        self, seq: int, text: str, *, last: bool = False, utterance_id: str = "u1", **more: Any
    ) -> None:
        envelope = {key: more.pop(key) for key in ("site_id", "turn_id") if key in more}
        say = TtsSay(utterance_id=utterance_id, seq=seq, text=text, last=last, **more)
        self.house.say(TTS_SAY, say, **envelope)

    def cancel(self, utterance_id: str | None = "u1", **envelope: str) -> None:
        self.house.say(TTS_CANCEL, TtsCancel(utterance_id=utterance_id), **envelope)

    def values(self, utterance_id: str = "u1", site_id: str = "default") -> list[int]:
        """What was spoken, as the first sample of each frame; -1 is the end of the audio."""
        return [
            int(wav.unwrap(message.payload).samples[0]) if message.payload else -1
            for message in self.audio
            if message.slots == {"site": site_id, "utterance": utterance_id}
        ]

    async def end(self, utterance_id: str = "u1") -> TtsStatus:
        """Wait until the utterance has ended."""

        def ended(heard: Heard) -> bool:
            return bool(self.states(utterance_id, heard)) and (
                self.states(utterance_id, heard)[-1] != "started"
            )

        await self.status.until(ended)
        await self.audio.until(
            lambda heard: any(not m.payload and m.slots["utterance"] == utterance_id for m in heard)
        )
        last: TtsStatus = next(
            message.data
            for message in reversed(self.status)
            if message.data.utterance_id == utterance_id
        )
        return last

    def states(self, utterance_id: str = "u1", heard: Heard | None = None) -> list[str]:
        return [
            message.data.state
            for message in (self.status if heard is None else heard)
            if message.data.utterance_id == utterance_id
        ]


@asynccontextmanager
async def room(engine: Synthesizer, **settings: Any) -> AsyncIterator[Room]:
    def build_scripted(worker: Worker[TtsSettings]) -> Wiring:
        return build(worker, lambda _name: lambda _settings, _models: engine)

    async with House() as house:
        audio, status = await house.hear_raw(AUDIO_OUT), await house.hear(TTS_STATUS)
        worker = await house.move_in("tts", TtsSettings(**settings), build_scripted)
        yield Room(house, worker, audio, status)


async def test_an_utterance_is_spoken_in_frames_with_its_status() -> None:
    async with room(Scripted()) as it:
        it.say(0, "1 2", site_id="kitchen", turn_id="t1")
        it.say(1, "3", last=True, site_id="kitchen", turn_id="t1")
        end = await it.end()
        assert it.values(site_id="kitchen") == [1, 2, 3, -1]
        assert it.states() == ["started", "synthesised"]
        assert {(m.site_id, m.turn_id) for m in it.status} == {("kitchen", "t1")}
        started = it.status[0].data
        assert started.first_audio_ms is not None
        assert 0 < started.first_audio_ms < 5000
        assert started.audio_ms == 80
        assert (end.audio_ms, end.seq, end.first_audio_ms) == (240, 1, started.first_audio_ms)


async def test_long_pieces_are_sent_in_frames_of_80_ms() -> None:
    async with room(Scripted()) as it:
        it.say(0, "long", last=True)
        await it.end()
        lengths = [wav.unwrap(m.payload).duration_ms for m in it.audio if m.payload]
        assert lengths == [80, 80, 40]


async def test_clauses_out_of_order_are_spoken_in_order() -> None:
    async with room(Scripted()) as it:
        it.say(2, "3", last=True)
        it.say(0, "1")
        it.say(1, "2")
        await it.end()
        assert it.values() == [1, 2, 3, -1]


async def test_a_missing_clause_is_given_up_after_the_time_allowed() -> None:
    async with room(Scripted(), gap_timeout_s=0.05) as it:
        it.say(0, "1")
        it.say(2, "3", last=True)
        assert (await it.end()).state == "synthesised"
        assert it.values() == [1, 3, -1]


async def test_a_doubled_clause_is_spoken_once() -> None:
    async with room(Scripted()) as it:
        it.say(0, "1")
        it.say(0, "1")
        it.say(1, "2", last=True)
        it.say(1, "2", last=True)
        await it.end()
        it.say(1, "2", last=True)
        it.say(0, "9", last=True, utterance_id="u2")
        await it.end("u2")
        assert it.values() == [1, 2, -1]
        assert it.states() == ["started", "synthesised"]


async def test_an_utterance_without_an_end_is_closed_after_the_idle_time() -> None:
    async with room(Scripted(), idle_timeout_s=0.05) as it:
        it.say(0, "1")
        end = await it.end()
        assert (end.state, end.detail) == ("synthesised", "The end of the answer never came.")
        assert it.values() == [1, -1]


@pytest.mark.parametrize("text", ["", "  "])
async def test_empty_text_ends_properly(text: str) -> None:
    async with room(Scripted()) as it:
        it.say(0, text, last=True)
        end = await it.end()
        assert (end.state, end.audio_ms, end.first_audio_ms) == ("synthesised", 0, None)
        assert it.values() == [-1]


async def test_voice_and_speed_reach_the_engine_and_long_text_is_cut() -> None:
    engine = Scripted()
    async with room(engine) as it:
        it.say(0, " ".join(["11111"] * 40), last=True, voice="anna", speed=1.5)
        await it.end()
        assert [(voice, speed) for _, voice, speed in engine.calls] == [("anna", 1.5)] * 3
        assert all(len(text) <= 200 for text, _, _ in engine.calls)
        assert it.values() == [11111] * 40 + [-1]


async def test_cancel_stops_between_pieces_and_later_clauses_are_ignored() -> None:
    engine = Scripted()
    async with room(engine) as it:
        it.say(0, "1 wait 2 3")
        await it.audio.until(1)
        it.cancel()
        # The engine is still busy, and the cancel is obeyed nevertheless.
        end = await it.end()
        engine.go_on.set()
        it.say(1, "4", last=True)
        it.say(0, "9", last=True, utterance_id="u2")
        await it.end("u2")
        assert (end.state, end.audio_ms) == ("cancelled", 80)
        assert it.values() == [1, -1]
        assert it.values("u2") == [9, -1]
        assert it.states() == ["started", "cancelled"]
        assert 3 not in engine.spoken


async def test_cancel_without_an_id_stops_all_of_its_site_only() -> None:
    engine = Scripted()
    async with room(engine) as it:
        it.say(0, "1 wait 2", last=True, site_id="kitchen")
        it.say(0, "3", last=True, utterance_id="u2", site_id="kitchen")
        it.say(0, "5", last=True, utterance_id="u3", site_id="hall")
        await it.audio.until(1)
        it.cancel(None, site_id="kitchen")
        assert (await it.end()).state == "cancelled"
        assert (await it.end("u2")).state == "cancelled"
        engine.go_on.set()
        assert (await it.end("u3")).state == "synthesised"
        assert it.values("u2", "kitchen") == [-1]
        assert it.values("u3", "hall") == [5, -1]


async def test_a_cancel_that_overtakes_its_clauses_is_kept() -> None:
    async with room(Scripted()) as it:
        it.cancel()
        await it.status.until(1)
        it.say(0, "1", last=True)
        it.say(0, "9", last=True, utterance_id="u2")
        await it.end("u2")
        assert it.states() == ["cancelled"]
        assert it.values() == []


async def test_a_cancel_after_the_end_says_nothing() -> None:
    async with room(Scripted()) as it:
        it.say(0, "1", last=True)
        await it.end()
        it.cancel()
        it.cancel(None)
        it.say(0, "9", last=True, utterance_id="u2")
        await it.end("u2")
        assert it.states() == ["started", "synthesised"]


async def test_a_hanging_async_engine_is_interrupted_by_cancel() -> None:
    async with room(Hanging(), sites_at_once=1) as it:
        it.say(0, "x", last=True)
        await it.audio.until(1)
        it.cancel()
        assert (await it.end()).state == "cancelled"
        # The only speaker is free again.
        it.say(0, "x", last=True, utterance_id="u2")
        await it.status.until(lambda heard: it.states("u2", heard) == ["started"])


async def test_a_hanging_engine_fails_the_utterance_after_the_time_allowed() -> None:
    async with room(Hanging(), chunk_timeout_s=0.05) as it:
        it.say(0, "x", last=True)
        end = await it.end()
        assert (end.state, end.audio_ms) == ("failed", 80)
        assert end.detail == "The voice took too long for a piece of the answer."


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("1 fail", "the engine is out of breath"),
        ("1 crash", "The voice broke down (ZeroDivisionError)."),
    ],
)
async def test_an_engine_failure_ends_the_utterance_and_not_the_worker(
    text: str, detail: str
) -> None:
    async with room(Scripted()) as it:
        it.say(0, text)
        it.say(1, "2", last=True)
        end = await it.end()
        assert (end.state, end.detail, end.audio_ms) == ("failed", detail, 80)
        assert it.values() == [1, -1]
        it.say(0, "9", last=True, utterance_id="u2")
        assert (await it.end("u2")).state == "synthesised"


async def test_one_utterance_at_a_time_by_priority_then_arrival() -> None:
    engine = Scripted()
    async with room(engine) as it:
        it.say(0, "1 wait 2", last=True, utterance_id="first")
        await it.audio.until(1)
        it.say(0, "10", last=True, utterance_id="announcement", priority=0)
        it.say(0, "20", last=True, utterance_id="answer", priority=10)
        it.say(0, "21", last=True, utterance_id="answer-2", priority=10)
        it.say(0, "30", last=True, utterance_id="alarm", priority=20)
        await it.status.until(1)
        engine.go_on.set()
        await it.end("announcement")
        assert engine.spoken == [1, 2, 30, 20, 21, 10]


async def test_two_sites_are_spoken_to_at_the_same_time() -> None:
    engine = Scripted()
    async with room(engine) as it:
        # Neither has ended: each still waits for its last clause.
        it.say(0, "1", utterance_id="a", site_id="kitchen")
        it.say(0, "2", utterance_id="b", site_id="hall")
        await it.audio.until(2)
        it.say(1, "3", last=True, utterance_id="a", site_id="kitchen")
        it.say(1, "4", last=True, utterance_id="b", site_id="hall")
        await it.end("a")
        await it.end("b")
        assert it.values("a", "kitchen") == [1, 3, -1]
        assert it.values("b", "hall") == [2, 4, -1]


async def test_the_same_id_at_two_sites_is_two_utterances() -> None:
    async with room(Scripted()) as it:
        it.say(0, "1", last=True, site_id="kitchen")
        it.say(0, "2", last=True, site_id="hall")
        await it.audio.until(4)
        assert it.values(site_id="kitchen") == [1, -1]
        assert it.values(site_id="hall") == [2, -1]


@pytest.mark.parametrize(
    "limits", [{"max_chars": 8}, {"max_utterances": 2}, {"max_clauses": 1}], ids=str
)
async def test_overload_is_refused_at_once(limits: dict[str, int]) -> None:
    engine = Scripted()
    async with room(engine, **limits) as it:
        it.say(0, "1 wait", utterance_id="u0")
        await it.audio.until(1)
        it.say(0, "2", last=True)
        it.say(0, "3 4 5 6 7", last=True, utterance_id="u2")
        end = await it.end("u2")
        assert (end.state, end.detail) == (
            "failed",
            "Too much is waiting to be said; try again later.",
        )
        engine.go_on.set()
        it.say(1, "", last=True, utterance_id="u0")
        assert (await it.end()).state == "synthesised"


async def test_a_lost_broker_fails_the_utterance() -> None:
    engine = Scripted()
    async with room(engine) as it:
        it.say(0, "1 wait 2", last=True)
        await it.audio.until(1)
        it.house.broker.go_offline()
        engine.go_on.set()
        async with asyncio.timeout(5):
            while 2 not in engine.spoken:  # noqa: ASYNC110  (the engine is in a thread)
                await asyncio.sleep(0.005)
        it.house.broker.go_online()
        await it.status.until(lambda heard: it.states("u1", heard)[-1] == "failed")


async def test_what_is_open_when_the_worker_stops_is_said_to_have_failed() -> None:
    engine = Scripted()

    def build_scripted(worker: Worker[TtsSettings]) -> Wiring:
        return build(worker, lambda _name: lambda _settings, _models: engine)

    async with House() as house:
        status = await house.hear(TTS_STATUS)
        async with house.resident("tts", TtsSettings(), build_scripted):
            house.say(TTS_SAY, TtsSay(utterance_id="u1", seq=0, text="1"))
            await status.until(1)
        assert engine.closed
        await status.until(2)
        assert [m.data.state for m in status] == ["started", "failed"]
        assert status[-1].data.detail == "The voice was stopped."


class Broken(Scripted):
    """Cannot be loaded."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def load(self) -> None:
        raise self._error


def one_broken(error: Exception, second: Synthesizer) -> Any:
    def build_fallback(worker: Worker[TtsSettings]) -> Wiring:
        engines: dict[str, Synthesizer] = {"piper": Broken(error), "espeak-ng": second}
        return build(worker, lambda name: lambda _settings, _models: engines[name])

    return build_fallback


@pytest.mark.parametrize("error", [ConfigError("not fetched"), EngineError("corrupt")])
async def test_the_fallback_speaks_and_health_says_so(error: Exception) -> None:
    async with House() as house:
        health, status = await house.hear(HEALTH), await house.hear(TTS_STATUS)
        await house.move_in("tts", TtsSettings(), one_broken(error, Scripted()))
        await health.until(lambda told: bool(told) and told[-1].data.state != "starting")
        assert health[-1].data.state == "degraded"
        assert health[-1].data.engine == "scripted"
        assert health[-1].data.notes == (
            f"Piper is not available ({error}): speaking with espeak-ng.",
        )
        house.say(TTS_SAY, TtsSay(utterance_id="u1", seq=0, text="1", last=True))
        await status.until(2)
        assert status[-1].data.state == "synthesised"


async def test_without_any_voice_the_worker_says_what_mends_it() -> None:
    second = Broken(ConfigError("install espeak-ng"))
    async with House() as house:
        with pytest.raises(ConfigError, match=r"fetch the voice.*install espeak-ng"):
            await house.move_in(
                "tts", TtsSettings(), one_broken(ConfigError("fetch the voice"), second)
            )


async def test_without_a_fallback_the_engine_s_own_sentence_comes_out() -> None:
    async with House() as house:
        with pytest.raises(ConfigError, match=r"^fetch the voice$"):
            await house.move_in(
                "tts",
                TtsSettings(fallback=""),
                one_broken(ConfigError("fetch the voice"), Scripted()),
            )


class Away(Scripted):
    """Its server is away while `away` is set."""

    server = "The speech server at http://h"

    def __init__(self) -> None:
        super().__init__()
        self.away = True
        self.asked = 0

    async def probe(self) -> None:
        if self.away:
            raise EngineError("away", retryable=True)

    def synthesize(self, text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        self.asked += 1
        if self.away:
            raise EngineError("away", retryable=True)
        yield from super().synthesize(text, voice=voice, speed=speed)


@asynccontextmanager
async def with_server(
    engine: Away, spare: Scripted, *, fallback: str = "espeak-ng"
) -> AsyncIterator[tuple[Room, Heard]]:
    def build_both(worker: Worker[TtsSettings]) -> Wiring:
        engines: dict[str, Synthesizer] = {"openai": engine, "espeak-ng": spare}
        return build(worker, lambda name: lambda _settings, _models: engines[name])

    async with House() as house:
        audio, status = await house.hear_raw(AUDIO_OUT), await house.hear(TTS_STATUS)
        health = await house.hear(HEALTH)
        settings = TtsSettings(engine="openai", fallback=fallback)
        runtime = RuntimeSettings(server_retry_s=0.1)
        worker = await house.move_in("tts", settings, build_both, runtime=runtime)
        yield Room(house, worker, audio, status), health


async def test_the_fallback_speaks_while_the_server_is_away_and_no_longer() -> None:
    engine, spare = Away(), Scripted()
    async with with_server(engine, spare) as (r, health):
        for number in range(1, 5):
            r.say(0, str(number), last=True, utterance_id=f"u{number}")
            assert (await r.end(f"u{number}")).state == "synthesised"
        assert spare.spoken == [1, 2, 3, 4]
        assert engine.asked == 3
        await health.until(lambda heard: heard[-1].data.state == "degraded")
        assert health[-1].data.notes == (
            "The speech server at http://h does not answer; it is tried again every 0.1 s.",
        )
        engine.away = False
        await health.until(lambda heard: heard[-1].data.state == "ready")
        r.say(0, "5", last=True, utterance_id="u5")
        await r.end("u5")
    assert engine.spoken == [5]
    assert spare.closed


async def test_without_a_fallback_a_server_s_absence_is_told_at_once() -> None:
    engine = Away()
    async with with_server(engine, Scripted(), fallback="") as (r, _):
        details = []
        for number in range(4):
            r.say(0, "1", last=True, utterance_id=f"u{number}")
            details.append((await r.end(f"u{number}")).detail)
    assert "tried again every 0.1 s" in details[-1]


def test_ports_fit() -> None:
    """Checked by mypy: sync and async engines both are synthesizers."""
    engines: list[Synthesizer] = [Scripted(), Hanging()]
    loads: list[Awaitable[None] | None] = [engines[0].load()]
    assert loads == [None]


async def test_what_is_said_often_is_made_once(tmp_path: Path) -> None:
    engine = Scripted()
    clause = Clause(0, "1 2", last=True)
    with ModelThread("test") as thread:
        voice = Voice(engine, thread, cache=PhraseCache(tmp_path, 1_000_000))
        said = [[piece async for piece in voice.speak(clause)] for _ in range(4)]
        assert [len(call) for call in engine.calls] == [3, 3]
        assert [sum(len(piece) for piece in pieces) for pieces in said] == [2 * len(tone(1))] * 4
        async for _ in voice.speak(replace(clause, speed=1.5)):
            pass
    assert len(engine.calls) == 3


async def test_an_answer_begins_with_a_short_piece_and_figures_are_written_out() -> None:
    engine = Scripted()
    engine.language = "en"
    spoken: list[str] = []

    def synthesize(text: str, *, voice: str | None, speed: float) -> Iterator[Pcm]:
        spoken.append(text)
        yield tone(1)

    engine.synthesize = synthesize  # type: ignore[method-assign]
    text = "It was 20°C at noon, and the wind blew from the north for most of the long day."
    with ModelThread("test") as thread:
        voice = Voice(engine, thread)
        for seq in (0, 1):
            async for _ in voice.speak(Clause(seq, text)):
                pass
    first = "It was 20 degrees Celsius at noon,"
    rest = "and the wind blew from the north for most of the long day."
    assert spoken == [first, rest, f"{first} {rest}"]
