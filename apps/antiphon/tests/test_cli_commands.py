"""Every command used wrongly: one clear sentence, an exit code, no traceback."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest
import structlog
from antiphon import doctor, talking, transcription, weights
from antiphon.doctor import Finding
from antiphon.main import app, main
from antiphon_audio import Pcm, wav
from antiphon_contracts import HEALTH, Health, encode
from antiphon_runtime import Bus, PublishOptions, RuntimeSettings, stack_file
from antiphon_runtime.testing import MemoryBroker
from typer.testing import CliRunner

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it wrote, spaces and line ends as one space."""

    code: int
    out: str
    complaint: str


Command = Callable[..., Outcome]


@pytest.fixture
def antiphon(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `antiphon …` in this process, just as the installed script does."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["antiphon", *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            structlog.reset_defaults()
            structlog.contextvars.clear_contextvars()
        captured = capfd.readouterr()
        return Outcome(code, captured.out, " ".join(captured.err.split()))

    return run


COMMANDS = (
    (),
    ("up",),
    ("demo",),
    ("ask",),
    ("say",),
    ("pub",),
    ("transcribe",),
    ("status",),
    ("doctor",),
    ("install-service",),
    ("version",),
    ("dead",),
    ("dead", "list"),
    ("dead", "show"),
    ("dead", "retry"),
    ("dead", "drop"),
    ("history",),
    ("history", "list"),
    ("history", "show"),
    ("history", "search"),
    ("history", "export"),
    ("history", "delete"),
    ("knowledge",),
    ("knowledge", "add"),
    ("knowledge", "list"),
    ("knowledge", "search"),
    ("knowledge", "remove"),
    ("knowledge", "refresh"),
    ("models",),
    ("models", "list"),
    ("models", "fetch"),
    ("models", "verify"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_in_whole_lines(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    _usage, *explained = result.output.splitlines()
    assert any(explained)
    assert not [line for line in explained if line.endswith("...")]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("nonsense",), 2, "No such command 'nonsense'"),
        (("ask",), 2, "exactly one of"),
        (("ask", "hello", "--mic"), 2, "exactly one of"),
        (("ask", "hello", "--wav", "q.wav"), 2, "exactly one of"),
        (("ask", "  "), 2, "the question is empty"),
        (("ask", "two", "words"), 2, "unexpected extra argument"),
        (("ask", "hi"), 78, "start it with `antiphon up`"),
        (("ask", "hi", "--broker", "http://ada:hunter2@x"), 78, "a broker address looks like"),
        (("ask", "hi", "--broker", "mqtt://ada:hunter2@127.0.0.1:9"), 1, "no MQTT broker answers"),
        (("ask", "--wav", "missing.wav"), 78, "cannot be read"),
        (("ask", "--wav", "missing.wav", "--broker", "mqtt://h"), 78, "missing.wav cannot be read"),
        (("ask", "--wav", ".", "--broker", "mqtt://h"), 78, "cannot be read: Is a directory"),
        (("ask", "hi", "--site", "a/b", "--broker", "mqtt://h"), 1, "site must be one topic level"),
        (("say",), 2, "Missing argument"),
        (("say", " "), 2, "nothing to say"),
        (("say", "hi"), 78, "start it with `antiphon up`"),
        (("say", "hi", "--broker", "mqtt://127.0.0.1:9"), 1, "no MQTT broker answers"),
        (("knowledge", "add"), 2, "Missing argument"),
        (("knowledge", "add", "-"), 2, "--title TITLE"),
        (("knowledge", "add", "a.txt", "b.txt", "--title", "x"), 2, "for a single document"),
        (("knowledge", "add", "missing.txt"), 78, "missing.txt is no file, no folder"),
        (("knowledge", "add", "."), 78, "there is nothing to read in .: no file of .docx"),
        (("knowledge", "add", "http://example.org"), 78, "start it with `antiphon up`"),
        (("knowledge", "search", " "), 2, "the question is empty"),
        (("knowledge", "list"), 78, "start it with `antiphon up`"),
        (("knowledge", "remove"), 2, "Missing argument"),
        (("pub", "ask"), 2, "Missing argument"),
        (("pub", "a/+/b", "x", "--broker", "mqtt://h"), 78, "no topic to publish to"),
        (("pub", "", "x", "--broker", "mqtt://h"), 78, "no topic to publish to"),
        (("pub", "{site}", "x", "--broker", "mqtt://h"), 78, "no topic to publish to"),
        (("pub", "ask", "hi"), 78, "start it with `antiphon up`"),
        (("transcribe",), 2, "Missing argument"),
        (("transcribe", "missing.wav"), 78, "missing.wav cannot be read"),
        (("status",), 78, "start it with `antiphon up`"),
        (("status", "--broker", "mqtt://127.0.0.1:9"), 1, "no MQTT broker answers"),
        (("status", "--broker", "127.0.0.1"), 78, "a broker address looks like"),
        (("up", "--broker", "nonsense"), 78, "a broker address looks like"),
        (("up", "--port", "0"), 2, "--port"),
        (("up", "--port", "many"), 2, "--port"),
        (("up", "--broker-kind", "kafka"), 2, "kafka"),
        (("up", "--without", "cook"), 78, "there is no worker 'cook'; there are: llm, memory"),
        (("up", "--broker", "mqtt://h", "--port", "1883"), 78, "leave out one side"),
        (("history", "list"), 78, "start it with `antiphon up`"),
        (("history", "list", "--limit", "0"), 2, "--limit"),
        (("history", "show", "x", "--site", "hall"), 2, "a session or a site, not both"),
        (("history", "search"), 2, "Missing argument"),
        (("history", "search", " "), 2, "no word to search for"),
        (("history", "search", "x" * 1001), 2, "too long to search for"),
        (("history", "export", "x", "--site", "hall"), 2, "sessions or a site, not both"),
        (("history", "export", "--format", "xml"), 2, "xml"),
        (("history", "delete"), 2, "name the sessions"),
        (("history", "delete", "x", "--all"), 2, "name the sessions"),
        (("history", "delete", *map(str, range(1001))), 2, "at most 1000 sessions"),
        (("models", "fetch"), 2, "name the weights to fetch"),
        (("models", "fetch", "gigantic"), 78, "gigantic"),
        (("models", "verify", "gigantic"), 78, "gigantic"),
        (("models", "burn"), 2, "No such command 'burn'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_use_is_answered_with_one_sentence(
    antiphon: Command,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setattr(talking, "CONNECT_TIMEOUT_S", 0.3)
    outcome = antiphon(*arguments)
    assert outcome.code == code, outcome
    assert sentence in outcome.complaint
    assert outcome.out == ""
    assert "Traceback" not in outcome.complaint
    assert "hunter2" not in outcome.complaint
    if code != 2:
        assert outcome.complaint.startswith("antiphon: ")
        assert outcome.complaint.count("antiphon: ") == 1


def test_wrong_settings_are_a_sentence_for_every_command(
    antiphon: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_PORT", "hunter2")
    for arguments in (("status",), ("ask", "hi"), ("up",), ("models", "list"), ("demo",)):
        outcome = antiphon(*arguments)
        assert outcome.code == 78
        assert "wrong setting in [antiphon]" in outcome.complaint
        assert "hunter2" not in outcome.complaint


def test_a_file_that_is_no_sound_is_named_and_the_others_are_transcribed(
    antiphon: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("this is no sound")
    wav.write(tmp_path / "quiet.wav", Pcm(np.zeros(16_000, np.int16), 16_000))
    monkeypatch.setattr(weights, "hearing_models", list)
    monkeypatch.setattr(transcription, "load_engine", lambda *_names: lambda *_made: Deaf())
    outcome = antiphon("transcribe", "text.wav", "quiet.wav")
    assert outcome.code == 1
    assert "text.wav: " in outcome.complaint
    assert "Traceback" not in outcome.complaint
    assert [line.partition("\t")[0] for line in outcome.out.splitlines()] == [
        "text.wav",
        "quiet.wav",
    ]


class Deaf:
    """A transcriber that is never needed: nothing here is speech."""

    name = "deaf"

    def load(self) -> None:
        return

    def close(self) -> None:
        return

    def transcribe(self, *_sound: object, **_how: object) -> object:
        raise AssertionError("silence was transcribed")


# A port, a stack, and folders that are taken


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_named(
    antiphon: Command, monkeypatch: pytest.MonkeyPatch, taken_port: int
) -> None:
    monkeypatch.setattr(weights, "needed_models", list)
    outcome = antiphon("up", "--port", str(taken_port))
    assert outcome.code == 78
    assert str(taken_port) in outcome.complaint
    assert "Traceback" not in outcome.complaint


def test_a_second_up_says_who_runs_already(antiphon: Command) -> None:
    with stack_file.claim(stack_file.default_path()):
        outcome = antiphon("up")
    assert outcome.code == 78
    assert f"already running (pid {os.getpid()})" in outcome.complaint


def test_a_folder_for_the_demo_that_cannot_be_made_is_named(
    antiphon: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    outcome = antiphon("demo", "--out", "file")
    assert outcome.code == 78
    assert "file cannot be made: File exists; name another folder with --out" in outcome.complaint


# The doctor's verdict


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("note", 0), ("wrong", 1)])
def test_the_doctor_s_exit_code_says_whether_anything_is_wrong(
    antiphon: Command, monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    async def examine(_broker: str | None) -> list[Finding]:
        return [Finding("disk", verdict, "[full] of things", "df -h /")]  # type: ignore[arg-type]

    monkeypatch.setattr(doctor, "examine", examine)
    as_text, as_json = antiphon("doctor"), antiphon("doctor", "--json")
    assert (as_text.code, as_json.code) == (code, code)
    assert "disk: [full] of things" in as_text.out
    assert "→ df -h /" in as_text.out
    assert orjson.loads(as_json.out)[0]["verdict"] == verdict


# On a stack in memory


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """Whatever address is named, the command finds an empty broker in memory."""
    broker = MemoryBroker()

    def bus(_settings: RuntimeSettings) -> Bus:
        return Bus(broker.transport(), source="cli")

    monkeypatch.setattr(talking, "client_bus", bus)
    monkeypatch.setattr(talking, "FIRST_HEALTH_S", 0.01)
    monkeypatch.setattr(talking, "ALL_HEALTH_S", 0.01)
    return broker


HERE = ("--broker", "mqtt://h")


def keep(broker: MemoryBroker, health: Health) -> None:
    """Have the broker know a worker's health before the command comes."""
    message = HEALTH.message(health, source=health.worker)
    path = f"antiphon/{HEALTH.at(worker=health.worker)}"
    broker.take(path, encode(message), PublishOptions(qos=1, retain=True))


def test_status_of_an_empty_broker_says_how_to_start_workers(
    antiphon: Command, stack: MemoryBroker
) -> None:
    outcome = antiphon("status", *HERE)
    assert outcome.code == 1
    assert outcome.complaint == "antiphon: no worker is there: start them with `antiphon up`"
    assert orjson.loads(antiphon("status", "--json", *HERE).out) == {}


def test_status_shows_who_is_there(antiphon: Command, stack: MemoryBroker) -> None:
    keep(stack, Health(worker="stt-1", kind="stt", state="degraded", notes=("no VAD",)))
    as_text, as_json = antiphon("status", *HERE), antiphon("status", "--json", *HERE)
    assert (as_text.code, as_json.code) == (0, 0)
    assert "stt-1: no VAD" in as_text.out
    assert orjson.loads(as_json.out)["stt-1"]["state"] == "degraded"
