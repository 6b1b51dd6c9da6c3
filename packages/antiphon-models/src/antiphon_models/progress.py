"""How far a fetch has come."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

Phase = Literal["waiting", "downloading", "unpacking", "verifying", "done"]

Progress = Callable[[str, int, int, Phase], None]
"""Called as (model name, bytes done, bytes in all, phase).

While something downloads it is called from a thread of its own, some times a second. The bytes in
all are 0 while they are unknown.
"""

_INTERVAL_S = 0.2


def silent(_name: str, _done: int, _total: int, _phase: Phase) -> None:
    """A Progress that tells nobody."""


@contextlib.contextmanager
def watch_size(folder: Path, report: Callable[[int], None]) -> Iterator[None]:
    """Report the growing size of `folder` in bytes from a thread until the block ends.

    Measuring the folder instead of reading the downloader's output works for every downloader, and
    does not break when its wording changes.
    """
    stopped = threading.Event()

    def poll() -> None:
        while not stopped.wait(_INTERVAL_S):
            report(size_of(folder))

    thread = threading.Thread(target=poll, name=f"watch-{folder.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def size_of(folder: Path) -> int:
    """Bytes in the files of `folder`, however deep; files may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total
