"""What `antiphon up` takes: seconds until all is ready, and memory of each process.

Started as a person starts it, again and again, with the weights warm in the page cache. Memory is
the proportional set size (PSS: shared pages are divided among those who share them) of every
process, after a spoken turn through the language model. The light set is meant: embedded
llama.cpp, ONNX embeddings, no sound devices.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from antiphon.asking import Asked, Questioner
from antiphon.house import client_bus
from antiphon.settings import child_environment
from antiphon_audio import wav
from antiphon_contracts import EngineError
from antiphon_models import default_root
from antiphon_runtime import RuntimeSettings, load_settings
from children import READY_TIMEOUT_S
from command import Options, main, say
from figures import Figure, Report, spread
from pydantic import SecretStr

STARTS = 3
WRITTEN = "What is twelve times seven?"
SPOKEN = "Who wrote Hamlet?"
STOP_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 15.0
LIGHT_SET_MB = 1200.0
READY_LINE = re.compile(r"mosquitto_pub (?P<arguments>-h .*) -t (?P<topic>\S+) -m")
SMAPS = "/proc/{}/smaps_rollup"


@dataclass(frozen=True)
class Start:
    """One start of the stack.

    Attributes:
        ready_s: until all workers were ready.
        answered_s: until a written question, asked then, was answered.
        pss_mb: memory of each process by name, if it was asked for.
    """

    ready_s: float
    answered_s: float
    pss_mb: dict[str, float]


def variables(folder: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which `up` sees nothing of what runs here already."""
    runtime = load_settings(RuntimeSettings)
    return child_environment(
        {
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": str(folder),
            "ANTIPHON_DATA_DIR": str(folder / "data"),
            "ANTIPHON_MODELS_DIR": str(default_root(runtime.models_dir)),
            "ANTIPHON_LLM_PROVIDER": "embedded",
            "ANTIPHON_MEMORY_ENGINE": "onnx",
            "ANTIPHON_SATELLITE_SPEAKER": "file",
            "ANTIPHON_SATELLITE_MICROPHONE": "null",
            "ANTIPHON_SATELLITE_PACE": "0",
            **changes,
        }
    )


@asynccontextmanager
async def up(
    folder: Path, changes: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[int, RuntimeSettings]]:
    """Run `antiphon up` while the block runs; yields its pid and broker when all are ready.

    Args:
        folder: for its data.
        changes: environment for it on top of what every start has.

    Raises:
        EngineError: it did not get ready; the text holds what it said last.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", "up"),
        env=variables(folder, changes or {}),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        settings = await _ready(process.stdout)
        yield process.pid, settings
    finally:
        await _stop(process)


async def _ready(output: asyncio.StreamReader) -> RuntimeSettings:
    last = "nothing"
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while line := (await output.readline()).decode():
                if found := READY_LINE.search(line):
                    return _address(found["arguments"], found["topic"])
                last = line.strip() or last
    except TimeoutError:
        pass
    msg = f"`antiphon up` did not get ready within {READY_TIMEOUT_S:g} s; it said last: {last}"
    raise EngineError(msg)


def _address(arguments: str, topic: str) -> RuntimeSettings:
    """Return the broker that a `mosquitto_pub` line names."""
    words = shlex.split(arguments)
    named = dict(zip(words[::2], words[1::2], strict=True))
    return load_settings(
        RuntimeSettings,
        host=named["-h"],
        port=int(named["-p"]),
        username=named.get("-u", ""),
        password=SecretStr(named.get("-P", "")),
        base=topic.removesuffix("ask").rstrip("/"),
    )


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            # What it still says must be read, or it would wait for us.
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()


# Memory


def has_pss() -> bool:
    """Whether this system tells the PSS of a process: Linux does, from 4.14 on."""
    return Path(SMAPS.format("self")).exists()


def pss_mb(pid: int) -> float:
    """Return a process's proportional set size in MB (10^6 bytes).

    Raises:
        OSError: the process has ended.
        LookupError: the kernel does not tell it.
    """
    for line in Path(SMAPS.format(pid)).read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024 / 1e6
    msg = f"the kernel tells no PSS of process {pid}"
    raise LookupError(msg)


def name_of(command: Iterable[str]) -> str:
    """Return what a process of the stack is called: `stt`, `broker`, `up`."""
    words = list(command)
    if any("mosquitto" in word or "amqtt" in word for word in words):
        return "broker"
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    if module == "antiphon":
        return "up"
    return module.removeprefix("antiphon_") if module.startswith("antiphon_") else "other"


def memory_of(pid: int) -> dict[str, float]:
    """Return the PSS in MB of a process and all that it started, by name."""
    top = psutil.Process(pid)
    found: dict[str, float] = defaultdict(float)
    for process in (top, *top.children(recursive=True)):
        found[name_of(process.cmdline())] += pss_mb(process.pid)
    return dict(found)


# The measurement


async def start(*, with_memory: bool) -> Start:
    """Start the stack, ask it something in writing, and perhaps aloud, and stop it."""
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        begun = time.perf_counter()
        async with up(Path(name)) as (pid, settings):
            ready_s = time.perf_counter() - begun
            asker = Questioner(client_bus(settings), "bench")
            studio = Questioner(client_bus(settings), "bench-studio")
            async with asker.asking(CONNECT_TIMEOUT_S), studio.asking(CONNECT_TIMEOUT_S):
                await _answered(asker.ask_text(WRITTEN, speak=False))
                answered_s = time.perf_counter() - begun
                memory: dict[str, float] = {}
                if with_memory:
                    recording = wav.wrap(await studio.dictate(SPOKEN))
                    await _answered(asker.ask_recording(recording))
                    memory = await asyncio.to_thread(memory_of, pid)
    return Start(ready_s, answered_s, memory)


async def _answered(asked: Coroutine[Any, Any, Asked]) -> None:
    answer = (await asked).answer
    if answer.error is not None:
        msg = f"the question was not answered: {answer.error}"
        raise EngineError(msg)


async def measure(options: Options) -> Report:
    """Return how long starts take, and what the last one weighed."""
    report = Report("footprint", options.quick)
    starts = []
    count = 1 if options.quick else STARTS
    if not options.quick:
        say("footprint: a start to warm up")
        await start(with_memory=False)
    for number in range(count):
        say(f"footprint: start {number + 1} of {count}")
        starts.append(await start(with_memory=has_pss() and number == count - 1))
    ready, answered = [s.ready_s for s in starts], [s.answered_s for s in starts]
    report.figures = [
        Figure("start of `up` to all ready: p50", statistics.median(ready), "s"),
        Figure("start of `up` to first answer: p50", statistics.median(answered), "s"),
    ]
    report.details = {
        "starts": count,
        "ready_s": spread(ready).as_json(),
        "answered_s": spread(answered).as_json(),
    }
    memory = starts[-1].pss_mb
    if memory:
        report.figures += [
            *(Figure(f"PSS: {name}", memory[name], "MB") for name in sorted(memory)),
            Figure("PSS: sum of the light set", sum(memory.values()), "MB", LIGHT_SET_MB),
        ]
    else:
        say("footprint: memory is left out: only Linux tells it")
    return report


if __name__ == "__main__":
    main("footprint", measure)
