"""Piper with its real voice, alone and as a worker process on a real broker."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, level_dbfs, wav
from antiphon_contracts import (
    AUDIO_OUT,
    HEALTH,
    TTS_CANCEL,
    TTS_SAY,
    TTS_STATUS,
    EngineError,
    Health,
    Message,
    TtsCancel,
    TtsSay,
    TtsStatus,
)
from antiphon_models import ModelStore, default_root
from antiphon_runtime import (
    BrokerOptions,
    Bus,
    PahoTransport,
    RawMessage,
    listen,
    listen_raw,
)
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.testing.house import Heard
from antiphon_tts.engine.piper_voice import Piper

pytestmark = pytest.mark.e2e

VOICE = "en_US-joe-medium"
SENTENCE = "The old bicycle in the garden is red, and it belongs to my brother. "
READY_S = 60.0


@pytest.fixture(scope="module")
def spoken_by() -> Piper:
    engine = Piper(VOICE, ModelStore(default_root()))
    engine.load()
    return engine


def joined(pieces: Iterator[Pcm]) -> Pcm:
    found = list(pieces)
    return Pcm(np.concatenate([piece.samples for piece in found]), found[0].rate_hz)


def test_piper_speaks_a_piece_for_each_sentence(spoken_by: Piper) -> None:
    pieces = list(spoken_by.synthesize("It is ten. My bicycle is red.", voice=None, speed=1.0))
    assert len(pieces) == 2
    assert all(piece.rate_hz == spoken_by.rate_hz == 22_050 for piece in pieces)
    assert all(level_dbfs(piece) > -30 for piece in pieces)


def test_piper_obeys_speed(spoken_by: Piper) -> None:
    usual = joined(spoken_by.synthesize(SENTENCE, voice=None, speed=1.0))
    fast = joined(spoken_by.synthesize(SENTENCE, voice=None, speed=2.0))
    # Each synthesis has pauses of its own (0.65 was seen).
    assert 0.4 < fast.duration_ms / usual.duration_ms < 0.8


def test_piper_can_be_interrupted_in_the_middle_of_a_sentence(spoken_by: Piper) -> None:
    spoken_by.interrupt()  # nothing is made now: nothing happens
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(
            lambda: joined(spoken_by.synthesize(SENTENCE * 3, voice=None, speed=1))
        )
        while not made.done():
            spoken_by.interrupt()
            time.sleep(0.005)
        with pytest.raises(EngineError):
            made.result()
    assert len(joined(spoken_by.synthesize("Yes.", voice=None, speed=1.0)))


@pytest.mark.parametrize("text", ["", "...", " ", "—"])
def test_piper_has_nothing_to_say_without_a_word(spoken_by: Piper, text: str) -> None:
    assert list(spoken_by.synthesize(text, voice=None, speed=1.0)) == []


@pytest.mark.parametrize("voice", ["/etc/passwd", "../..", "en_GB-nobody-medium"])
def test_piper_speaks_for_a_voice_that_is_not_there(spoken_by: Piper, voice: str) -> None:
    assert list(spoken_by.synthesize("Yes.", voice=voice, speed=1.0))


def test_piper_takes_another_installed_voice_and_a_path(tmp_path: Path) -> None:
    source = ModelStore(default_root()).path(f"piper-{VOICE}") / f"{VOICE}.onnx"
    for name in (VOICE, "en_GB-joe-medium"):
        folder = tmp_path / f"piper-{name}"
        folder.mkdir()
        for suffix in ("", ".json"):
            (folder / f"{name}.onnx{suffix}").symlink_to(f"{source}{suffix}")
    engine = Piper(str(source), ModelStore(tmp_path))
    engine.load()
    assert engine.name == f"piper {VOICE}"
    assert list(engine.synthesize("Yes.", voice="en_GB-joe-medium", speed=1.0))


def test_a_cut_off_voice_is_an_engine_error(tmp_path: Path) -> None:
    source = ModelStore(default_root()).path(f"piper-{VOICE}") / f"{VOICE}.onnx"
    weights = tmp_path / source.name
    weights.write_bytes(source.read_bytes()[:1_000_000])
    shutil.copy(f"{source}.json", f"{weights}.json")
    with pytest.raises(EngineError, match="fetch it again"):
        Piper(str(weights), ModelStore(tmp_path)).load()


# As a process


class Client:
    """What a router and a satellite hear of the worker."""

    def __init__(self, bus: Bus, audio: Heard, status: Heard, health: Heard) -> None:
        self.bus, self.audio, self.status, self.health = bus, audio, status, health

    def say(self, utterance_id: str, seq: int, text: str, *, last: bool = False) -> None:
        self.bus.publish(
            TTS_SAY, TtsSay(utterance_id=utterance_id, seq=seq, text=text, last=last), turn_id="t"
        )

    def frames(self, utterance_id: str) -> list[bytes]:
        return [m.payload for m in self.audio if m.slots["utterance"] == utterance_id]

    def sound(self, utterance_id: str) -> Pcm:
        frames = self.frames(utterance_id)
        assert frames[-1] == b""
        assert b"" not in frames[:-1]
        return joined(wav.unwrap(frame) for frame in frames[:-1])

    async def end(self, utterance_id: str, timeout_s: float = 30.0) -> TtsStatus:
        await self.audio.until(
            lambda heard: any(
                not m.payload and m.slots["utterance"] == utterance_id for m in heard
            ),
            timeout_s,
        )
        ends: list[TtsStatus] = []

        def ended(heard: Heard) -> bool:
            ends[:] = [
                m.data
                for m in heard
                if m.data.utterance_id == utterance_id and m.data.state != "started"
            ]
            return bool(ends)

        await self.status.until(ended)
        return ends[0]


@asynccontextmanager
async def client(broker: EmbeddedBroker) -> AsyncIterator[Client]:
    audio, status, health = Heard(), Heard(), Heard()

    async def on_audio(message: RawMessage) -> None:
        audio.add(message)

    async def on_status(message: Message[TtsStatus]) -> None:
        status.add(message)

    async def on_health(message: Message[Health]) -> None:
        health.add(message)

    at = broker.address
    options = BrokerOptions(
        host=at.host, port=at.port, username=at.username, password=at.password, client_id="ear"
    )
    bus = Bus(PahoTransport(options), source="ear")
    bus.install(
        [
            # As large as a modest satellite's: the worker must not flood it.
            listen_raw(AUDIO_OUT, on_audio, queue_limit=64),
            listen(TTS_STATUS, on_status),
            listen(HEALTH, on_health),
        ]
    )
    async with bus.open(), bus.handling(drain_s=0):
        await bus.wait_connected(10)
        yield Client(bus, audio, status, health)


@asynccontextmanager
async def worker(
    broker: EmbeddedBroker, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    at = broker.address
    environment = {
        **os.environ,
        "ANTIPHON_HOST": at.host,
        "ANTIPHON_PORT": str(at.port),
        "ANTIPHON_USERNAME": at.username,
        "ANTIPHON_PASSWORD": at.password,
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "antiphon_tts", env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_ready(ear: Client) -> Health:
    await ear.health.until(
        lambda heard: any(m.data.state in {"ready", "degraded"} for m in heard), READY_S
    )
    latest: Health = ear.health[-1].data
    return latest


async def test_a_worker_speaks_survives_garbage_cancels_and_ends(tmp_path: Path) -> None:
    async with (
        embedded_broker(tmp_path) as broker,
        client(broker) as ear,
        worker(broker) as process,
    ):
        health = await until_ready(ear)
        assert (health.state, health.engine) == ("ready", f"piper {VOICE}")

        ear.say("u1", 1, "It is red.", last=True)
        ear.say("u1", 0, "Here is what I know about your bicycle.")
        end = await ear.end("u1")
        sound = ear.sound("u1")
        assert end.state == "synthesised"
        assert end.first_audio_ms is not None
        assert end.first_audio_ms < 1500
        assert abs(end.audio_ms - sound.duration_ms) < 2
        assert 2000 < sound.duration_ms < 5000
        assert level_dbfs(sound) > -30
        assert {m.turn_id for m in ear.status} == {"t"}

        for garbage in (b"", b"not json", b"[]", b'{"id": "x", "type": "tts.say/1"}', bytes(99)):
            ear.bus.publish_raw(TTS_SAY, garbage)
        ear.say("u2", 0, "...", last=True)
        assert (await ear.end("u2")).audio_ms == 0
        assert ear.frames("u2") == [b""]

        for seq in range(30):
            ear.say("u3", seq, SENTENCE)
        await ear.audio.until(lambda _: bool(ear.frames("u3")))
        ear.bus.publish(TTS_CANCEL, TtsCancel(utterance_id="u3"))
        end = await ear.end("u3")
        assert end.state == "cancelled"
        assert end.audio_ms < 60_000

        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await process.wait() == 0
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("nodelay", [True, False], ids=["ours", "stock"])
async def test_a_long_answer_arrives_complete(tmp_path: Path, *, nodelay: bool) -> None:
    async with (
        embedded_broker(tmp_path, kind="mosquitto", nodelay=nodelay) as broker,
        client(broker) as ear,
        worker(broker),
    ):
        await until_ready(ear)
        clauses = 16
        for seq in range(clauses):
            ear.say("long", seq, SENTENCE, last=seq == clauses - 1)
        end = await ear.end("long", 60)
        assert end.state == "synthesised"
        assert end.audio_ms > 60_000
        assert abs(ear.sound("long").duration_ms - end.audio_ms) < 1


async def test_espeak_speaks_where_the_voice_is_missing(tmp_path: Path) -> None:
    async with (
        embedded_broker(tmp_path / "broker") as broker,
        client(broker) as ear,
        worker(broker, ANTIPHON_MODELS_DIR=str(tmp_path / "none")),
    ):
        health = await until_ready(ear)
        assert (health.state, health.engine) == ("degraded", "espeak-ng en-us")
        [note] = health.notes
        assert note.startswith("Piper is not available (")
        ear.say("u1", 0, "It is red.", last=True)
        assert (await ear.end("u1")).state == "synthesised"
        assert level_dbfs(ear.sound("u1")) > -30
