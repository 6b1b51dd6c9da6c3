"""The runtime file by which `ask`, `say`, `status` and `doctor` find the running stack.

It holds the broker's password, so its owner alone may read it. A file left behind by a stack that
was killed is seen through: the process id in it counts only together with when that process began.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
import platformdirs
import psutil
from antiphon_contracts.errors import ConfigError
from pydantic import TypeAdapter, ValidationError

from antiphon_runtime.broker.private_file import private_directory, write_private

# The clock tick of /proc/PID/stat is 10 ms; the boot time beside it is in whole seconds and can
# flicker by one while NTP adjusts the clock.
_BEGIN_TOLERANCE_S = 1.5


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        host: the broker's host.
        port: the broker's TCP port.
        username: MQTT user name.
        password: MQTT password; never shown by `repr`.
        base: first level of the stack's topics.
        pid: process id of `antiphon up`.
        started_ts: when the stack started, seconds since the epoch.
        broker_kind: `mosquitto`, `amqtt`, or whatever `up` says of a broker not its own.
        tls_ca: path of the certificate that vouches for the broker; empty is no TLS.
    """

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    base: str
    pid: int
    started_ts: float
    broker_kind: str
    tls_ca: str = ""


@dataclass(frozen=True)
class _Record:
    stack: Stack
    # Seconds from boot to the process's begin: unlike a wall-clock time it stays the same when the
    # clock is set, as on a Raspberry Pi some seconds after it booted.
    begin_after_boot_s: float


_RECORD = TypeAdapter(_Record)


def default_path(runtime_directory: Path | None = None) -> Path:
    """Where the file is: `antiphon/stack.json` below the runtime or the user's state directory.

    Args:
        runtime_directory: the value of `XDG_RUNTIME_DIR`, if the caller's settings have it. Every
            command must give the same one: a login by ssh may have it where cron has not.
    """
    if runtime_directory is not None:
        return runtime_directory / "antiphon" / "stack.json"
    return platformdirs.user_state_path("antiphon") / "stack.json"


def write(stack: Stack, path: Path) -> None:
    """Write the file (0600) in one step, and its directory (0700) if missing.

    Raises:
        ConfigError: it cannot be written, or no process has the stack's pid.
    """
    begin_after_boot_s = _begin_after_boot_s(stack.pid)
    if begin_after_boot_s is None:
        raise ConfigError(f"No process has the id {stack.pid}, so it cannot be the running stack.")
    record = _Record(stack, begin_after_boot_s)
    try:
        private_directory(path.parent)
        write_private(path, orjson.dumps(asdict(record)).decode())
    except OSError as error:
        raise _unwritable(path, error) from error


def read(path: Path) -> Stack | None:
    """The running stack.

    Returns:
        None if there is no file, it cannot be read or is damaged, it belongs to another user, or
        the process that wrote it is gone (also if its id is now another process's).
    """
    try:
        if path.stat().st_uid != os.geteuid():
            return None
        record = _RECORD.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    begin_after_boot_s = _begin_after_boot_s(record.stack.pid)
    if begin_after_boot_s is None:
        return None
    if abs(begin_after_boot_s - record.begin_after_boot_s) > _BEGIN_TOLERANCE_S:
        return None
    return record.stack


def remove(path: Path, pid: int) -> None:
    """Remove the file if it is that of the stack `pid`; another stack's file stays."""
    try:
        record = _RECORD.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return
    if record.stack.pid == pid:
        path.unlink(missing_ok=True)


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Be the one stack of this file, for as long as the context lasts.

    The kernel drops the claim when the process dies, however it dies. The lock file beside `path`
    stays behind on purpose: removing it would let two processes lock two files of one name.

    Raises:
        ConfigError: another process has it (its id is named), or the lock cannot be made.
    """
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        private_directory(path.parent)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(lock_path, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise ConfigError(
                f"Antiphon is already running (pid {holder}); use it as it is, or stop it first "
                "with Ctrl-C in its terminal or with `kill` and that pid."
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _begin_after_boot_s(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time() - psutil.boot_time()
    except (psutil.Error, ValueError):
        return None


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: {error.strerror}; make its directory writable to you."
    )
