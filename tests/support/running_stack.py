"""`antiphon up` as a person starts it, for end-to-end tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

READY_TIMEOUT_S = 120


def antiphon_command() -> str:
    return str(Path(sys.executable).parent / "antiphon")


@dataclass
class Stack:
    process: subprocess.Popen[str]
    environment: dict[str, str]
    folder: Path
    broker: list[str]

    def run(self, *arguments: str, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [antiphon_command(), *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def answer(self, *arguments: str) -> str:
        done = self.run("ask", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def isolated_environment(folder: Path) -> dict[str, str]:
    """An environment in which nothing of this machine's own Antiphon is seen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return {
        **kept,
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_RUNTIME_DIR": str(folder),
        "ANTIPHON_DATA_DIR": str(folder / "data"),
        "ANTIPHON_LLM_PROVIDER": "embedded",
        "ANTIPHON_MEMORY_ENGINE": "onnx",
        "ANTIPHON_SATELLITE_SPEAKER": "file",
        "ANTIPHON_SATELLITE_MICROPHONE": "null",
        "ANTIPHON_SATELLITE_PACE": "0",
    }


def start_stack(folder: Path, *arguments: str) -> Stack:
    environment = isolated_environment(folder)
    output = (folder / "up.log").open("w")
    process = subprocess.Popen(
        [antiphon_command(), "up", *arguments],
        env=environment,
        cwd=folder,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output.close()
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"mosquitto_pub (-h .*?) -t ", (folder / "up.log").read_text())
        if found:
            return Stack(process, environment, folder, found.group(1).split())
        time.sleep(0.1)  # bounded by READY_TIMEOUT_S
    stop_stack(process)
    pytest.fail(f"the stack did not come up:\n{(folder / 'up.log').read_text()}")


def stop_stack(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(5)
