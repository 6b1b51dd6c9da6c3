"""What lies in a model's folder: written once after a fetch, read at every start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file's size and hash."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A fetched model.

    Attributes:
        name: as it was asked for.
        source: `registry` or `hub`.
        version: the packs, or the hub's repository and commit.
        files: by path in the folder.
    """

    name: str
    source: str
    version: str
    files: Mapping[str, FileRecord]

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return sum(record.size_bytes for record in self.files.values())


def write(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` into the folder."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none or it is broken."""
    try:
        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {
            str(path): FileRecord(int(record["size_bytes"]), str(record["sha256"]))
            for path, record in raw["files"].items()
        }
        return Manifest(str(raw["name"]), str(raw["source"]), str(raw["version"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def hash_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(path: Path) -> FileRecord:
    """Size and hash of a file as it is now."""
    return FileRecord(path.stat().st_size, hash_of(path))


def size_problems(folder: Path, files: Mapping[str, FileRecord]) -> list[str]:
    """What is missing or of another size, without reading a file."""
    problems = []
    for path, record in files.items():
        try:
            size = (folder / path).stat().st_size
        except OSError:
            problems.append(f"{path} is missing")
            continue
        if size != record.size_bytes:
            problems.append(f"{path} has {size} bytes instead of {record.size_bytes}")
    return problems


def hash_problems(folder: Path, files: Mapping[str, FileRecord]) -> list[str]:
    """What is missing, of another size, or of other bytes."""
    problems = size_problems(folder, files)
    if problems:
        return problems
    return [
        f"{path} is damaged (its SHA-256 is not the expected one)"
        for path, record in files.items()
        if hash_of(folder / path) != record.sha256
    ]
