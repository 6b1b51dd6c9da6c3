"""MCP servers as others make them, in processes of their own, behind the whole tool worker."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from antiphon_contracts import TOOLS_CALL, TOOLS_REGISTRY, ToolCall, ToolResult
from antiphon_runtime import RuntimeSettings
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_tools import ToolsSettings
from antiphon_tools.wiring import build
from real_servers import NODE_SERVERS, PYTHON_SERVERS, node_server, python_server

pytestmark = pytest.mark.integration

START_S = 90.0
ANSWER_S = 30.0

Command = tuple[str, ...]
Commands = Mapping[str, Command]


@pytest.fixture(scope="module")
def commands() -> Commands:
    """Install all servers; the first time that takes a minute."""
    python = {name: python_server(name) for name in PYTHON_SERVERS}
    return {**python, **{name: node_server(name) for name in NODE_SERVERS}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git = shutil.which("git")
    assert git is not None
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run([git, "init", "-q", tmp_path / "repo"], check=True)
    message = ("commit", "-q", "--allow-empty", "-m", "first")
    subprocess.run([git, "-C", tmp_path / "repo", *who, *message], check=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "hello.txt").write_text("hello from a file")
    return tmp_path


class Workshop:
    """A tool worker with MCP servers."""

    def __init__(self, house: House, heard: Heard) -> None:
        self._house = house
        self._heard = heard

    @property
    def names(self) -> set[str]:
        return {spec.name for spec in self._heard[-1].data.tools} if self._heard else set()

    async def until(self, *names: str) -> None:
        await self._heard.until(lambda _: set(names) <= self.names, START_S)

    async def call(self, name: str, arguments: dict[str, Any] | None = None) -> ToolResult:
        call = ToolCall(name=name, arguments=arguments or {}, confirmed=True)
        return await self._house.bus.request(TOOLS_CALL, call, timeout_s=ANSWER_S)


@asynccontextmanager
async def workshop(folder: Path, file: str) -> AsyncIterator[Workshop]:
    before = children()  # other tests' brokers
    path = folder / "tools.toml"
    path.write_text(file)
    async with House(requests=[TOOLS_CALL]) as house:
        heard = await house.hear(TOOLS_REGISTRY)
        runtime = RuntimeSettings(data_dir=folder)
        await house.move_in("tools", ToolsSettings(file=path), build, runtime=runtime)
        yield Workshop(house, heard)
    assert [process for process in children() if process not in before] == []


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def of(command: Command) -> list[psutil.Process]:
    """Return the processes of a server; a script's interpreter has its name among its arguments."""
    return [
        process
        for process in children()
        if any(Path(part).name == Path(command[-1]).name for part in process.cmdline())
    ]


def section(name: str, command: Command, *args: object, **env: object) -> str:
    lines = [f"[servers.{name}]", f'command = "{command[0]}"']
    lines.append(f"args = [{', '.join(repr(str(arg)) for arg in (*command[1:], *args))}]")
    lines += [f'env.{key} = "{value}"' for key, value in env.items()]
    return "\n".join(lines) + "\n"


def all_servers(commands: Commands, folder: Path) -> str:
    return "".join(
        (
            section("time", commands["time"], "--local-timezone", "Europe/Paris"),
            section("fetch", commands["fetch"], "--ignore-robots-txt"),
            section("git", commands["git"], "--repository", folder / "repo"),
            section("sqlite", commands["sqlite"], "--db-path", folder / "db"),
            section("everything", commands["everything"]),
            section("files", commands["filesystem"], folder / "files"),
            section("memory", commands["memory"], MEMORY_FILE_PATH=folder / "memory.json"),
        )
    )


