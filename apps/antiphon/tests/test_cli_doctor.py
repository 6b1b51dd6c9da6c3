"""The doctor: each check finds what is wrong and names the command that mends it."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from antiphon import chat_server, doctor, installation
from antiphon.doctor import Finding
from antiphon.house import HouseWatch
from antiphon_contracts import Health, Message, SiteStatus
from antiphon_llm.settings import LlmSettings
from antiphon_models import ModelStore
from antiphon_models.testing import TINY, FakeRegistry
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_runtime.testing.openai_server import Body, Failure, Hang, OpenAiServer, Text
from pydantic import SecretStr

pytestmark = pytest.mark.unit


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


# Weights


def test_missing_weights_are_wrong_and_the_command_fetches_them(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    finding = only(doctor.models(store, ["minilm-l6-v2-int8"]))
    assert finding.verdict == "wrong"
    assert "is missing" in finding.detail
    assert finding.remedy == "antiphon models fetch minilm-l6-v2-int8"


def test_broken_weights_are_wrong_whole_ones_are_not(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, downloader=FakeRegistry(), catalogue={"tiny": TINY})
    folder = store.fetch("tiny")
    assert only(doctor.models(store, ["tiny"])).verdict == "ok"
    (folder / "config.json").write_bytes(b'{"layers": 3}')
    finding = only(doctor.models(store, ["tiny"]))
    assert finding.verdict == "wrong"
    assert "config.json" in finding.detail
    assert finding.remedy == "antiphon models fetch tiny"


# MCP servers


def test_a_wrong_tools_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tools.toml"
    assert list(doctor.tools(path)) == []
    path.write_text("[servers.git]\ncommand = 'git'\nspeed = 3\n")
    finding = only(doctor.tools(path))
    assert finding.verdict == "wrong"
    assert "line 3: servers.git.speed" in finding.detail


def test_what_an_mcp_server_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tools.toml"
    path.write_text(
        "[servers.a]\ncommand = 'no-such-program'\n"
        "[servers.b]\nurl = 'http://127.0.0.1:9/'\nheaders.X = {env = 'NO_SUCH_VARIABLE'}\n"
        f"[servers.c]\ncommand = '{sys.executable}'\n"
        "[servers.d]\ncommand = 'no-such-program'\nenabled = false\n"
    )
    findings = list(doctor.tools(path))
    assert [finding.verdict for finding in findings] == ["wrong", "wrong"]
    assert "the MCP server a cannot run: there is no program no-such-program" in findings[0].detail
    assert "the MCP server b cannot run: the environment variable NO_SUCH" in findings[1].detail
    path.write_text(f"[servers.c]\ncommand = '{sys.executable}'\n")
    assert only(doctor.tools(path)).verdict == "ok"


# Disk

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  (as shutil's)


def folders(tmp_path: Path) -> RuntimeSettings:
    return load_settings(
        RuntimeSettings, data_dir=tmp_path / "data", models_dir=tmp_path / "models"
    )


def test_folders_with_room_are_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, 5 * 1024**3))
    findings = list(doctor.disk(folders(tmp_path)))
    assert [finding.verdict for finding in findings] == ["ok", "ok"]
    assert "5.0 GiB free" in findings[0].detail
    assert list((tmp_path / "data").iterdir()) == []  # nothing is left behind


def test_a_full_disk_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, 1024**3 // 2))
    for finding in doctor.disk(folders(tmp_path)):
        assert finding.verdict == "wrong"
        assert finding.remedy.startswith("df -h ")


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")
    data, models = doctor.disk(folders(tmp_path))
    assert data.verdict == "wrong"
    assert "ANTIPHON_DATA_DIR" in data.remedy
    assert models.verdict in {"ok", "wrong"}
    assert str(tmp_path / "models") in models.detail


# Programmes


def without_programmes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "find_mosquitto", lambda: None)


def test_without_mosquitto_and_espeak_it_works_with_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_programmes(monkeypatch, tmp_path)
    broker, espeak = doctor.programmes()
    assert (broker.verdict, espeak.verdict) == ("note", "note")
    assert "mosquitto" in broker.remedy
    assert "espeak-ng" in espeak.remedy


def test_espeak_is_needed_if_the_settings_name_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_programmes(monkeypatch, tmp_path)
    monkeypatch.setenv("ANTIPHON_TTS_ENGINE", "espeak-ng")
    _, espeak = doctor.programmes()
    assert espeak.verdict == "wrong"
    assert "espeak-ng" in espeak.remedy


@pytest.mark.parametrize(
    ("manager", "package", "command"),
    [
        ("apt", "libportaudio2", "apt install libportaudio2"),
        ("dnf", "libportaudio2", "dnf install portaudio"),
        ("dnf", "mosquitto", "dnf install mosquitto"),
        ("none", "mosquitto", "install mosquitto with your system's package manager"),
    ],
)
def test_the_command_is_that_of_this_machine_s_package_manager(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manager: str, package: str, command: str
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    programme = tmp_path / manager
    programme.write_text("#!/bin/sh\n")
    programme.chmod(0o755)
    assert installation.system_package(package).removeprefix("sudo ") == command


# Extras


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    def find_spec(name: str) -> object | None:
        return None if name in missing else object()

    monkeypatch.setattr(installation, "find_spec", find_spec)


def test_all_extras_there_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "sentence_transformers")
    assert only(doctor.extras()).verdict == "ok"


def test_a_missing_extra_in_use_is_wrong_and_pip_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "faster_whisper", "sentence_transformers")
    finding = only(doctor.extras())
    assert finding.verdict == "wrong"
    assert "'stt'" in finding.detail
    assert finding.remedy.startswith(sys.executable)
    assert "pip install" in finding.remedy
    assert "[stt]" in finding.remedy


def test_a_missing_extra_that_is_not_in_use_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_TTS_ENGINE", "espeak-ng")
    without(monkeypatch, "piper", "sentence_transformers")
    finding = only(doctor.extras())
    assert (finding.verdict, finding.remedy) == ("note", "")


def test_sentence_transformers_count_only_where_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTIPHON_MEMORY_ENGINE", "sentence-transformers")
    without(monkeypatch, "sentence_transformers")
    finding = only(doctor.extras())
    assert finding.verdict == "wrong"
    assert "[st]" in finding.remedy


@pytest.mark.parametrize(
    ("extra", "library", "variable", "value"),
    [
        ("aec", "pywebrtc_audio", "ANTIPHON_SATELLITE_ECHO", "webrtc"),
        ("voyage", "voyageai", "ANTIPHON_MEMORY_ENGINE", "voyage"),
        ("milvus", "pymilvus", "ANTIPHON_MEMORY_STORE", "milvus"),
        ("postgres", "asyncpg", "ANTIPHON_MEMORY_STORE", "postgresql"),
        ("redis", "redis", "ANTIPHON_MEMORY_HISTORY_STORE", "redis"),
        ("hub", "huggingface_hub", "ANTIPHON_STT_MODEL", "someone/whisper-small"),
    ],
)
def test_an_extra_is_needed_where_the_settings_name_what_it_brings(
    monkeypatch: pytest.MonkeyPatch, extra: str, library: str, variable: str, value: str
) -> None:
    without(monkeypatch, library)
    assert {finding.verdict for finding in doctor.extras()} <= {"ok", "note"}
    monkeypatch.setenv(variable, value)
    finding = only(doctor.extras())
    assert finding.verdict == "wrong"
    assert f"[{extra}]" in finding.remedy


def test_a_secured_house_needs_what_makes_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, "cryptography")
    assert only(doctor.extras()).verdict == "note"
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path))
    (tmp_path / "secure").mkdir()
    finding = only(doctor.extras())
    assert (finding.verdict, "[secure]" in finding.remedy) == ("wrong", True)


def test_metrics_are_a_command_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "prometheus_client")
    finding = only(doctor.extras())
    assert (finding.verdict, finding.remedy) == ("note", "")


def test_every_extra_is_known() -> None:
    declared = set(metadata.metadata("antiphon").get_all("Provides-Extra") or ())
    assert declared - set(installation.EXTRAS) == {"audio", "all", "dev"}


# Microphones


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ANTIPHON_SATELLITE_STREAM", "true", ""),
        ("ANTIPHON_SATELLITE_STREAM", "false", "stream = false"),
        ("ANTIPHON_SATELLITE_MICROPHONE", "null", 'microphone = "null"'),
    ],
)
def test_a_microphone_for_push_to_talk_alone_is_noted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    found = list(doctor.listening())
    assert [finding.verdict for finding in found] == (["note"] if said else [])
    assert all(said in finding.detail for finding in found)


async def test_microphones_that_stream_are_told_from_those_that_do_not() -> None:
    microphones = doctor.Microphones()
    for site, status in (
        ("den", SiteStatus(streaming=True)),
        ("hall", SiteStatus(streaming=False)),
        ("loft", SiteStatus(streaming=False, muted=True)),
        ("shed", SiteStatus(streaming=True)),
    ):
        message = Message(status, type="site.status/1", site_id=site, source=f"satellite-{site}")
        await microphones.on_status(message)
    watch = HouseWatch()
    gone = Health(worker="satellite-shed", kind="satellite", state="gone")
    await watch.on_health(Message(gone, type="health/1"))
    den, hall, loft = microphones.findings(watch)
    assert (den.verdict, hall.verdict, loft.verdict) == ("ok", "note", "note")
    assert "'den' streams" in den.detail
    assert "'hall' does not stream" in hall.detail
    assert loft.remedy == "antiphon unmute"


# Settings


async def test_wrong_settings_are_all_named_and_nothing_else_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTIPHON_TTS_ENGINE", "")
    monkeypatch.setenv("ANTIPHON_STT_THREADS", "many")
    (tmp_path / "antiphon.toml").write_text("[lllm]\nprovider = 'auto'\n[llm]\ncolour = 'red'\n")
    findings = await doctor.examine(None)
    wrong = [finding for finding in findings if finding.verdict == "wrong"]
    assert {finding.what for finding in wrong} == {"settings"}
    said = " ".join(finding.detail for finding in wrong)
    for part in ("threads", "[lllm]", "colour"):
        assert part in said
    assert all("antiphon.toml" in finding.remedy for finding in wrong)
    assert {finding.what for finding in findings} == {"python", "settings"}


async def test_a_file_that_is_no_toml_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text("[llm\n")
    wrong = only(f for f in await doctor.examine(None) if f.verdict == "wrong")
    assert "antiphon.toml cannot be read" in wrong.detail


# The language model's server


def served(base_url: str = "", **changes: object) -> LlmSettings:
    return load_settings(LlmSettings, base_url=base_url, **changes)


async def test_a_server_that_answers_is_well() -> None:
    async with OpenAiServer([Text(("Hello.",))]) as server:
        finding = await doctor.language_model(served(server.base_url, model="qwen"))
    assert finding.verdict == "ok"
    assert "qwen" in finding.detail


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Failure(401), "refused the key"),
        (Failure(404), "no model 'qwen'"),
        (Failure(503), "HTTP 503"),
        (Body(b"<html>", "text/html"), ""),
    ],
)
async def test_a_server_that_refuses_is_wrong_and_there_is_a_way_without_it(
    reply: Failure | Body, said: str
) -> None:
    async with OpenAiServer([reply]) as server:
        finding = await doctor.language_model(
            served(server.base_url, model="qwen", api_key=SecretStr("hunter2"))
        )
    assert finding.verdict == "wrong"
    assert said in finding.detail
    assert "hunter2" not in finding.detail
    assert finding.remedy == "ANTIPHON_LLM_PROVIDER=embedded antiphon up"


async def test_nobody_at_the_address_is_wrong_and_its_password_is_not_quoted() -> None:
    async with OpenAiServer() as server:
        url = server.base_url.replace("http://", "http://ada:hunter2@")
    finding = await doctor.language_model(served(url, model="qwen"))
    assert finding.verdict == "wrong"
    assert "does not answer" in finding.detail
    assert "hunter2" not in finding.detail


async def test_a_server_that_hangs_is_not_waited_for_long() -> None:
    async with OpenAiServer([Hang()]) as server:
        url = server.base_url.replace("http://", "http://ada:hunter2@")
        found = await chat_server.look(served(url, model="qwen"), timeout_s=0.2)
    assert "has not answered" in found.detail
    assert "hunter2" not in found.detail
    assert found.remedy


async def test_a_provider_without_its_server_is_told_the_variable_to_set() -> None:
    finding = await doctor.language_model(served(provider="openai"))
    assert finding.verdict == "wrong"
    assert "ANTIPHON_LLM_BASE_URL=" in finding.remedy


async def test_the_embedded_model_needs_no_server() -> None:
    finding = await doctor.language_model(served(provider="embedded"))
    assert finding.verdict == "ok"
    assert "embedded" in finding.detail


async def test_an_ollama_is_greeted_with_its_first_model() -> None:
    async with OpenAiServer([Text(("Hello.",))], models=["qwen3:4b"]) as server:
        finding = await doctor.language_model(served(provider="auto", ollama_url=server.root_url))
        assert server.requests[0].json["model"] == "qwen3:4b"
    assert finding.verdict == "ok"


async def test_a_model_that_ollama_lacks_is_to_be_pulled() -> None:
    async with OpenAiServer([Failure(404)], models=["qwen3:4b"]) as server:
        settings = served(provider="ollama", ollama_url=server.root_url, model="llama9")
        finding = await doctor.language_model(settings)
    assert finding.verdict == "wrong"
    assert finding.remedy == "ollama pull llama9"


@pytest.mark.parametrize(("provider", "verdict"), [("auto", "ok"), ("ollama", "wrong")])
async def test_an_absent_ollama_matters_only_where_it_is_named(provider: str, verdict: str) -> None:
    async with OpenAiServer() as server:
        url = server.root_url
    finding = await doctor.language_model(served(provider=provider, ollama_url=url))
    assert finding.verdict == verdict
    assert ("ollama pull" in finding.remedy) == (verdict == "wrong")


# The running stack


async def test_no_running_stack_is_a_note_with_the_command_that_starts_one() -> None:
    finding = only(await doctor.stack(None))
    assert (finding.verdict, finding.remedy) == ("note", "antiphon up")


async def watching(*states: str) -> HouseWatch:
    watch = HouseWatch()
    for number, state in enumerate(states, 1):
        health = Health.model_validate(
            {"worker": f"w-{number}", "kind": "stt", "state": state, "notes": [f"note {number}"]}
        )
        await watch.on_health(Message(health, type="health/1"))
    return watch


async def test_workers_that_are_not_well_are_named_with_their_notes() -> None:
    gone, degraded = doctor.workers(await watching("gone", "ready", "degraded"))
    assert (gone.verdict, gone.detail) == ("wrong", "w-1 is gone: note 1")
    assert (degraded.verdict, degraded.detail) == ("note", "w-3 is degraded: note 3")
    assert gone.remedy


async def test_a_broker_without_workers_is_wrong() -> None:
    finding = only(doctor.workers(await watching()))
    assert (finding.verdict, finding.remedy) == ("wrong", "antiphon up")


async def test_whatever_is_wrong_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_programmes(monkeypatch, tmp_path)
    without(monkeypatch, "faster_whisper", "piper", "jsonschema")
    monkeypatch.setenv("ANTIPHON_LLM_PROVIDER", "embedded")
    findings = await doctor.examine(None)
    wrong = [finding for finding in findings if finding.verdict == "wrong"]
    assert {finding.what for finding in wrong} >= {"extras", "models"}
    assert all(finding.remedy for finding in wrong)
