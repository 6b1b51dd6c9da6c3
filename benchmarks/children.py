"""Processes of a benchmark's own, told what to do in lines of JSON over their pipes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from antiphon.house import House
from antiphon_runtime import configure_logs

HERE = Path(__file__).parent
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 120.0
LINE_LIMIT_BYTES = 16 * 1024 * 1024


class Child:
    """A child process, from its parent's side; made by `child`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, order: Mapping[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
        """Send an order and return what the child answers.

        Raises:
            RuntimeError: it ended instead.
            TimeoutError: it did not answer in time.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await self.answer(timeout_s)

    async def answer(self, timeout_s: float) -> dict[str, Any]:
        """Return what the child says next; see `ask`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(timeout_s):
            line = await self._process.stdout.readline()
        if not line:
            msg = f"a benchmark's child process ended with {await self._process.wait()}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """Kill the child, as `kill -9` does, and wait for its end."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def rest(self) -> list[dict[str, Any]]:
        """Return what a child that has ended had still said; half a line is dropped."""
        assert self._process.stdout is not None
        lines = (await self._process.stdout.read()).split(b"\n")
        return [json.loads(line) for line in lines[:-1]]


@asynccontextmanager
async def child(
    script: str,
    *arguments: str,
    config: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Child]:
    """Run a script beside this one while the block runs; it begins when it has said it is ready.

    It ends when its standard input does, so also when this process dies. `env` is added to its
    environment.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT_BYTES,
        env={**os.environ, **(env or {})},
    )
    try:
        started = Child(process)
        await started.ask(config, START_TIMEOUT_S)
        yield started
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def all_ready(house: House) -> None:
    """Return when every worker of a house is ready.

    Raises:
        ConfigError: one is not in time; the text names it.
    """
    await house.all_ready(READY_TIMEOUT_S)


async def orders() -> AsyncIterator[dict[str, Any]]:
    """Yield, in a child, what the parent orders; the first order is its configuration.

    Standard output belongs to the answers: the log goes to standard error.
    """
    configure_logs("child", level="warning", style="text")
    reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


def answer(**values: Any) -> None:
    """Answer the parent's order."""
    print(json.dumps(values), flush=True)
