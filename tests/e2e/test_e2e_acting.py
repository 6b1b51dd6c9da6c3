"""The house acts: timers, lists, lamps, and other assistants at the door."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from running_stack import Stack, antiphon_command

pytestmark = pytest.mark.e2e

PATIENCE_S = 30.0

LAMP = """\
[devices."kitchen lamp"]
template = "zigbee2mqtt"
topic = "zigbee2mqtt/kitchen lamp"
"""


class Lines:
    """What was overheard, line by line, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def until(self, wanted: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = [line for line in self._path.read_text().splitlines() if wanted(line)]
            if found:
                return found[-1]
            time.sleep(0.1)
        pytest.fail(f"not heard within {PATIENCE_S:g} s: {self._path.read_text()[-2000:]}")


@contextmanager
def overheard(stack: Stack, *topics: str) -> Iterator[Lines]:
    """Yield the lines `topic payload` that mosquitto's own client hears meanwhile."""
    command = ["mosquitto_sub", *stack.broker, "-v"]
    for topic in topics:
        command += ["-t", topic]
    out = stack.folder / f"overheard-{time.monotonic_ns()}"
    with out.open("w") as file:
        process = subprocess.Popen(command, stdout=file)
    try:
        time.sleep(1.0)
        yield Lines(out)
    finally:
        process.terminate()
        process.wait(5)


def of_event(name: str) -> Callable[[str], bool]:
    return lambda line: f'"event":"{name}"' in line


def spoken(text: str, path: Path) -> Path:
    subprocess.run(["espeak-ng", "-s", "150", "-w", str(path), text], check=True)
    return path


def test_a_timer_is_set_by_voice_rings_aloud_and_is_stopped(stack: Stack, tmp_path: Path) -> None:
    question = spoken("set a timer for five seconds", tmp_path / "timer.wav")
    with overheard(stack, "antiphon/timer/event/default") as lines:
        answer = stack.answer("--wav", str(question))
        assert re.search(r"(5|five) seconds", answer), answer
        lines.until(of_event("ringing"))
        deadline = time.monotonic() + PATIENCE_S
        rings: list[Path] = []
        while not rings and time.monotonic() < deadline:
            rings = list((stack.folder / "data" / "spoken").glob("ring-*.wav"))
            time.sleep(0.1)
        samples, rate = soundfile.read(rings[0])
        assert len(samples) / rate > 0.5
        assert float(np.sqrt(np.mean(samples**2))) > 0.01
        stack.answer("stop")
        lines.until(of_event("stopped"))
    assert json.loads(stack.run("timers", "list", "--json").stdout) == []


def test_a_timer_is_asked_after_lengthened_and_cancelled(stack: Stack) -> None:
    assert "pasta" in stack.answer("set a pasta timer for ten minutes")
    assert "minutes" in stack.answer("how long is left on the pasta timer")
    stack.answer("add five minutes to the pasta timer")
    [timer] = json.loads(stack.run("timers", "list", "--json").stdout)
    assert timer["length_s"] == 900
    stack.answer("cancel the pasta timer")
    assert json.loads(stack.run("timers", "list", "--json").stdout) == []


def test_lists_and_units_need_no_language_model(stack: Stack) -> None:
    assert "milk and eggs" in stack.answer("add milk and eggs to the shopping list")
    assert "milk" in stack.answer("what is on the shopping list")
    stack.answer("take milk off the shopping list")
    assert "milk" not in stack.answer("what is on the shopping list")
    assert "8.05" in stack.answer("how many kilometres is five miles")


def test_a_lamp_that_is_written_down_can_be_switched_a_moment_later(stack: Stack) -> None:
    file = stack.folder / "data" / "tools.toml"
    file.write_text(LAMP)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "home_set" not in stack.run("tools", "list", "--json").stdout:
            assert time.monotonic() < deadline
        with overheard(stack, "zigbee2mqtt/#") as lines:
            assert "lamp" in stack.answer("turn on the kitchen lamp")
            heard = lines.until(lambda line: line.startswith("zigbee2mqtt/kitchen lamp/set"))
            assert json.loads(heard[heard.index("{") :]) == {"state": "ON"}
        refused = stack.run("tools", "call", "home_set", "target=front door", "state=on")
        assert refused.returncode != 0
        assert "kitchen lamp" in refused.stderr
    finally:
        file.unlink()
    log = json.loads(stack.run("tools", "log", "home_set", "--json").stdout)
    assert {entry["error_code"] for entry in log} == {None, "bad_arguments"}


async def ask_by(client: Client) -> str:
    names = {tool.name for tool in (await client.list_tools()).tools}
    assert {"ask", "say", "announce", "set_timer", "recall"} <= names
    result = await client.call_tool("ask", {"question": "what is three plus four"})
    assert not result.is_error
    return str(getattr(result.content[0], "text", ""))


async def test_another_assistant_asks_over_standard_streams(stack: Stack) -> None:
    server = StdioServerParameters(
        command=antiphon_command(), args=["mcp"], env=stack.environment, cwd=stack.folder
    )
    async with asyncio.timeout(60), Client(server) as client:
        assert await ask_by(client) == "That is 7."


async def test_another_assistant_asks_over_http_with_the_token(stack: Stack) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        antiphon_command(),
        "mcp",
        "--http",
        "--port",
        str(port),
        env=stack.environment,
        cwd=stack.folder,
        stderr=asyncio.subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        async with asyncio.timeout(60):
            await until_open(port)
            async with httpx2.AsyncClient() as stranger:
                assert (await stranger.post(url, json={})).status_code == 401
            token = (stack.folder / "data" / "mcp-token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as web,
                Client(streamable_http_client(url, http_client=web)) as client,
            ):
                assert await ask_by(client) == "That is 7."
    finally:
        process.terminate()
        await process.wait()


async def until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
