from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from antiphon_runtime.broker.address import free_port
from running_stack import Stack, start_stack, stop_stack

pytestmark = pytest.mark.e2e


def worker_pid(stack: Stack, worker: str) -> int:
    health = json.loads(stack.run("status", "--json").stdout)
    pid = health[worker]["pid"]
    assert isinstance(pid, int)
    return pid


def test_a_second_up_says_that_one_is_running(stack: Stack) -> None:
    done = stack.run("up")
    assert done.returncode != 0
    assert "already running" in done.stderr


def ask_until_answered(stack: Stack, question: str, timeout_s: float) -> str:
    """Ask until the answer is no apology; the tests' own time limit ends it otherwise."""
    deadline = time.monotonic() + timeout_s
    while (done := stack.run("ask", question)).returncode and time.monotonic() < deadline:
        continue
    return done.stdout.strip()


def test_a_killed_worker_is_back_and_answers(stack: Stack) -> None:
    before = worker_pid(stack, "tools-1")
    os.kill(before, signal.SIGKILL)
    assert ask_until_answered(stack, "what is 2 plus 3", 30) == "That is 5."
    assert worker_pid(stack, "tools-1") != before


def test_a_dead_language_model_is_back_and_answers(stack: Stack) -> None:
    os.kill(worker_pid(stack, "llm-1"), signal.SIGKILL)
    assert "Shakespeare" in ask_until_answered(stack, "Who wrote Hamlet?", 60)


def test_up_works_on_the_built_in_broker_and_ends_clean_on_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    running = start_stack(tmp_path, "--broker-kind", "amqtt", "--metrics", str(port))
    try:
        assert running.answer("what is 2 plus 2") == "That is 4."
        assert running.answer("Remember that my hat is blue.").startswith("I will remember")
        with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            lines = page.read().decode().splitlines()
        assert 'antiphon_turns_total{outcome="answered",route="fast"} 2.0' in lines
    finally:
        code = stop_stack(running.process)
    assert code == 0
    assert running.run("ask", "hello").returncode != 0
    log = (tmp_path / "up.log").read_text()
    assert "Traceback" not in log
