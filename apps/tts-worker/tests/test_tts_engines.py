"""espeak-ng as a real program, and a real client against a small real HTTP server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from antiphon_audio import Pcm, level_dbfs, wav
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime import Remote, engine_names, load_engine
from antiphon_tts.engine import espeak_ng, openai, piper
from antiphon_tts.engine.espeak_voice import EspeakNg
from antiphon_tts.engine.openai_voice import OpenAiSpeech
from antiphon_tts.engine.samples import Samples
from antiphon_tts.settings import TtsSettings

pytestmark = pytest.mark.integration


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_the_engines_are_found_by_name() -> None:
    assert engine_names("antiphon.synthesizers") == ["espeak-ng", "openai", "piper"]
    for name, factory in (("piper", piper), ("espeak-ng", espeak_ng), ("openai", openai)):
        assert load_engine("antiphon.synthesizers", name) is factory


# Samples


def test_samples_come_whole_from_bytes_cut_anywhere() -> None:
    sound = Pcm(np.arange(1000, dtype=np.int16), 22_050)
    data = wav.wrap(sound)
    samples = Samples(rate_hz=None)
    pieces = [samples.push(data[start : start + 7]) for start in range(0, len(data), 7)]
    heard = [piece for piece in pieces if piece is not None]
    assert {piece.rate_hz for piece in heard} == {22_050}
    assert np.array_equal(np.concatenate([piece.samples for piece in heard]), sound.samples)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>no sound here</html>",
        wav.wrap(Pcm.silence(10, 8000)).replace(b"\x01\x00\x01\x00", b"\x01\x00\x02\x00"),
        b"RIFF\x00\x00\x00\x00WAVE" + b"LIST\x00\x00\x01\x00" + bytes(65_536),
    ],
    ids=["html", "stereo", "no samples"],
)
def test_other_bytes_than_16_bit_mono_are_refused(data: bytes) -> None:
    with pytest.raises(EngineError):
        Samples(rate_hz=None).push(data)


def test_sound_without_end_is_refused() -> None:
    samples = Samples(rate_hz=8000)
    for _ in range(300):
        samples.push(bytes(16_000))
    with pytest.raises(EngineError, match="more than 300 s"):
        samples.push(bytes(16_000))


# espeak-ng


def test_espeak_speaks_and_obeys_speed(models: ModelStore) -> None:
    engine = espeak_ng(TtsSettings(), models)
    engine.load()
    text = "The bicycle is red and the house is blue."
    [usual] = engine.synthesize(text, voice=None, speed=1.0)
    [fast] = engine.synthesize(text, voice=None, speed=2.0)
    assert usual.rate_hz == engine.rate_hz
    assert 2000 < usual.duration_ms < 4500
    assert level_dbfs(usual) > -30
    assert 0.4 < fast.duration_ms / usual.duration_ms < 0.7


@pytest.mark.parametrize("text", ["", "...", " - "])
def test_espeak_has_nothing_to_say_without_a_word(text: str) -> None:
    assert list(EspeakNg("en-us").synthesize(text, voice=None, speed=1.0)) == []


@pytest.mark.parametrize(
    "text", ["--version is an option", "-q", "$(reboot) `reboot`", "\ud800 hi"]
)
def test_espeak_takes_text_for_text(text: str) -> None:
    [sound] = EspeakNg("en-us").synthesize(text, voice="--version", speed=1.0)
    assert sound.duration_ms > 200


def test_espeak_missing_or_without_the_voice() -> None:
    with pytest.raises(ConfigError, match="apt-get install espeak-ng"):
        EspeakNg("en-us", program="espeak-ng-is-not-here").load()
    with pytest.raises(EngineError, match="failed"):
        EspeakNg("zz-nowhere").load()


# Piper, as far as it goes without a voice


def test_piper_without_its_voice_says_what_mends_it(models: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        piper(TtsSettings(), models).load()
    with pytest.raises(ConfigError, match="is no file"):
        piper(TtsSettings(voice=str(tmp_path / "none.onnx")), models).load()


@pytest.mark.parametrize("table", ["{", "{}", "[]"])
def test_piper_with_a_broken_voice_is_an_engine_error(
    models: ModelStore, tmp_path: Path, table: str
) -> None:
    weights = tmp_path / "broken.onnx"
    weights.write_bytes(b"not a network")
    weights.with_name("broken.onnx.json").write_text(table)
    with pytest.raises(EngineError, match="fetch it again"):
        piper(TtsSettings(voice=str(weights)), models).load()


# An OpenAI-compatible server

SOUND = Pcm((np.sin(np.arange(24_000) / 10) * 9000).astype(np.int16), 24_000)


class Server(ThreadingHTTPServer):
    """Speaks one second of a tone; the voice's name says what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.requests: list[dict[str, Any]] = []
        self.status = 200
        self.release = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Answer(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append({"path": self.path})
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(
            {**body, "path": self.path, "authorization": self.headers["Authorization"]}
        )
        voice = body["voice"]
        if voice.isdigit():
            self.send_response(int(voice))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if voice == "mute":
            self.server.release.wait(10)
        data = wav.wrap(SOUND) if body["response_format"] == "wav" else SOUND.samples.tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        half = len(data) // 2 + 1
        self._chunk(data[:half])
        if voice == "breaks":
            self.close_connection = True
            return
        if voice == "slow":
            self.server.release.wait(10)
        self._chunk(data[half:])
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as it:
        yield it


def engine_at(server: Server, models: ModelStore, **settings: Any) -> OpenAiSpeech:
    chosen = {"openai_base_url": server.base_url, "openai_timeout_s": 0.3, **settings}
    return openai(TtsSettings(engine="openai", **chosen), models)


async def speak(engine: OpenAiSpeech, voice: str | None = None, speed: float = 1.0) -> list[Pcm]:
    await engine.load()
    try:
        return [piece async for piece in engine.synthesize("Hello.", voice=voice, speed=speed)]
    finally:
        await engine.close()


@pytest.mark.parametrize("sent_as", ["pcm", "wav"])
async def test_the_sound_comes_whole_in_both_formats(
    server: Server, models: ModelStore, sent_as: str
) -> None:
    engine = engine_at(server, models, openai_format=sent_as, openai_api_key="k")
    pieces = await speak(engine, speed=9.0)
    assert len(pieces) > 3
    assert {piece.rate_hz for piece in pieces} == {24_000}
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces]), SOUND.samples)
    assert server.requests == [
        {
            "input": "Hello.",
            "model": "gpt-4o-mini-tts",
            "voice": "alloy",
            "speed": 4.0,
            "response_format": sent_as,
            "path": "/v1/audio/speech",
            "authorization": "Bearer k",
        }
    ]


