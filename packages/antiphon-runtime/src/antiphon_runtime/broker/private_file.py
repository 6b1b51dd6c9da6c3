"""Files that hold a password: for their owner alone, and never half written."""

from __future__ import annotations

import tempfile
from pathlib import Path


def private_directory(path: Path) -> None:
    """Make `path` and its missing parents; `path` itself gets mode 0700 if it is made here.

    A directory that exists already keeps its mode.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace `path` with `text` in one step, readable and writable by its owner alone (0600).

    A reader sees the old file or the new one, whole. The directory must exist.

    Raises:
        OSError: the file cannot be written.
    """
    # NamedTemporaryFile creates with 0600, so there is no moment when others can read it.
    with tempfile.NamedTemporaryFile(
        mode="w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as temporary:
        draft = Path(temporary.name)
        try:
            temporary.write(text)
            temporary.flush()
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
