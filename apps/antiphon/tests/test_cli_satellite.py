"""`antiphon satellite`: what it hands on, what it refuses, and that it waits for its broker."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest
from antiphon.remote_satellite import become_satellite
from antiphon_contracts import HEALTH, SITE_STATUS, ConfigError, Health, Message, SiteStatus
from antiphon_runtime import BrokerOptions, Bus, PahoTransport, listen
from antiphon_runtime.broker.address import free_port
from antiphon_runtime.testing.house import Heard

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
BROKER = "mqtt://me:secret@somewhere:1884/home"


class ExecutedError(Exception):
    """The process became another."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the satellite's process is given."""
    given: dict[str, str] = {}

    def execve(_path: str, command: list[str], variables: dict[str, str]) -> None:
        assert command[1:] == ["-m", "antiphon_satellite"]
        given.update(variables)
        raise ExecutedError

    monkeypatch.setattr(os, "execve", execve)
    return given


@pytest.mark.unit
def test_it_is_told_its_site_its_broker_and_its_devices(environment: dict[str, str]) -> None:
    with pytest.raises(ExecutedError):
        become_satellite("kitchen", BROKER, "null", "USB mic")
    wanted = {
        "ANTIPHON_HOST": "somewhere",
        "ANTIPHON_PORT": "1884",
        "ANTIPHON_USERNAME": "me",
        "ANTIPHON_PASSWORD": "secret",
        "ANTIPHON_BASE": "home",
        "ANTIPHON_WORKER_ID": "satellite-kitchen",
        "ANTIPHON_SATELLITE_SITE": "kitchen",
        "ANTIPHON_SATELLITE_SPEAKER": "null",
        "ANTIPHON_SATELLITE_MICROPHONE": "sounddevice",
        "ANTIPHON_SATELLITE_MICROPHONE_DEVICE": "USB mic",
    }
    assert wanted.items() <= environment.items()


@pytest.mark.unit
def test_a_name_of_ones_own_is_kept(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_WORKER_ID", "ears")
    with pytest.raises(ExecutedError):
        become_satellite("kitchen", BROKER, None, None)
    assert environment["ANTIPHON_WORKER_ID"] == "ears"
    assert "ANTIPHON_SATELLITE_SPEAKER" not in environment


@pytest.mark.unit
@pytest.mark.parametrize(("site", "broker"), [("a/b", BROKER), ("kitchen", "http://somewhere")])
def test_what_cannot_be_is_refused(environment: dict[str, str], site: str, broker: str) -> None:
    with pytest.raises(ConfigError):
        become_satellite(site, broker, None, None)
    assert environment == {}


LISTING = """
import sys
import antiphon_satellite.wiring
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
NOT_NEEDED = {
    "aiosqlite",
    "amqtt",
    "ctranslate2",
    "faster_whisper",
    "hassil",
    "onnxruntime",
    "openai",
    "piper",
    "pywebrtc_audio",
    "rapidfuzz",
    "sounddevice",
    "tokenizers",
    "xllamacpp",
}


@pytest.mark.unit
def test_it_needs_no_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, timeout=60, check=True
    )
    assert not set(done.stdout.split()) & NOT_NEEDED


@pytest.mark.integration
async def test_it_waits_for_its_broker_and_ends_in_good_order(tmp_path: Path) -> None:
    port = free_port()
    command = ["satellite", "--site", "kitchen", "--broker", f"mqtt://127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", *command, "--speaker", "null", "--microphone", "null"),
        env={"ANTIPHON_DATA_DIR": str(tmp_path), "ANTIPHON_SATELLITE_STREAM": "true"},
        stderr=PIPE,
    )
    assert process.stderr is not None
    broker = None
    bus, health, site = (
        Bus(PahoTransport(BrokerOptions(port=port)), source="test"),
        Heard(),
        Heard(),
    )

    async def on_health(message: Message[Health]) -> None:
        health.add(message.data)

    async def on_site(message: Message[SiteStatus]) -> None:
        site.add(message.data)

    bus.install([listen(HEALTH, on_health), listen(SITE_STATUS, on_site)])
    try:
        async with asyncio.timeout(60), bus.open(), bus.handling(drain_s=0):
            # It says in a sentence that there is no broker, and goes on.
            await process.stderr.readuntil(b"no MQTT broker answers")
            broker = await asyncio.create_subprocess_exec(
                MOSQUITTO, "-p", str(port), stdout=DEVNULL, stderr=DEVNULL
            )
            await health.until(lambda heard: any(h.state == "ready" for h in heard), 30)
            assert health[-1].worker == "satellite-kitchen"
            await site.until(lambda heard: any(each.streaming for each in heard), 30)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
    finally:
        for each in (process, broker):
            if each is not None and each.returncode is None:
                each.kill()
        await process.communicate()
        if broker is not None:
            await broker.wait()


@pytest.mark.integration
def test_a_wrong_setting_is_one_sentence_and_its_own_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "antiphon", "satellite", "--site", "a/b", "--broker", BROKER],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert len(done.stderr.strip().splitlines()) == 1
    assert "site" in done.stderr
    assert "secret" not in done.stderr