async def test_the_first_sound_does_not_wait_for_the_last(
    server: Server, models: ModelStore
) -> None:
    engine = engine_at(server, models, openai_timeout_s=5)
    await engine.load()
    pieces = engine.synthesize("Hello.", voice="slow", speed=1.0)
    first = await anext(pieces)
    assert not server.release.is_set()
    server.release.set()
    rest = [piece async for piece in pieces]
    await engine.close()
    assert len(first) + sum(map(len, rest)) == len(SOUND)


@pytest.mark.parametrize(
    ("status", "is_there"), [(200, True), (404, True), (429, False), (503, False)]
)
async def test_a_probe_takes_any_answer_for_a_sign_of_life(
    server: Server, models: ModelStore, status: int, *, is_there: bool
) -> None:
    engine = engine_at(server, models)
    server.status = status
    await engine.load()
    assert isinstance(engine, Remote)
    try:
        await engine.probe()
    except EngineError as error:
        assert error.retryable is not is_there  # noqa: PT017  (some raise, some do not)
    else:
        assert is_there
    finally:
        await engine.close()
    assert server.requests == [{"path": "/v1/models"}]


async def test_the_client_itself_tries_nothing_again(server: Server, models: ModelStore) -> None:
    with pytest.raises(EngineError):
        await speak(engine_at(server, models), voice="503")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("voice", "retryable", "says"),
    [
        ("401", False, "HTTP 401"),
        ("400", False, "HTTP 400"),
        ("429", True, "HTTP 429"),
        ("503", True, "HTTP 503"),
        ("breaks", True, "broke off"),
        ("mute", True, "said nothing for 0.3 s"),
    ],
)
async def test_failures_come_out_as_ours(
    server: Server, models: ModelStore, voice: str, *, retryable: bool, says: str
) -> None:
    with pytest.raises(EngineError, match=says) as caught:
        await speak(engine_at(server, models), voice)
    assert caught.value.retryable is retryable


async def test_a_server_that_is_away_is_said_so(models: ModelStore) -> None:
    with serving() as gone:
        engine = engine_at(gone, models)
    with pytest.raises(EngineError, match="cannot be reached") as caught:
        await speak(engine)
    assert caught.value.retryable
