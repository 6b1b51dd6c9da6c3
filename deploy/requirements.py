# noqa: INP001  (a script of the image build, no package)
"""Takes the lock apart: a file of pinned, hashed packages for the core, each extra and the build.

    python3 requirements.py pyproject.toml requirements.lock FOLDER

Each image installs its extra's part alone, before our own code, so that a change of code reinstalls
none of it. Who needs what is read from the lock's own comments ("# via …"); should they ever lack
a package, `pip --require-hashes` refuses to go on.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pin:
    """A package at one version: its lines of the lock, and who needs it."""

    name: str
    lines: str
    parents: frozenset[str]


def read_lock(text: str) -> list[Pin]:
    """Return the pins of a lock in the form of `uv pip compile --generate-hashes`."""
    pins = []
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        code = "".join(line for line in block.splitlines(keepends=True) if "    #" not in line)
        parents = re.findall(r"^    #(?: via|  ) (\S+)", block, flags=re.MULTILINE)
        pins.append(Pin(normal_name(block), code, frozenset(map(normal_name, parents))))
    return pins


def normal_name(requirement: str) -> str:
    """Return the name that a requirement begins with, in the one spelling that indexes use."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def needed(requirements: Iterable[str], pins: list[Pin]) -> set[str]:
    """Return the names of what the requirements need, and of what that needs."""
    names = {normal_name(line) for line in requirements}
    while more := {pin.name for pin in pins if pin.parents & names} - names:
        names |= more
    return names


def main(pyproject: Path, lock: Path, folder: Path) -> None:
    """Write `core.txt`, `build.txt` and `<extra>.txt` into `folder`, which is made.

    An extra's file lists what it needs beyond the core; extras that are not locked get none.
    """
    about = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    pins = read_lock(lock.read_text(encoding="utf-8"))
    core = needed(about["project"]["dependencies"], pins)
    parts = {"core": core, "build": needed(about["build-system"]["requires"], pins)}
    for extra, lines in about["project"]["optional-dependencies"].items():
        if {normal_name(line) for line in lines} <= {pin.name for pin in pins}:
            parts[extra] = needed(lines, pins) - core
    folder.mkdir(parents=True)
    for part, names in parts.items():
        text = "".join(pin.lines for pin in pins if pin.name in names)
        (folder / f"{part}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
