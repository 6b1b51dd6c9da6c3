"""One fetch of a model at a time, among all processes of a machine."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from antiphon_contracts.errors import ConfigError

_INTERVAL_S = 0.2


@contextlib.contextmanager
def exclusive(path: Path, *, wait_s: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process dies.

    Args:
        path: of the lock file, made if absent; it stays behind, empty.
        wait_s: how long to wait for another holder.
        on_wait: called before each wait.

    Raises:
        ConfigError: another process still holds it after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    with path.open("a") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"Another process is fetching {path.stem}: wait for it to end, then try again."
                )
            on_wait()
            time.sleep(_INTERVAL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
