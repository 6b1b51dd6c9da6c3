"""The libraries' own reports home are off in every process that reads our settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

# Where these are set, onnxruntime is silent of its own accord.
BUILD_MACHINES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS")
SWITCHES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")


def run(program: str, home: Path, **variables: str) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in (*BUILD_MACHINES, *SWITCHES) and not name.startswith("XDG_")
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"HOME": str(home)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_onnxruntime_gives_this_machine_no_number(tmp_path: Path) -> None:
    """Where its reports are on, importing it is enough to write a device id below the home."""
    run("import antiphon_runtime, onnxruntime", tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_the_hub_is_told_nothing_about_us(tmp_path: Path) -> None:
    program = "import antiphon_runtime; from huggingface_hub import constants as c; print(c.{})"
    assert run(program.format("HF_HUB_DISABLE_TELEMETRY"), tmp_path) == "True\n"


def test_who_wishes_otherwise_may_say_so(tmp_path: Path) -> None:
    program = "import antiphon_runtime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run(program, tmp_path, ORT_DISABLE_TELEMETRY="0") == "0\n"


ASK_ALL = """
import asyncio, sys, tempfile
from datetime import UTC, datetime
from pathlib import Path
from antiphon_tools import ToolContext, ToolError
from antiphon_tools.house import House
from antiphon_tools.offering import house_tools
from antiphon_tools.tools_file import ToolsFile

def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        print(event, arguments[-1])

class Nobody:
    def __getattr__(self, name):
        return lambda *_, **__: None

async def main():
    house = House(data_dir=Path(tempfile.mkdtemp()), bus=Nobody(), health=Nobody())
    async with house.open():
        context = ToolContext("x", None, Nobody(), lambda: datetime.now(UTC), UTC, "c")
        for tool in house_tools(ToolsFile(), house):
            arguments = {"place": "Lyon", "query": "x", "url": "http://192.0.2.1/", "text": "x",
                         "value": 1, "from_unit": "mile", "to_unit": "km", "list": "shopping",
                         "items": ["milk"], "expression": "1+1", "action": "stop", "after_s": 5}
            taken = {k: v for k, v in arguments.items() if k in tool.spec.parameters["properties"]}
            try:
                await tool(taken, context)
            except (ToolError, TypeError, AttributeError):
                pass
            print(tool.spec.name, file=sys.stderr)

sys.addaudithook(watch)
asyncio.run(main())
"""


def test_our_own_tools_ask_nobody_unless_the_owner_says_whom(tmp_path: Path) -> None:
    assert run(ASK_ALL, tmp_path) == ""
