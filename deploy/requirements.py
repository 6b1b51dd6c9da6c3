# noqa: INP001  (a script of the image build, no package)
"""Writes the dependencies out of pyproject.toml, a file for the core and one for each extra.

    python3 requirements.py pyproject.toml FOLDER

The images install them before our own code, so that a change of code reinstalls none of them.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(pyproject: Path, folder: Path) -> None:
    """Write `core.txt` and `<extra>.txt` into `folder`, which is made."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    folder.mkdir(parents=True)
    for name, lines in {
        "core": project["dependencies"],
        **project["optional-dependencies"],
    }.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
