"""Servers as processes of ours: what they see, what they may write, and how they end."""

import asyncio
import json
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from antiphon_tools import Tool, ToolError
from antiphon_tools.engine.servers import Fleet
from antiphon_tools.servers_section import ServerSection

pytestmark = pytest.mark.integration

# Speaks the protocol by the standard library alone.
SCRIPT = """
import json, os, signal, subprocess, sys
how = sys.argv[1]
print("this is no JSON", flush=True)
print("a word for the log", file=sys.stderr, flush=True)
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def answer(asked, result):
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    method = asked["method"]
    if "id" not in asked:
        continue
    if method == "initialize":
        version = asked["params"]["protocolVersion"]
        answer(asked, {"protocolVersion": version, "capabilities": {"tools": {}},
                       "serverInfo": {"name": "x", "version": "1"}})
    elif method == "tools/list":
        names = ["environment", "flood", "end", "chatter"]
        answer(asked, {"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in names]})
    elif method == "tools/call" and asked["params"]["name"] == "flood":
        print("x" * (9 * 1024 * 1024), flush=True)
    elif method == "tools/call" and asked["params"]["name"] == "end":
        sys.exit(3)
    elif method == "tools/call" and asked["params"]["name"] == "chatter":
        sys.stderr.write("y" * (40 * 1024 * 1024))
        sys.stderr.flush()
        answer(asked, {"content": [{"type": "text", "text": "said it all"}]})
    elif method == "tools/call":
        text = json.dumps(dict(os.environ))
        answer(asked, {"content": [{"type": "text", "text": text}]})
    else:
        error = {"code": -32601, "message": "Method not found"}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}), flush=True)
if how == "stubborn":
    while True:
        signal.pause()
"""


class Port:
    """Takes what a fleet offers."""

    def __init__(self) -> None:
        self.tools: dict[str, Tool] = {}
        self.notes: dict[str, str] = {}
        self.more = asyncio.Event()

    def offer(self, _source: str, tools: Iterable[Tool]) -> list[str]:
        self.tools = {tool.spec.name: tool for tool in tools}
        self.more.set()
        return []

    def withdraw(self, _source: str) -> None:
        return

    def note(self, name: str, sentence: str) -> None:
        self.notes[name] = sentence
        self.more.set()

    def clear_note(self, name: str) -> None:
        self.notes.pop(name, None)

    def show_breaker(self, name: str, state: Any) -> None:
        return

    async def call(self, name: str) -> Any:
        async with asyncio.timeout(20):
            return await self.tools[name]({}, None)  # type: ignore[arg-type]  # not looked at


@asynccontextmanager
async def started(tmp_path: Path, how: str, **section: Any) -> AsyncIterator[Port]:
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(SCRIPT))
    port = Port()
    fleet = Fleet(port.offer, port.withdraw, port)
    section = {"command": sys.executable, "args": (str(script), how), **section}
    async with fleet.open({"s": ServerSection(**section)}), asyncio.timeout(60):
        await port.more.wait()
        yield port


async def test_a_server_sees_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_PASSWORD", "s3cret")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    env = {"TOKEN": {"file": str(tmp_path / "token")}, "MODE": "quiet"}
    (tmp_path / "token").write_text("own\n")
    async with started(tmp_path, "plain", env=env) as port:
        seen = json.loads(await port.call("s.environment"))
    assert (seen.pop("TOKEN"), seen.pop("MODE")) == ("own", "quiet")
    assert "s3cret" not in seen.values()
    assert not [name for name in seen if name.startswith(("ANTIPHON", "OPENAI"))]


async def test_a_stubborn_server_and_its_child_end_with_the_worker(tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)  # other tests' brokers
    async with started(tmp_path, "stubborn") as port:
        assert await port.call("s.environment")
        processes = [p for p in psutil.Process().children(recursive=True) if p not in before]
        assert len(processes) == 2
        begun = time.monotonic()
    assert time.monotonic() - begun < 8
    # The child belongs to nobody any more: whoever reaps orphans may take its time.
    alive = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert alive == []
    assert [p for p in psutil.Process().children(recursive=True) if p not in before] == []


@pytest.mark.parametrize("how", ["flood", "end"])
async def test_a_server_that_floods_or_ends_is_started_again(tmp_path: Path, how: str) -> None:
    async with started(tmp_path, "plain") as port:
        with pytest.raises(ToolError, match="It may or may not have been done"):
            await port.call(f"s.{how}")
        assert await port.call("s.environment")


async def test_a_server_may_say_on_standard_error_what_it_likes(tmp_path: Path) -> None:
    async with started(tmp_path, "plain") as port:
        assert await port.call("s.chatter") == "said it all"


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"command": "/no/such/program", "args": ()}, "there is no program /no/such/program"),
        ({"cwd": "/no/such/folder"}, "there is no folder /no/such/folder"),
        ({"env": {"A": {"env": "NO_SUCH_VARIABLE"}}}, "the environment variable NO_SUCH_VARIABLE"),
        ({"args": ("-c", "raise SystemExit(1)")}, "it closed the connection"),
    ],
)
async def test_why_a_server_is_not_there_is_said(
    tmp_path: Path, section: dict[str, Any], reason: str
) -> None:
    async with started(tmp_path, "plain", **section) as port:
        assert port.notes["server:s"].startswith(f"The MCP server s is not there: {reason}")