def probes(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Return a call for each server, and what must be in its answer."""
    return {
        "time.get_current_time": ({"timezone": "Asia/Tokyo"}, "Asia/Tokyo"),
        "fetch.fetch": ({"url": "http://127.0.0.1:9/"}, "127.0.0.1"),  # refused, by that server
        "git.git_log": ({"repo_path": str(folder / "repo")}, "first"),
        "sqlite.write_query": ({"query": "CREATE TABLE IF NOT EXISTS t (n)"}, ""),
        "everything.echo": ({"message": "hi there"}, "hi there"),
        "files.read_text_file": ({"path": str(folder / "files" / "hello.txt")}, "hello from"),
        "memory.read_graph": ({}, "entities"),
    }


async def test_all_connect_list_and_answer(commands: Commands, folder: Path) -> None:
    expected = probes(folder)
    async with workshop(folder, all_servers(commands, folder)) as shop:
        await shop.until(*expected, "everything.read_resource")
        for name, (arguments, said) in expected.items():
            result = await shop.call(name, arguments)
            assert said in f"{result.result} {result.error}", name
            assert result.untrusted, name
            assert (result.error is None) == (name != "fetch.fetch"), result.error
        wrong = await shop.call("everything.get-sum", {"a": "x"})
        assert wrong.error_code == "bad_arguments"  # by the schema, before the server
        picture = await shop.call("everything.get-tiny-image")
        assert "[image of type image/png" in picture.result


async def test_killed_in_a_call_then_back_for_the_next(commands: Commands, folder: Path) -> None:
    expected = probes(folder)
    kinds = {"files": "filesystem"}
    async with workshop(folder, all_servers(commands, folder)) as shop:
        await shop.until(*expected)
        for name, (arguments, said) in expected.items():
            server = name.partition(".")[0]
            command = commands[kinds.get(server, server)]
            processes = of(command)
            for process in processes:
                process.suspend()
            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                call = group.create_task(shop.call(name, arguments), name=name)
                await asyncio.wait({call}, timeout=0.3)
                for process in processes:
                    process.kill()
            result = call.result()
            # What may be repeated was repeated; nobody knows what became of the rest.
            if name == "sqlite.write_query":
                assert result.error_code == "unknown_outcome"
                assert time.monotonic() - begun < 2
            else:
                assert said in f"{result.result} {result.error}", name
            after = await shop.call(name, arguments)
            assert said in f"{after.result} {after.error}", name
            assert after.error_code in {None, "failed"}, name
            assert time.monotonic() - begun < ANSWER_S
        states = {process.pid: process.status() for process in children()}
        assert psutil.STATUS_ZOMBIE not in states.values()


async def test_a_hundred_calls_with_a_dead_and_a_slow_server(
    commands: Commands, folder: Path
) -> None:
    once = folder / "once"
    once.write_text(f'#!/bin/sh\nmkdir "{folder}/used" || exit 1\nexec "{commands["time"][0]}"\n')
    once.chmod(0o755)
    file = (
        section("dead", (str(once),))
        + section("slow", commands["everything"])
        + section("fast", commands["memory"], MEMORY_FILE_PATH=folder / "memory.json")
    )
    slow = {"duration": 0.5, "steps": 1}
    async with workshop(folder, file) as shop:
        await shop.until("dead.get_current_time", "slow.trigger-long-running-operation")
        await shop.until("fast.read_graph")
        for process in of(commands["time"]):
            process.kill()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(shop.call(*which), name=which[0])
                for _ in range(25)
                for which in (
                    ("fast.read_graph", {}),
                    ("dead.get_current_time", {"timezone": "UTC"}),
                    ("slow.trigger-long-running-operation", slow),
                    ("fast.search_nodes", {"query": "x"}),
                )
            ]
        took_s = time.monotonic() - begun
        results = [task.result() for task in tasks]
    fast = [result for result in results if result.name.startswith("fast.")]
    assert len(results) == 100
    assert all(result.error is None for result in fast)
    dead = [result for result in results if result.name.startswith("dead.")]
    assert {result.error_code for result in dead} == {"failed"}
    patient = [result for result in results if result.name.startswith("slow.")]
    assert all(result.error is None for result in patient)
    assert took_s > 25 / 4 * 0.5  # four at once and no more


async def eventually(shop: Workshop, name: str, arguments: dict[str, Any]) -> bool:
    for _ in range(100):
        if (await shop.call(name, arguments)).error is None:
            return True
        await asyncio.sleep(0.2)
    return False


async def until_open(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    pytest.fail("the server does not listen")


@asynccontextmanager
async def over_http(command: Command, port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        "streamableHttp",
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_open(port)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def test_streamable_http_and_a_restart_there(commands: Commands, folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = f'[servers.far]\nurl = "http://127.0.0.1:{port}/mcp"\nheaders.X-Test = "1"\n'
    async with workshop(folder, file) as shop:
        async with over_http(commands["everything"], port):
            await shop.until("far.echo")
            assert "hi" in (await shop.call("far.echo", {"message": "hi"})).result
        gone = await shop.call("far.echo", {"message": "hi"})
        assert gone.error_code == "failed"
        async with over_http(commands["everything"], port):
            assert await eventually(shop, "far.echo", {"message": "again"})
