"""The secured house as docs/security.md tells it: init, up, and a client with its folder alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from antiphon_runtime.broker.address import free_port
from running_stack import antiphon_command, isolated_environment, stop_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

READY_TIMEOUT_S = 120


@dataclass
class SecureStack:
    """A stack that was secured and started by hand.

    Attributes:
        home: of the person who runs it.
        client: folder of the client `phone`, as it was copied to another machine.
        port: of its broker.
    """

    home: Path
    client: Path
    port: int

    def antiphon(
        self, *words: str, folder: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [antiphon_command(), *words],
            env={**isolated_environment(self.home), **environment},
            cwd=folder or self.home,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    @property
    def client_settings(self) -> dict[str, str]:
        lines = (self.client / "antiphon.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def mosquitto(self, tool: str, *words: str) -> list[str]:
        own = self.client_settings
        return [
            *(tool, "-h", "localhost", "-p", str(self.port), "-V", "5", "-q", "1"),
            *("--cafile", str(self.client / "ca.crt")),
            *("-u", own["ANTIPHON_USERNAME"], "-P", own["ANTIPHON_PASSWORD"], *words),
        ]

    def answer_to(self, *publish: str) -> dict[str, object]:
        """Publish, and return the answer that comes."""
        with subprocess.Popen(
            [
                *("stdbuf", "-oL"),
                *self.mosquitto("mosquitto_sub", "-t", "antiphon/answer/+"),
                *("-W", "40", "-C", "1", "-d"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        ) as listener:
            assert listener.stdout is not None
            for line in listener.stdout:
                if "Subscribed" in line:
                    subprocess.run(self.mosquitto("mosquitto_pub", *publish), check=True)
                if line.startswith("{"):
                    found: dict[str, object] = json.loads(line)
                    return found
        pytest.fail("no answer came")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStack]:
    home = tmp_path_factory.mktemp("secured")
    stack = SecureStack(home, home / "elsewhere", free_port())
    for words in (("init", "--hosts", "localhost"), ("add-client", "phone")):
        done = stack.antiphon("secure", *words)
        assert done.returncode == 0, done.stderr
    shutil.copytree(home / "data/secure/users/phone", stack.client)
    with (home / "up.log").open("w") as output:
        process = subprocess.Popen(
            [antiphon_command(), "up", "--secure", "--port", str(stack.port)],
            env=isolated_environment(home),
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while "ready after" not in (home / "up.log").read_text():
            assert process.poll() is None, (home / "up.log").read_text()
            assert time.monotonic() < deadline, (home / "up.log").read_text()
            time.sleep(0.1)
        yield stack
    finally:
        code = stop_stack(process)
    assert code == 0, (home / "up.log").read_text()


def test_a_written_question_of_a_client_is_answered(house: SecureStack) -> None:
    found = house.answer_to("-t", "antiphon/ask", "-m", "what is 12 times 7")
    assert found["answer"] == "That is 84."


def test_a_spoken_question_of_a_client_is_answered(house: SecureStack, question_wav: Path) -> None:
    topic = "antiphon/audio/default/utterance/spoken-1"
    found = house.answer_to("-t", topic, "-f", str(question_wav))
    assert found["answer"] == "That is 84."
    assert found["turn_id"] == "spoken-1"


def test_the_command_line_finds_it_here_and_with_a_client_s_folder_elsewhere(
    house: SecureStack,
) -> None:
    done = house.antiphon("ask", "what is 2 plus 3")
    assert done.stdout.strip() == "That is 5.", done.stderr
    settings = {**house.client_settings, "ANTIPHON_PORT": str(house.port)}
    done = house.antiphon(
        *("ask", "--out", "answer.wav", "what is 3 plus 4"), folder=house.client, **settings
    )
    assert "That is 7." in done.stdout, done.stderr
    assert (house.client / "answer.wav").stat().st_size > 1_000


@pytest.mark.parametrize("topic", ["control/all", "stt/final", "memory/forget", "health/router-1"])
def test_what_a_client_may_not_do_is_denied(house: SecureStack, topic: str) -> None:
    done = subprocess.run(
        house.mosquitto("mosquitto_pub", "-t", f"antiphon/{topic}", "-m", "{}"),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "Not authorized" in done.stderr


def test_no_secret_is_on_the_screen_or_in_any_log(house: SecureStack) -> None:
    household = json.loads((house.home / "data/secure/household.json").read_text())
    secrets = [user["secret"] for user in household["users"]]
    logs = [house.home / "up.log", *(house.home / "data/logs").iterdir()]
    logs.append(house.home / "data/secure/broker/mosquitto.log")
    assert len(secrets) == 12
    assert len(logs) >= 10
    for log in logs:
        text = log.read_text()
        assert not any(secret in text for secret in secrets), log.name
    assert re.search(r'-P "\$\(antiphon secure show operator\)"', logs[0].read_text())
