"""What the README and the examples promise, done as they say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running_stack import Stack

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def readme_commands(word: str) -> list[str]:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(word)]


def without_shell(command: str, stack: Stack) -> list[str]:
    """The command's words, with the stack's own options where it says $BROKER."""
    return [
        part
        for word in shlex.split(command)
        for part in (stack.broker if word == "$BROKER" else [word])
    ]


def listener_for_an_answer(stack: Stack) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            # Written to a pipe, lines would arrive only when the listener ends.
            *("stdbuf", "-oL"),
            *("mosquitto_sub", *stack.broker, "-t", "antiphon/answer/+"),
            *("-W", "40", "-C", "1", "-d"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_readme_has_examples() -> None:
    assert len(readme_commands("mosquitto_pub")) >= 4


@pytest.mark.parametrize(
    "command", [c for c in readme_commands("mosquitto_pub") if "/say" not in c]
)
def test_mosquitto_pub_examples_are_answered(
    stack: Stack, question_wav: Path, tmp_path: Path, command: str
) -> None:
    shutil.copy(question_wav, tmp_path / "question.wav")
    with listener_for_an_answer(stack) as listener:
        assert listener.stdout is not None
        for line in listener.stdout:
            if "SUBACK" in line:
                break
        subprocess.run(without_shell(command, stack), cwd=tmp_path, check=True, timeout=20)
        answers = [line for line in listener.stdout if line.startswith("{")]
    assert listener.returncode == 0
    assert '"error":null' in answers[0]


def test_the_say_example_is_taken(stack: Stack) -> None:
    command = next(line for line in readme_commands("mosquitto_pub") if "/say" in line)
    subprocess.run(without_shell(command, stack), check=True, timeout=20)


def test_the_aiomqtt_example_asks_and_hears_the_answer(stack: Stack) -> None:
    host, port, user, password = (stack.broker[index] for index in (1, 3, 5, 7))
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "examples" / "ask_with_aiomqtt.py")),
            *("--host", host, "--port", port, "--user", user, "--password", password),
            "what is 12 times 7",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "84" in done.stdout
