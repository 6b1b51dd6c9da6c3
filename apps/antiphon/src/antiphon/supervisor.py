"""The supervisor: starts the workers, restarts what dies, stops all in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson
import structlog
from antiphon_runtime.broker import lifeline

from antiphon.settings import child_environment

log = structlog.get_logger(__name__)

BACKOFF_S = (0.5, 30.0)
STEADY_AFTER_S = 60.0
STOP_TIMEOUT_S = 8.0
EXIT_CONFIG = 78
LOG_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One worker process.

    Attributes:
        kind: e.g. `stt`.
        module: run with `python -m`.
        variables: environment on top of what all parts share.
    """

    kind: str
    module: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def worker_id(self) -> str:
        """The worker's id on the bus."""
        return self.variables.get("ANTIPHON_WORKER_ID", f"{self.kind}-1")


PARTS = (
    Part("memory", "antiphon_memory"),
    Part("tools", "antiphon_tools"),
    Part("stt", "antiphon_stt"),
    Part("tts", "antiphon_tts"),
    Part("llm", "antiphon_llm"),
    Part("satellite", "antiphon_satellite"),
    Part("router", "antiphon_router"),
)


@dataclass
class Child:
    """What is known of one part's process.

    Attributes:
        part: the part.
        pid: of its process; None between two lives.
        restarts: how often it was started again.
        trouble: what its last end was, for people; empty if all is well.
    """

    part: Part
    pid: int | None = None
    restarts: int = 0
    trouble: str = ""


class Supervisor:
    """Runs worker processes, each with a log file of its own.

    A worker that dies is started again after a pause that doubles while it keeps dying; one whose
    settings are wrong (exit 78) waits the longest pause. If this process dies, the workers end.

    Args:
        parts: what to run.
        variables: environment that all parts share.
        log_dir: folder for `<worker>.log`.
        on_change: called whenever a child's state changes.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        variables: Mapping[str, str],
        log_dir: Path,
        on_change: Callable[[Child], None] = lambda _child: None,
    ) -> None:
        self.children = {part.worker_id: Child(part) for part in parts}
        self._variables = variables
        self._log_dir = log_dir
        self._on_change = on_change
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep all parts running while the block runs, then stop them."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            keepers = [
                group.create_task(self._keep(child), name=f"keep:{worker_id}")
                for worker_id, child in self.children.items()
            ]
            try:
                yield
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await self._stop_all()

    def kill_all(self) -> None:
        """End every process at once: the second Ctrl-C."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.kill()

    def log_path(self, worker_id: str) -> Path:
        """Return where a worker's log is."""
        return self._log_dir / f"{worker_id}.log"

    def last_words(self, worker_id: str) -> str:
        """Return the last line of a worker's log; empty if there is none."""
        try:
            lines = self.log_path(worker_id).read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return _sentence(lines[-1]) if lines else ""

    async def _keep(self, child: Child) -> None:
        pause_s = BACKOFF_S[0]
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            code = await self._live(child)
            if loop.time() - begun > STEADY_AFTER_S:
                pause_s = BACKOFF_S[0]
            if code == EXIT_CONFIG:
                pause_s = BACKOFF_S[1]
            words = await asyncio.to_thread(self.last_words, child.part.worker_id)
            child.pid = None
            child.trouble = words if code == EXIT_CONFIG else f"ended with {_ending(code)}: {words}"
            self._on_change(child)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, BACKOFF_S[1])
            child.restarts += 1

    async def _live(self, child: Child) -> int:
        """Run one life of the child's process and return its exit code."""
        worker_id = child.part.worker_id
        log_file = await asyncio.to_thread(_open_log, self.log_path(worker_id))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid())),
                *(sys.executable, "-m", child.part.module),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env=child_environment(
                    {
                        **self._variables,
                        **child.part.variables,
                        "ANTIPHON_WORKER_ID": worker_id,
                    }
                ),
                start_new_session=True,  # Ctrl-C reaches us alone: we drain
            )
        finally:
            log_file.close()
        self._processes[worker_id] = process
        child.pid = process.pid
        self._on_change(child)
        code = await process.wait()
        del self._processes[worker_id]
        return code

    async def _stop_all(self) -> None:
        processes = list(self._processes.values())
        for process in processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                for process in processes:
                    await process.wait()
        except TimeoutError:
            self.kill_all()
            for process in processes:
                await process.wait()


def _sentence(line: str) -> str:
    """Return a log line as people read it: the event and its detail, if it is JSON."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if not isinstance(entry, dict):
        return line
    return " ".join(str(entry[key]) for key in ("event", "detail", "reason") if key in entry)


def _ending(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _open_log(path: Path) -> BinaryIO:
    """Open a log to append to; one that has grown too long is moved aside once."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
