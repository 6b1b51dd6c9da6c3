"""The openai engine against a real HTTP server, by its real client."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from antiphon_audio import Pcm, wav
from antiphon_contracts import EngineError
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Remote, load_engine
from antiphon_stt import Hints, SttSettings, Transcript
from antiphon_stt.engine import SpeechServer
from pydantic import SecretStr

pytestmark = pytest.mark.integration

SPEECH = Pcm.silence(700, 16_000)
VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 0.7,
    "text": "What time is it?",
    "segments": [
        {
            "id": 0,
            "text": " What time is it?",
            "avg_logprob": -0.2,
            "no_speech_prob": 0.02,
            "compression_ratio": 0.7,
            "tokens": [1, 2, 3],
        }
    ],
}


@dataclass
class Script:
    """What the server answers, and what it was asked."""

    status: int = 200
    body: bytes = json.dumps(VERBOSE).encode()
    content_type: str = "application/json"
    hang: threading.Event | None = None
    failures: int = 0
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    forms: list[dict[str, bytes]] = field(default_factory=list)


def parse_form(content_type: str, body: bytes) -> dict[str, bytes]:
    boundary = content_type.partition("boundary=")[2].encode()
    fields: dict[str, bytes] = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="(\w+)"', head)
        assert name is not None
        fields[name[1].decode()] = value
    return fields


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """A server that follows `script`; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.paths.append(self.path)
            self._answer(script.status)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            script.paths.append(self.path)
            script.keys.append(self.headers["Authorization"])
            script.forms.append(parse_form(self.headers["Content-Type"], body))
            if script.hang is not None:
                script.hang.wait(10)
                return
            fails = len(script.forms) <= script.failures
            self._answer(500 if fails else script.status)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", script.content_type)
            self.send_header("Content-Length", str(len(script.body)))
            self.end_headers()
            self.wfile.write(script.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


async def ask(
    base_url: str, hints: Hints | None = None, *, answer: str = "verbose_json", timeout_s: float = 5
) -> Transcript:
    settings = SttSettings.model_validate(
        {
            "openai_base_url": base_url,
            "openai_api_key": SecretStr("sesame"),
            "openai_model": "whisper-x",
            "openai_format": answer,
            "openai_timeout_s": timeout_s,
        }
    )
    factory = load_engine("antiphon.transcribers", "openai")
    engine = factory(settings, ModelStore(default_root()))
    assert isinstance(engine, SpeechServer)
    engine.load()
    try:
        return await engine.transcribe(SPEECH, hints or Hints())
    finally:
        await engine.close()


async def test_the_speech_goes_out_as_wav_and_the_transcript_comes_back() -> None:
    script = Script()
    with serving(script) as base_url:
        transcript = await ask(base_url, Hints("en", "Ada, Grace"))
    assert (transcript.text, transcript.language) == ("What time is it?", "en")
    assert transcript.confidence == pytest.approx(0.8187, abs=1e-3)
    assert transcript.segments[0].no_speech_prob == 0.02
    assert transcript.segments[0].tokens == 3
    (form,) = script.forms
    assert wav.unwrap(form.pop("file")) == SPEECH
    assert form == {
        "model": b"whisper-x",
        "response_format": b"verbose_json",
        "language": b"en",
        "prompt": b"Ada, Grace",
        "temperature": b"0.0",
    }
    assert script.paths == ["/v1/audio/transcriptions"]
    assert script.keys == ["Bearer sesame"]


async def test_servers_that_know_only_the_text_will_do() -> None:
    script = Script(body=b'{"text": "Guten Tag", "logprobs": null}')
    with serving(script) as base_url:
        transcript = await ask(base_url, Hints("de"), answer="json")
    assert (transcript.text, transcript.language) == ("Guten Tag", "de")
    assert transcript.confidence == 0.0
    assert script.forms[0]["response_format"] == b"json"


async def test_what_is_not_hinted_is_not_sent() -> None:
    script = Script()
    with serving(script) as base_url:
        await ask(base_url)
    assert not {"language", "prompt"} & script.forms[0].keys()


@pytest.mark.parametrize(
    ("status", "is_retryable", "words"),
    [
        (400, False, "HTTP 400"),
        (401, False, "ANTIPHON_STT_OPENAI_API_KEY"),
        (403, False, "ANTIPHON_STT_OPENAI_API_KEY"),
        (404, False, "ANTIPHON_STT_OPENAI_MODEL"),
        (413, False, "HTTP 413"),
        (429, True, "too much to do"),
        (500, True, "trouble"),
        (503, True, "trouble"),
    ],
)
async def test_what_the_server_refuses_is_an_engine_error(
    status: int, words: str, *, is_retryable: bool
) -> None:
    script = Script(status=status, body=b'{"error": {"message": "the secret words"}}')
    with serving(script) as base_url, pytest.raises(EngineError, match=words) as raised:
        await ask(base_url)
    assert raised.value.retryable is is_retryable
    assert "secret" not in str(raised.value)
    assert "sesame" not in str(raised.value)


async def test_the_client_itself_tries_nothing_again() -> None:
    script = Script(failures=1)
    with serving(script) as base_url, pytest.raises(EngineError):
        await ask(base_url)
    assert len(script.forms) == 1


@pytest.mark.parametrize(
    ("status", "is_there"), [(200, True), (401, True), (404, True), (429, False), (503, False)]
)
async def test_a_probe_takes_any_answer_for_a_sign_of_life(status: int, *, is_there: bool) -> None:
    script = Script(status=status, body=b"<html>", content_type="text/html")
    with serving(script) as base_url:
        engine = SpeechServer(
            base_url=base_url, api_key="", model="m", is_verbose=True, timeout_s=1
        )
        engine.load()
        assert isinstance(engine, Remote)
        try:
            await engine.probe()
        except EngineError as error:
            assert error.retryable is not is_there  # noqa: PT017  (some raise, some do not)
        else:
            assert is_there
        finally:
            await engine.close()
    assert script.paths == ["/v1/models"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"text": null}', "application/json"),
        (b'{"text": "x", "segments": [{"avg_logprob": "high"}]}', "application/json"),
        (b"<html>Welcome</html>", "text/html"),
        (b"\xff\xfe", "application/json"),
    ],
)
async def test_an_answer_that_is_no_transcript_is_an_engine_error(
    body: bytes, content_type: str
) -> None:
    script = Script(body=body, content_type=content_type)
    with serving(script) as base_url, pytest.raises(EngineError, match="no transcript"):
        await ask(base_url)


async def test_a_server_that_hangs_is_left_in_time() -> None:
    script = Script(hang=threading.Event())
    assert script.hang is not None
    with serving(script) as base_url:
        with pytest.raises(EngineError) as raised:
            await ask(base_url, timeout_s=0.2)
        script.hang.set()
    assert raised.value.retryable


async def test_no_server_at_all_is_an_engine_error() -> None:
    with serving(Script()) as base_url:
        pass
    with pytest.raises(EngineError, match="cannot be reached") as raised:
        await ask(base_url)
    assert raised.value.retryable


async def test_an_engine_that_was_not_loaded_says_so() -> None:
    server = SpeechServer(base_url="http://x", api_key="", model="m", is_verbose=True, timeout_s=1)
    with pytest.raises(EngineError, match="not loaded"):
        await server.transcribe(SPEECH, Hints())
    await server.close()
