"""TensorFlow Lite files, looked at before the library sees them: it crashes on anything else."""

from __future__ import annotations

from pathlib import Path

IDENTIFIER = b"TFL3"
SMALLEST_BYTES = 1_024


def check(path: Path) -> None:
    """See whether a file is a TensorFlow Lite model.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else.
    """
    with path.open("rb") as file:
        head = file.read(SMALLEST_BYTES)
    if len(head) < SMALLEST_BYTES or head[4:8] != IDENTIFIER:
        raise ValueError("no TensorFlow Lite model")
