"""The supervisor: starts the workers, restarts what dies, stops all in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from antiphon_runtime import running
from antiphon_runtime.broker import lifeline

from antiphon.process_log import ProcessLog
from antiphon.settings import child_environment

EXIT_CONFIG = 78
LOG_CHECK_S = 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """One worker process.

    Attributes:
        kind: e.g. `stt`.
        module: run with `python -m`.
        variables: environment on top of what all parts share.
        arguments: for the module's command line.
    """

    kind: str
    module: str
    variables: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def worker_id(self) -> str:
        """The worker's id on the bus."""
        return self.variables.get("ANTIPHON_WORKER_ID", f"{self.kind}-1")


PARTS = (
    Part("memory", "antiphon_memory"),
    Part("timer", "antiphon_timer"),
    Part("tools", "antiphon_tools"),
    Part("stt", "antiphon_stt"),
    Part("wake", "antiphon_wake"),
    Part("tts", "antiphon_tts"),
    Part("llm", "antiphon_llm"),
    Part("satellite", "antiphon_satellite"),
    Part("router", "antiphon_router"),
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits, in seconds.

    Attributes:
        first_pause_s: before the first restart; doubled while the worker keeps dying.
        longest_pause_s: at most; also after wrong settings.
        steady_after_s: a life this long makes the next pause the first again.
        stop_s: what all workers together have to end in good order.
    """

    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    steady_after_s: float = 60.0
    stop_s: float = 8.0


@dataclass
class Child:
    """What is known of one part's process.

    Attributes:
        part: the part.
        pid: of its process; None between two lives.
        trouble: what its last end was, for people; empty before the first.
        misconfigured: whether its last end was for wrong settings (exit 78).
    """

    part: Part
    pid: int | None = None
    trouble: str = ""
    misconfigured: bool = False


class Supervisor:
    """Runs worker processes, each with a log file of its own.

    A worker that dies is started again after a pause that doubles while it keeps dying; one whose
    settings are wrong (exit 78) waits the longest pause. If this process dies, the workers end.

    Args:
        parts: what to run.
        variables: environment that all parts share.
        log_dir: folder for `<worker>.log`.
        on_change: called whenever a child's state changes.
        patience: how long it waits for what.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        variables: Mapping[str, str],
        log_dir: Path,
        on_change: Callable[[Child], None] = lambda _child: None,
        patience: Patience = Patience(),
    ) -> None:
        self.children = {part.worker_id: Child(part) for part in parts}
        self._variables = variables
        self._logs = {name: ProcessLog(log_dir / f"{name}.log") for name in self.children}
        self._log_dir = log_dir
        self._on_change = on_change
        self._patience = patience
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._killed = False
        self._ended_by_us: dict[str, str] = {}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep all parts running while the block runs, then stop them.

        What has not ended `stop_s` after the block is killed; nothing is left behind.
        """
        await asyncio.to_thread(self._log_dir.mkdir, parents=True, exist_ok=True)
        keepers = {f"keep:{name}": self._keep(child) for name, child in self.children.items()}
        ended = asyncio.Event()
        async with running(logs=self._tend_logs()), running(all=_together(keepers, ended)):
            try:
                yield
            finally:
                await self._stop(ended)

    def kill_all(self) -> None:
        """End every process at once, and what it has started: the second Ctrl-C."""
        self._killed = True
        self._stopping.set()
        for process in self._processes.values():
            _kill(process)

    def end(self, worker_id: str, reason: str) -> None:
        """Kill a worker that is of no use any more; it is started again after its pause.

        Args:
            worker_id: whose process; nothing is done if it has none.
            reason: for people, told as its trouble.
        """
        process = self._processes.get(worker_id)
        if process is not None and process.returncode is None:
            self._ended_by_us[worker_id] = reason
            _kill(process)

    def log_path(self, worker_id: str) -> Path:
        """Return where a worker's log is."""
        return self._logs[worker_id].path

    async def _stop(self, ended: asyncio.Event) -> None:
        self._stopping.set()
        try:
            for process in self._processes.values():
                _terminate(process)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience.stop_s):
                    await ended.wait()
        finally:
            self.kill_all()  # nobody, if all have ended
        await ended.wait()

    async def _keep(self, child: Child) -> None:
        patience = self._patience
        pause_s = patience.first_pause_s
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            begun = loop.time()
            await self._live(child)
            if loop.time() - begun > patience.steady_after_s:
                pause_s = patience.first_pause_s
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    patience.longest_pause_s if child.misconfigured else pause_s
                ):
                    await self._stopping.wait()
            pause_s = min(pause_s * 2, patience.longest_pause_s)

    async def _live(self, child: Child) -> None:
        """Run one life of the child's process, and note how it ended."""
        worker_id = child.part.worker_id
        try:
            code = await self._run_process(child)
        except OSError as error:
            child.trouble = f"could not be started: {error.strerror}"
        else:
            words = await asyncio.to_thread(self._logs[worker_id].last_words)
            child.misconfigured = code == EXIT_CONFIG
            reason = self._ended_by_us.pop(worker_id, "")
            told = words if child.misconfigured and words else _obituary(code, words)
            child.trouble = reason or told
        finally:
            child.pid = None
        if not self._stopping.is_set():
            self._on_change(child)

    async def _run_process(self, child: Child) -> int:
        worker_id = child.part.worker_id
        log_file = await asyncio.to_thread(self._logs[worker_id].open)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid())),
                *(sys.executable, "-m", child.part.module, *child.part.arguments),
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
        try:
            child.pid = process.pid
            self._on_change(child)
            if self._stopping.is_set():  # told while it was being started
                (_kill if self._killed else _terminate)(process)
            return await process.wait()
        finally:
            _kill(process)
            del self._processes[worker_id]

    async def _tend_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for log in self._logs.values():
                await asyncio.to_thread(log.shorten)


async def _together(
    coroutines: Mapping[str, Coroutine[None, None, None]], ended: asyncio.Event
) -> None:
    """Run all until they have ended, however, then say so."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, coroutine in coroutines.items():
                group.create_task(coroutine, name=name)
    finally:
        ended.set()


def _terminate(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and what it has started: it leads a group of its own."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _obituary(code: int, words: str) -> str:
    end = f"ended with {_ending(code)}"
    return f"{end}: {words}" if words else end


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no name
        return f"signal {-code}"
